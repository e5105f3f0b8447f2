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
#: What a billing adapter answered to a debit, or to the question what became of one.
DEBIT_OUTCOMES: Final = (
    "debited",
    "reserved",
    "released",
    "denied",
    "not_sent",
    "not_found",
    "unknown",
)
#: The states of a refund that are counted. Tests hold them to the domain's own.
REFUND_STATES: Final = ("accepted", "in_doubt", "review", "succeeded", "denied")
#: What a billing adapter answered to a refund, or to the question what became of one.
REFUND_OUTCOMES: Final = ("refunded", "denied", "not_sent", "not_found", "unknown")
#: How one attempt to deliver a notification ended; `dead` gives up until a person asks
#: again, `put_off` was no attempt: too many to that host were under way.
WEBHOOK_OUTCOMES: Final = ("delivered", "later", "gone", "dead", "put_off")
#: The kinds of work row that a worker runs.
JOB_KINDS: Final = ("prompt", "debit", "refund", "webhook")
#: Every text that is sent to a subscriber.
PROMPT_KINDS: Final = (
    "prompt",
    "prompt_code",
    "pin",
    "reprompt",
    "reprompt_code",
    "receipt",
    "not_debited",
    "late_yes",
    "late_no",
)
#: How one attempt to hand over a text ended: taken, refused for now, refused for good, refused for
#: a fault of ours, never written, no answer; `dropped` was answered or over before it was written.
PROMPT_OUTCOMES: Final = (
    "accepted",
    "not_now",
    "refused",
    "fault",
    "not_sent",
    "unknown",
    "dropped",
)
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
#: What a reply did. Tests hold them to the domain's own table.
REPLY_EFFECTS: Final = (
    "confirmed",
    "declined",
    "reprompted",
    "ignored",
    "wrong_code",
    "codes_used_up",
    "early",
    "late",
    "late_yes",
    "late_no",
    "stray",
    "untrusted",
)
#: Why a subscriber was not asked. Tests hold them to the store's own.
SPARED: Final = ("blocked", "open", "hour", "day", "slowed")
#: Limits by sum, and where they were met. Tests hold them to the store's own.
SUM_LIMITS: Final = (
    "charge",
    "subscriber_day",
    "subscriber_month",
    "partner_day",
    "partner_month",
)
LIMITS_MET: Final = ("request", "debit")
PAUSES: Final = ("prompts", "debits")
STORE_FAILURES: Final = ("not_applied", "outcome_unknown")
LOG_LEVELS: Final = ("debug", "info", "warn", "error", "critical")
