"""Which answers of a billing system mean what, whatever way they come.

Everything that is not described is UNKNOWN: a charge is then in doubt, which costs a question,
where a wrong guess would cost a subscriber's or the operator's money.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic import model_validator as _model_validator

from ppcd.billing.documents import Find
from ppcd.billing.template import OrderField, RefundField, field_of
from ppcd.charge.debit import (
    DebitAnswer,
    Debited,
    DenialReason,
    Denied,
    NotFound,
    NotSent,
    Order,
    Reserved,
    Unknown,
)
from ppcd.charge.refund import RefundAnswer, Refunded
from ppcd.charge.reservation import ReleaseAnswer, Released, ReserveAnswer

__all__ = [
    "Answers",
    "RefundResultSettings",
    "ReleaseResultSettings",
    "ReserveResultSettings",
    "ResultSettings",
    "Results",
    "Section",
    "Settled",
    "as_debit",
    "as_refund",
    "as_release",
    "as_reserve",
    "judge_answer",
]

#: Reasons that billing can give; the others belong to the subscriber, the partner and us.
BILLING_REASONS: Final = frozenset(
    {
        DenialReason.INSUFFICIENT_FUNDS,
        DenialReason.SERVICE_DENIED,
        DenialReason.USER_UNKNOWN,
        DenialReason.LIMIT_EXCEEDED,
        DenialReason.BILLING_REJECTED,
    }
)

#: Billing's own words are kept as evidence; more than this of them is noise.
CODE_LENGTH_MAX: Final = 64
REFERENCE_LENGTH_MAX: Final = 128

Member = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Settled = Debited | Reserved | Denied | NotFound | NotSent | Unknown


class Section(BaseModel):
    """A part of the description: unknown keys are errors, nothing changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Results(Section):
    """Where the result stands and what its values mean; they are compared as text."""

    #: The key whose values of `result` mean that it was done.
    done: ClassVar[str]

    result: Member = Field(default="result", description="The member that says what happened.")
    refused: tuple[str, ...] = Field(
        default=("refused",),
        description="Values of `result` that mean: no money was moved, and none will be.",
    )
    not_processed: tuple[str, ...] = Field(
        default=(),
        description="Values of `result` by which billing says that it did nothing (too busy, say), "
        "so that the same may be sent again at any time. Wrongly listed: it is done twice, where "
        "the keys are not remembered.",
    )
    not_found: tuple[str, ...] = Field(
        default=("not_found",),
        description="Values of `result` in the answer to a query that mean: the key is not known.",
    )
    reference: Member | None = Field(
        default="reference", description="The member with billing's own reference of what it did."
    )
    reason: Member | None = Field(
        default="reason",
        description="The member with the reason of a refusal; none: `result` itself.",
    )
    reasons: dict[str, DenialReason] = Field(
        default_factory=dict,
        description="Billing's reasons, and what the partner is told for each: INSUFFICIENT_FUNDS, "
        "SERVICE_DENIED, USER_UNKNOWN, LIMIT_EXCEEDED or BILLING_REJECTED.",
    )
    other_reasons: DenialReason = Field(
        default=DenialReason.BILLING_REJECTED,
        description="What the partner is told for any other reason.",
    )

    @field_validator("reasons", "other_reasons")
    @classmethod
    def _billing_may_give_it(
        cls, value: dict[str, DenialReason] | DenialReason
    ) -> dict[str, DenialReason] | DenialReason:
        given = value.values() if isinstance(value, dict) else (value,)
        for reason in given:
            if reason not in BILLING_REASONS:
                raise ValueError(f"{reason.value} is not a reason that billing gives")
        return value

    @_model_validator(mode="after")
    def _each_value_has_one_meaning(self) -> Self:
        meanings: dict[str, str] = {}
        for meaning in (self.done, "reserved", "refused", "not_processed", "not_found"):
            for value in getattr(self, meaning, ()):
                other = meanings.setdefault(value, meaning)
                if other != meaning:
                    raise ValueError(f"{value} can't mean both {other} and {meaning}")
        return self


