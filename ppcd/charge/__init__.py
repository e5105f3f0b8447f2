"""The domain: what a charge is and may become, in words, numbers and rules.

Pure: the standard library only; no clock, no IO, no randomness, no logging. Time, chance and what
is stored come in as arguments, and decisions go out as values.
"""
