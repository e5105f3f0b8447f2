"""What a credit-control answer says about the money.

Pure. Only what the table below or the settings name is a refusal: any other code, and any answer
that contradicts itself or the request, is Unknown, for a guess would cost somebody money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ppcd.billing.diameter.codes import Code, Command, Flag, Result
from ppcd.billing.diameter.currency import NUMERIC
from ppcd.billing.diameter.octets import Avp, Avps, Malformed, Message
from ppcd.charge.debit import DebitAnswer, Debited, DenialReason, Denied, NotSent, Unknown
from ppcd.charge.money import Money, exponent

#: Refusals of which subscribers have a part, and what the partner is told.
REFUSALS: Final[Mapping[int, DenialReason]] = {
    Result.CREDIT_LIMIT_REACHED: DenialReason.INSUFFICIENT_FUNDS,
    Result.END_USER_SERVICE_DENIED: DenialReason.SERVICE_DENIED,
    Result.USER_UNKNOWN: DenialReason.USER_UNKNOWN,
}

#: No money was taken, and none will be before somebody mends ppcd's or the OCS's configuration.
FAULTS: Final = frozenset[int](
    {
        Result.COMMAND_UNSUPPORTED,
        Result.REALM_NOT_SERVED,
        Result.APPLICATION_UNSUPPORTED,
        # The RFC lets the service be given for nothing then; ppcd sells nothing unpaid.
        Result.CREDIT_CONTROL_NOT_APPLICABLE,
        Result.AVP_UNSUPPORTED,
        Result.INVALID_AVP_VALUE,
        Result.MISSING_AVP,
        Result.CONTRADICTING_AVPS,
        Result.RATING_FAILED,
    }
)

DEBITED: Final = frozenset[int]({Result.SUCCESS, Result.LIMITED_SUCCESS})

#: What no configuration may give another meaning. 3002 comes from an agent whose link died when it
#: may have passed the request on already; 5012 is what some servers say to a repeat of a debit
#: that they made.
FIXED: Final = DEBITED | {Result.TOO_BUSY, Result.UNABLE_TO_DELIVER, Result.UNABLE_TO_COMPLY}

#: An exponent beyond this is no amount, and raising ten to it would take all our time.
_EXPONENT_MAX: Final = 18


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer's meaning, and what people should hear of it."""

    answer: DebitAnswer
    #: A fault of the configuration, in words; None for the ordinary.
    alarm: str | None = None
    #: An error answer that settles nothing: asking again is a new question, without the T flag.
    is_error: bool = False
    #: Who answered, by its own word.
    origin_host: str | None = None
    #: It knows nothing of the session.
    no_session: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """One result that stands in an answer: a Result-Code, or a vendor's own."""

    code: int
    vendor: int = 0

    def __str__(self) -> str:
        return f"{self.vendor}:{self.code}" if self.vendor else str(self.code)


class Answers:
    """Reads answers; `refusals` and `vendor_refusals` are the operator's additions."""

    def __init__(
        self,
        *,
        refusals: Mapping[int, DenialReason],
        vendor_refusals: Mapping[tuple[int, int], DenialReason],
    ) -> None:
        self._refusals = {Said(code): reason for code, reason in {**REFUSALS, **refusals}.items()}
        for (vendor, code), reason in vendor_refusals.items():
            self._refusals[Said(code, vendor)] = reason

    def read(self, message: Message, *, session_id: str, money: Money, number: int = 0) -> Reading:
        """What the answer says about the debit of `money` that was asked for in the session.

        `number` is the request's in it.
        """
        try:
            avps = message.avps()
            wrong = _mismatch(message, avps, session_id, number)
            if wrong is not None:
                return Reading(Unknown(wrong))
            host = avps.one(Code.ORIGIN_HOST)
            reading = self._reading(avps, session_id, money)
            gone = [Said(Result.UNKNOWN_SESSION_ID)] == _results(avps)
            return replace(
                reading, origin_host=None if host is None else host.text(), no_session=gone
            )
        except Malformed as exc:
            return Reading(Unknown(f"the answer can't be read: {exc}"))

    def _reading(self, avps: Avps, session_id: str, money: Money) -> Reading:
        services = _services(avps)
        outer = _results(avps)
        inner = [said for service in services for said in _results(service)]
        if not outer:
            return Reading(Unknown("the answer has no result"))
        if {*outer, *inner} == {Said(Result.TOO_BUSY)}:
            return Reading(NotSent("3004 too busy"))
        agreed = all(map(_agrees, outer))
        if agreed and all(map(_agrees, inner)):
            return self._granted([avps, *services], session_id, money)
        # The command may succeed and the one service in it be refused; not the other way round.
        if inner and all(map(self._refuses, inner)) and (agreed or outer == inner):
            return self._refusal(inner[0], avps)
        if not inner and all(map(self._refuses, outer)):
            return self._refusal(outer[0], avps)
        said = ", ".join(map(str, [*outer, *inner]))
        return Reading(Unknown(f"result {said}{_message(avps)}"), is_error=not agreed)

    def _granted(self, levels: list[Avps], session_id: str, money: Money) -> Reading:
        if len(levels) > 2:
            return Reading(Unknown("several services are granted where one was asked for"))
        if not all(_grants(avps, money) for avps in levels):
            other = "another amount was granted than was asked for"
            return Reading(Unknown(other), alarm=other)
        # Billing gives no number of its own; its records have the session's.
        return Reading(Debited(session_id))

    def _refuses(self, said: Said) -> bool:
        return said in self._refusals or (not said.vendor and said.code in FAULTS)

    def _refusal(self, said: Said, avps: Avps) -> Reading:
        reason = self._refusals.get(said)
        if reason is not None:
            return Reading(Denied(reason, str(said)))
        failed = [avp for found in avps.all(Code.FAILED_AVP) for avp in found.members()]
        about = f", AVPs {', '.join(str(avp.code) for avp in failed)}" if failed else ""
        alarm = f"result {said}{about}{_message(avps)}"
        return Reading(Denied(DenialReason.BILLING_REJECTED, str(said)), alarm=alarm)


