"""A session as partners ask for it and are answered: names on the wire, checked strictly."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from ppcd.http.urls import Url, UrlError

OFFERS_MAX = 20
#: A try's suffix must still fit into CAMARA's 256 characters of a reference.
REFERENCE_MAX = 240
_URL_MAX = 2000
#: What would end a source in a Content-Security-Policy.
_NOT_IN_POLICY = (";", ",", "'")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _present(value: object) -> object:
    if value is None:
        raise ValueError("must not be null; leave it out instead")
    return value


def _whole(value: object) -> object:
    """Numbers arrive with all their digits; 1 and 1.0 are one number, and true is none."""
    if isinstance(value, bool):
        raise ValueError("must be 1 or 2")
    return int(value) if isinstance(value, Decimal) and value == int(value) else value


def _number(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    raise ValueError("must be a JSON number")


def is_safe(url: str, *, http_hosts: frozenset[str] = frozenset()) -> bool:
    """Whether browsers may be sent there: https, or a host that is trusted without."""
    try:
        parsed = Url.parse(url)
    except UrlError:
        return False
    return parsed.secure or parsed.host in _LOOPBACK or parsed.host in http_hosts


def _url(value: str) -> str:
    try:
        Url.parse(value)
    except UrlError as exc:
        raise ValueError(f"is no URL to send browsers to: {exc}") from None
    return value


def _logo(value: str) -> str:
    if any(sign in value for sign in _NOT_IN_POLICY):
        raise ValueError("must not have ; , or ' in it")
    if not is_safe(value):
        raise ValueError("must be https")
    return value


_Optional = BeforeValidator(_present)
_Url = Annotated[str, StringConstraints(max_length=_URL_MAX), AfterValidator(_url)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=120)]


class _Object(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", alias_generator=to_camel, validate_by_name=False
    )


class Branding(_Object):
    name: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=60)] | None, _Optional
    ] = None
    logo_url: Annotated[Annotated[_Url, AfterValidator(_logo)] | None, _Optional] = None
    color: Annotated[
        Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")] | None, _Optional
    ] = None


class NewSession(_Object):
    """The body of `POST /checkout/v1/sessions`."""

    tariffs: Annotated[
        Annotated[
            list[Annotated[str, StringConstraints(min_length=1, max_length=64)]],
            Field(min_length=1, max_length=OFFERS_MAX),
        ]
        | None,
        _Optional,
    ] = None
    amount: Annotated[Annotated[Decimal, BeforeValidator(_number)] | None, _Optional] = None
    currency: Annotated[str | None, _Optional] = None
    description: Annotated[_Text | None, _Optional] = None
    variant: Annotated[Literal[1, 2], BeforeValidator(_whole)] = 1
    phone_number: Annotated[
        str | None, StringConstraints(pattern=r"^\+[1-9][0-9]{4,14}$"), _Optional
    ] = None
    language: Annotated[Literal["uk", "ru", "en"] | None, _Optional] = None
    success_url: Annotated[_Url | None, _Optional] = None
    cancel_url: Annotated[_Url | None, _Optional] = None
    reference_code: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=REFERENCE_MAX)] | None, _Optional
    ] = None
    branding: Annotated[Branding | None, _Optional] = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "NewSession":
        free = (self.amount, self.currency, self.description)
        if self.tariffs is not None and any(part is not None for part in free):
            raise ValueError("has both tariffs and an amount; one of them is what is sold")
        if self.tariffs is None and any(part is None for part in free):
            raise ValueError("needs tariffs, or amount, currency and description")
        if self.tariffs is not None and len(set(self.tariffs)) < len(self.tariffs):
            raise ValueError("names a tariff twice")
        return self


def rfc3339(time: datetime) -> str:
    """UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def problem(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    """An error as partners know them."""
    return status, {"status": status, "code": code, "message": message}
