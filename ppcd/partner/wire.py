"""Requests as they come over the wire: CAMARA's names, checked strictly.

Every field of the contract and no other. Models are checked against the served contract by a test.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from ppcd.http.urls import Url, UrlError
from ppcd.partner.errors import ApiError, Problem

#: No bill of ours is longer than twelve digits before the point; a taller number is a mistake.
_NUMBER_MAX: Final = Decimal(10) ** 12
_PROBLEMS_SHOWN: Final = 3
_SINK_LENGTH_MAX: Final = 2048


def _number(value: object) -> Decimal:
    if isinstance(value, Decimal):  # as `json_text` reads every number
        return value
    raise ValueError("must be a JSON number")


def _within(places: int, minimum: Decimal) -> Callable[[Decimal], Decimal]:
    """Checks on the digits alone: Decimal arithmetic would round to the context's precision."""

    def check(value: Decimal) -> Decimal:
        if value < minimum:
            raise ValueError(f"must be at least {minimum}")
        if value > _NUMBER_MAX:
            raise ValueError(f"must be at most {_NUMBER_MAX}")
        _, digits, power = value.as_tuple()
        assert isinstance(power, int)
        if power < -places and any(digits[power + places :]):
            raise ValueError(f"must not have more than {places} decimals")
        return value

    return check


def _present(value: object) -> object:
    if value is None:
        raise ValueError("must not be null; leave it out instead")
    return value


_Number = BeforeValidator(_number)
#: An optional field may be absent; null is neither absent nor a value.
_Optional = BeforeValidator(_present)

Amount = Annotated[Decimal, _Number, AfterValidator(_within(3, Decimal("0.001")))]
TaxAmount = Annotated[Decimal, _Number, AfterValidator(_within(3, Decimal(0)))]
Fee = Annotated[Decimal, _Number, AfterValidator(_within(2, Decimal(0)))]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=256)]
FreeText = Annotated[str | None, StringConstraints(max_length=2000), _Optional]
PhoneNumber = Annotated[str | None, StringConstraints(pattern=r"^\+[1-9][0-9]{4,14}$"), _Optional]


class _Object(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", alias_generator=to_camel, validate_by_name=False
    )


class ChargingInformation(_Object):
    amount: Amount
    currency: str
    description: Text
    is_tax_included: bool = False
    tax_amount: Annotated[TaxAmount | None, _Optional] = None


class PaymentItem(ChargingInformation):
    id: Text


class ChargingMetaData(_Object):
    merchant_name: FreeText = None
    merchant_identifier: FreeText = None
    fee: Annotated[Fee | None, _Optional] = None
    purchase_category_code: FreeText = None
    channel: FreeText = None
    service_id: FreeText = None
    product_id: FreeText = None


class PaymentAmount(_Object):
    charging_information: ChargingInformation
    charging_meta_data: Annotated[ChargingMetaData | None, _Optional] = None
    payment_details: Annotated[
        Annotated[list[PaymentItem], Field(min_length=1, max_length=100)] | None, _Optional
    ] = None


class AmountTransaction(_Object):
    phone_number: PhoneNumber = None
    client_correlator: Annotated[Code | None, _Optional] = None
    payment_amount: PaymentAmount
    reference_code: Code


class CreatePayment(_Object):
    amount_transaction: AmountTransaction
    sink: Annotated[str | None, _Optional] = None
    sink_credential: Annotated[dict[str, Any] | None, _Optional] = None


class SecondStepOf(_Object):
    """CAMARA's PhoneNumber: the only thing that confirmPayment and cancelPayment are told."""

    phone_number: PhoneNumber = None


class ValidatePayment(_Object):
    authorization_id: Code
    code: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class RefundItem(ChargingInformation):
    payment_item_id: Text


class RefundMetaData(_Object):
    merchant_identifier: FreeText = None


class TotalRefundAmount(_Object):
    charging_meta_data: Annotated[RefundMetaData | None, _Optional] = None


class PartialRefundAmount(TotalRefundAmount):
    charging_information: ChargingInformation
    refund_details: Annotated[
        Annotated[list[RefundItem], Field(min_length=1, max_length=100)] | None, _Optional
    ] = None


class TotalRefundTransaction(_Object):
    client_correlator: Annotated[Code | None, _Optional] = None
    refund_amount: TotalRefundAmount
    reference_code: Code


class PartialRefundTransaction(_Object):
    client_correlator: Annotated[Code | None, _Optional] = None
    refund_amount: PartialRefundAmount
    reference_code: Code


class _CreateRefund(_Object):
    reason: FreeText = None
    sink: Annotated[str | None, _Optional] = None
    sink_credential: Annotated[dict[str, Any] | None, _Optional] = None