def balance_suffices(message: Message, *, session_id: str) -> bool | None:
    """What a CHECK_BALANCE answer says; None when it says nothing."""
    try:
        avps = message.avps()
        if _mismatch(message, avps, session_id) is not None:
            return None
        if [one.code for one in _results(avps) if not one.vendor] != [Result.SUCCESS]:
            return None
        found = avps.one(Code.CHECK_BALANCE_RESULT)
        return None if found is None else {0: True, 1: False}.get(found.u32())
    except Malformed:
        return None


def _mismatch(message: Message, avps: Avps, session_id: str, asked: int = 0) -> str | None:
    """Why this can't be the answer to what was asked, whatever its Hop-by-Hop Identifier says."""
    if message.command != Command.CREDIT_CONTROL:
        return f"an answer to command {message.command}"
    session = avps.one(Code.SESSION_ID)
    number = avps.one(Code.CC_REQUEST_NUMBER)
    # RFC 6733, 7.2: an answer with the E bit has a form of its own, and may lack both.
    bare = bool(message.flags & Flag.ERROR)
    if session is None and not bare:
        return "the answer has no Session-Id"
    if session is not None and session.text() != session_id:
        return "the answer is of another session"
    if number is not None and number.u32() != asked:
        return "the answer is to another request of the session"
    return None


def _services(avps: Avps) -> list[Avps]:
    return [found.members() for found in avps.all(Code.MULTIPLE_SERVICES_CREDIT_CONTROL)]


def _results(avps: Avps) -> list[Said]:
    """What stands as a result at this level: RFC 6733 allows one, vendors give both."""
    found = []
    plain = avps.one(Code.RESULT_CODE)
    if plain is not None:
        found.append(Said(plain.u32()))
    own = avps.one(Code.EXPERIMENTAL_RESULT)
    if own is not None:
        inside = own.members()
        vendor, code = inside.one(Code.VENDOR_ID), inside.one(Code.EXPERIMENTAL_RESULT_CODE)
        if vendor is None or code is None:
            raise Malformed("an Experimental-Result without its parts")
        found.append(Said(code.u32(), vendor.u32()))
    return found


def _agrees(said: Said) -> bool:
    return not said.vendor and said.code in DEBITED


def _grants(avps: Avps, money: Money) -> bool:
    """Whether the money that is granted here, where an amount stands at all, is what we asked."""
    granted = (found.members().one(Code.CC_MONEY) for found in avps.all(Code.GRANTED_SERVICE_UNIT))
    return all(found is None or _is_amount(found, money) for found in granted)


def _is_amount(found: Avp, money: Money) -> bool:
    inside = found.members()
    currency = inside.one(Code.CURRENCY_CODE)
    if currency is not None and currency.u32() != NUMERIC[money.currency]:
        return False
    unit = inside.one(Code.UNIT_VALUE)
    if unit is None:
        return False
    value = unit.members()
    digits, places = value.one(Code.VALUE_DIGITS), value.one(Code.EXPONENT)
    power = 0 if places is None else places.i32()
    if digits is None or abs(power) > _EXPONENT_MAX:
        return False
    # As values, in whole units of the smaller one: 25 and 2500 hundredths are the same money.
    shift = power + exponent(money.currency)
    ten: int = 10 ** abs(shift)
    granted, asked = digits.i64(), money.amount_minor
    return granted * ten == asked if shift >= 0 else granted == asked * ten


def _message(avps: Avps) -> str:
    """The peer's own words, cut short."""
    found = avps.one(Code.ERROR_MESSAGE)
    if found is None:
        return ""
    text = "".join(c for c in found.data.decode(errors="replace") if c.isprintable())
    return f" ({text[:100]})"
