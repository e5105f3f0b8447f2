"""ppcd: a carrier-billing gateway. The subscriber answers one word, the operator debits once."""

__version__ = "0.1.0"