class ResultSettings(Results):
    """Which answers to a debit, and to a question about one, mean what."""

    done = "debited"
    debited: tuple[str, ...] = Field(
        default=("debited",), description="Values of `result` that mean: the money was taken."
    )
    reserved: tuple[str, ...] = Field(
        default=("reserved",),
        description="Values of `result` in the answer to a query that mean: the money is held, and "
        "was not taken.",
    )
    echoes: dict[Member, OrderField] = Field(
        default_factory=dict,
        description="Members that repeat what we asked for; one that differs makes the answer "
        "unknown.",
    )


class RefundResultSettings(Results):
    """Which answers to a refund, and to a question about one, mean what."""

    done = "refunded"
    refunded: tuple[str, ...] = Field(
        default=("refunded",),
        description="Values of `result` that mean: the money was given back.",
    )
    echoes: dict[Member, RefundField] = Field(
        default_factory=dict,
        description="Members that repeat what we asked for; one that differs makes the answer "
        "unknown.",
    )


class ReserveResultSettings(Results):
    """Which answers to a reserve mean what."""

    done = "reserved"
    reserved: tuple[str, ...] = Field(
        default=("reserved",), description="Values of `result` that mean: the money is held."
    )
    echoes: dict[Member, OrderField] = Field(
        default_factory=dict,
        description="Members that repeat what we asked for; one that differs makes the answer "
        "unknown.",
    )


class ReleaseResultSettings(Results):
    """Which answers to a release mean what; «not found» means that nothing is held."""

    done = "released"
    released: tuple[str, ...] = Field(
        default=("released",),
        description="Values of `result` that mean: nothing is held any more.",
    )
    echoes: dict[Member, OrderField] = Field(
        default_factory=dict,
        description="Members that repeat what we asked for; one that differs makes the answer "
        "unknown.",
    )


Answers: TypeAlias = (
    ResultSettings | RefundResultSettings | ReserveResultSettings | ReleaseResultSettings
)


def judge_answer(settings: Answers, order: Order, find: Find) -> Settled:
    """What an answer says about the money; Unknown unless the settings say otherwise."""
    result = find(settings.result)
    if result is None:
        return Unknown(f"no {settings.result} in the answer")
    for name, field in settings.echoes.items():
        echo = find(name)
        if echo is not None and echo != str(field_of(order, field)):
            return Unknown(f"the answer has another {name} than we asked for")
    if result in getattr(settings, settings.done):
        reference = None if settings.reference is None else find(settings.reference)
        return Debited(reference and reference[:REFERENCE_LENGTH_MAX])
    if isinstance(settings, ResultSettings) and result in settings.reserved:
        return Reserved(None if settings.reference is None else find(settings.reference))
    if result in settings.refused:
        code = (None if settings.reason is None else find(settings.reason)) or result
        reason = settings.reasons.get(code, settings.other_reasons)
        return Denied(reason, code[:CODE_LENGTH_MAX])
    said = f"{settings.result} is {result[:CODE_LENGTH_MAX]!r}"
    if result in settings.not_processed:
        return NotSent(said)
    return NotFound() if result in settings.not_found else Unknown(said)


def as_debit(settled: Settled) -> DebitAnswer:
    """The same, said of a debit or a capture: other answers have no place there."""
    if isinstance(settled, (NotFound, Reserved)):  # a union would be made each time
        return Unknown(f"{type(settled).__name__} is no answer to a debit")
    return settled


def as_refund(settled: DebitAnswer | Reserved) -> RefundAnswer:
    """The same, said of a refund: what was done is the giving back."""
    if isinstance(settled, Reserved):
        return Unknown("Reserved is no answer to a refund")
    return Refunded(settled.reference) if isinstance(settled, Debited) else settled


def as_reserve(settled: Settled) -> ReserveAnswer:
    """The same, said of a reserve: what was done is the holding."""
    if isinstance(settled, Debited):
        return Reserved(settled.reference)
    if isinstance(settled, NotFound):
        return Unknown("NotFound is no answer to a reserve")
    return settled


def as_release(settled: Settled) -> ReleaseAnswer:
    """The same, said of a release: who knows of nothing to let go of holds nothing."""
    if isinstance(settled, Debited | NotFound):
        return Released()
    if isinstance(settled, Reserved):
        return Unknown("Reserved is no answer to a release")
    return settled
