"""What a key may be allowed: CAMARA's scopes by their names."""

from enum import StrEnum


class Scope(StrEnum):
    """One for each kind of operation. A key without any scope of its own has them all."""

    CREATE = "carrier-billing:payments:create"
    READ = "carrier-billing:payments:read"
    WRITE = "carrier-billing:payments:write"
    CREATE_REFUND = "carrier-billing-refund:refunds:create"
    READ_REFUNDS = "carrier-billing-refund:refunds:read"
