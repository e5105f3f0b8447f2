"""Between SMPP and the way of a charge: texts go out over a route's links, answers come in.

Owns numbers, alphabets and what a command_status means for a prompt. Knows both sides' words, so
that neither needs the other's: `ppcd.smpp` knows no charges, `ppcd.flow` no PDUs.
"""