class CreateTotalRefund(_CreateRefund):
    type: Literal["total"]
    amount_transaction: TotalRefundTransaction


class CreatePartialRefund(_CreateRefund):
    type: Literal["partial"]
    amount_transaction: PartialRefundTransaction


class _AccessToken(_Object):
    credential_type: str
    access_token: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,4096}$")]
    access_token_expires_utc: str
    access_token_type: str


class _CredentialType(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)
    credential_type: str


_Model = TypeVar("_Model", bound=BaseModel)


def read(model: type[_Model], document: object, *, at: str = "") -> _Model:
    """The document as that model. Raises ApiError naming the fields that are wrong."""
    if not isinstance(document, dict):
        raise ApiError(Problem.INVALID_ARGUMENT, f"{at or 'the body'} must be a JSON object")
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        problems = exc.errors(include_url=False, include_input=False)
        said = [_said(problem, at) for problem in problems[:_PROBLEMS_SHOWN]]
        raise ApiError(Problem.INVALID_ARGUMENT, "; ".join(said)) from None


#: What each kind of problem is called; the library's own words speak of Python.
_WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this request",
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "list_type": "must be an array",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "does not match {pattern}",
    "too_short": "must have at least {min_length} item",
    "too_long": "must have at most {max_length} items",
}


def _said(problem: Any, at: str) -> str:
    """One problem in words. Never the value: it may be a phone number or a token."""
    name = at
    for part in problem["loc"]:
        # An unknown field's name is the client's own text: short, and printable.
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            shown = ascii(part)[1:41].rstrip("'")
            name += f".{shown}" if name else shown
    if problem["type"] == "value_error":
        return f"{name} {problem['ctx']['error']}"
    words = _WORDS.get(problem["type"], "is wrong")
    return f"{name} {words.format_map(problem.get('ctx', {}))}"


def read_sink(sink: str, *, http_hosts: frozenset[str]) -> str:
    """The sink, if it is a URL that events can go to; `http_hosts` need no TLS.

    Raises ApiError INVALID_SINK.
    """
    try:
        url = Url.parse(sink)
    except UrlError:
        raise ApiError(Problem.INVALID_SINK) from None
    allowed = url.secure or url.host in http_hosts
    if not allowed or len(sink) > _SINK_LENGTH_MAX:
        raise ApiError(Problem.INVALID_SINK)
    return sink


def host_of(url: str | None) -> str | None:
    """The host of a registered URL."""
    try:
        return None if url is None else Url.parse(url).host
    except UrlError:
        return None


def read_credential(credential: dict[str, Any]) -> tuple[str, datetime]:
    """The bearer token to show to the sink, and until when. What is missing or mistyped is an
    invalid argument, what is well formed and of another kind has errors of its own.
    """
    at = "sinkCredential"
    if read(_CredentialType, credential, at=at).credential_type != "ACCESSTOKEN":
        raise ApiError(Problem.INVALID_CREDENTIAL)
    token = read(_AccessToken, credential, at=at)
    expires_at = rfc3339_time(token.access_token_expires_utc)
    if expires_at is None:
        message = f"{at}.accessTokenExpiresUtc must be a date-time of RFC 3339 with time zone"
        raise ApiError(Problem.INVALID_ARGUMENT, message)
    if token.access_token_type.lower() != "bearer":
        raise ApiError(Problem.INVALID_TOKEN)
    return token.access_token, expires_at


_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def rfc3339_time(text: str) -> datetime | None:
    """The time that it says, in UTC; None for what is no date-time with a time zone. Digits beyond
    microseconds are dropped, and a leap second is the second after.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    date_time, fraction, zone = found.groups()
    leap = date_time.endswith(":60")
    plain = (date_time[:-2] + "59" if leap else date_time).upper().replace(" ", "T")
    zone = "+00:00" if zone in "Zz" else zone
    try:
        time = datetime.fromisoformat(f"{plain}{(fraction or '.0')[:7]:0<7}{zone}")
        return time.astimezone(UTC) + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        return None


_LANGUAGES: Final = ("uk", "ru", "en")
_LANGUAGE_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,30})?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*"
)


def language_wanted(accept_language: bytes | None) -> str | None:
    """The best of our languages that an Accept-Language header asks for; None if it names none."""
    best, best_q = None, Decimal(0)
    for part in (accept_language or b"").decode("latin-1").split(","):
        found = _LANGUAGE_RANGE.fullmatch(part)
        if found is None or (language := found[1].lower()) not in _LANGUAGES:
            continue
        q = Decimal(found[2] or 1)
        if q > best_q:
            best, best_q = language, q
    return best
