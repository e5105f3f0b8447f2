"""The only room that knows all others: it builds a node from its configuration, and runs it.

Owns the wiring and the order of starting and stopping. Refuses to hold any logic of a charge.
"""
