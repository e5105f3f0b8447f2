"""The partners' HTTP API: CAMARA Carrier Billing on top of `flow`.

Owns routes, keys on the wire, wire formats and error bodies. Refuses to decide anything about a
charge: whether one may exist, and how it ends, is `flow`'s.
"""
