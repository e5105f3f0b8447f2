"""The closed sets of label values. Anything that may grow with customers or traffic is no label."""

from __future__ import annotations

from typing import Final

#: The states of a charge, in the order of its way. Tests hold them to the domain's own table.
STATES: Final = (
    "awaiting",
    "confirmed",
    "debiting",
    "reserving",
    "reserved",
    "capturing",
    "releasing",
    "in_doubt",
    "review",
    "succeeded",
    "denied",
    "declined",
    "expired",
    "cancelled",
    "undeliverable",
)
VERDICTS: Final = ("yes", "no", "stop", "unclear")
#: What a billing adapter answered to a debit.
DEBIT_OUTCOMES: Final = ("debited", "denied", "not_sent", "unknown")
#: How one attempt to deliver a notification ended; `parked` gives up until a person asks again.
WEBHOOK_OUTCOMES: Final = ("delivered", "try_later", "gone", "parked")
#: The kinds of work row that a worker runs.
JOB_KINDS: Final = ("prompt", "debit", "webhook")
#: Every text that is sent to a subscriber.
PROMPT_KINDS: Final = (
    "prompt",
    "prompt_code",
    "reprompt",
    "reprompt_code",
    "receipt",
    "not_debited",
    "late_yes",
    "late_no",
)
#: How the SMSC answered one text: all segments taken, refused for good, never written, or no
#: answer.
PROMPT_OUTCOMES: Final = ("accepted", "refused", "not_sent", "unknown")
#: How a connection to an SMSC went on.
BIND_OUTCOMES: Final = ("bound", "refused", "unreachable", "timeout", "lost")
#: Message states of delivery receipts (SMPP 3.4, 5.2.28).
RECEIPT_STATES: Final = (
    "enroute",
    "delivered",
    "expired",
    "deleted",
    "undeliverable",
    "accepted",
    "unknown",
    "rejected",
)
#: Why a reply changed nothing.
LATE_REASONS: Final = ("late", "no_charge", "duplicate", "wrong_code", "unreadable")
PAUSES: Final = ("prompts", "debits")
STORE_FAILURES: Final = ("not_applied", "outcome_unknown")
LOG_LEVELS: Final = ("debug", "info", "warn", "error", "critical")
