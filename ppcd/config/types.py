"""How the text of a value becomes what its key declares, with sentences for what does not fit.

Whole numbers take no leading zeros (an address written as `0717` is not 717), switches take the
words people write, durations are plain seconds.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

__all__ = [
    "Address",
    "Amount",
    "AmountByCurrency",
    "Digits",
    "File",
    "HostPort",
    "Language",
    "Listed",
    "Name",
    "Number",
    "Section",
    "Switch",
    "Whole",
    "Zone",
]

WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?")
CURRENCY: Final = re.compile(r"[A-Z]{3}")
ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
SWITCH: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Section(BaseModel):
    """A part of the file: unknown keys are errors, nothing changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _whole(value: object) -> object:
    if isinstance(value, str):
        if not WHOLE.fullmatch(value):
            raise ValueError(f"must be a whole number, got {shown(value)}")
        return int(value)
    return value


def _number(value: object) -> object:
    if isinstance(value, str):
        if not NUMBER.fullmatch(value):
            raise ValueError(f"must be a number, got {shown(value)}")
        return float(value)
    return value


def _switch(value: object) -> object:
    if isinstance(value, str):
        if value.lower() not in SWITCH:
            raise ValueError(f"must be true or false, got {shown(value)}")
        return SWITCH[value.lower()]
    return value


def _amount(value: object) -> object:
    if isinstance(value, str):
        try:
            amount = Decimal(value)
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount <= 0:
            raise ValueError(f"must be an amount above 0 such as 100.00, got {shown(value)}")
        return amount
    return value


def _digits(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]+", value):
        raise ValueError(f"must be digits only, got {shown(value)}")
    return value


def _address(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,15}", value):
        raise ValueError(
            f"must be 1 to 15 digits, got {shown(value)} (nobody can answer to a name)"
        )
    return value


def _name(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", value):
        raise ValueError(
            "must be 1 to 32 small letters, digits, - or _, beginning with a letter or digit, "
            f"got {shown(value)}"
        )
    return value


def _listed(value: object) -> object:
    """One value may stand where a list of one is meant."""
    return [value] if isinstance(value, str) else value


def _host_port(value: object) -> object:
    if isinstance(value, str):
        host, colon, port = value.rpartition(":")
        whole = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:\s/]+)", host)
        if not colon or not whole or not WHOLE.fullmatch(port) or not 0 <= int(port) <= 65535:
            raise ValueError(f"must be HOST:PORT such as 127.0.0.1:9464, got {shown(value)}")
    return value


def _by_currency(value: dict[str, Decimal]) -> dict[str, Decimal]:
    for currency in value:
        if not CURRENCY.fullmatch(currency):
            raise ValueError(f"must have ISO 4217 codes such as UAH as keys, got {currency!r}")
    return value


def _zone(value: str) -> str:
    # A machine without time zones of its own leaves the question to the database.
    known = available_timezones()
    if not ZONE.fullmatch(value) or (known and value not in known):
        raise ValueError(f"must be a time zone such as Europe/Kyiv, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """A value in a message: short, and told apart from the words around it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(text if len(text) <= 60 else text[:59] + "…")


Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[float, BeforeValidator(_number)]
Switch = Annotated[bool, BeforeValidator(_switch)]
Amount = Annotated[Decimal, BeforeValidator(_amount)]
AmountByCurrency = Annotated[dict[str, Amount], AfterValidator(_by_currency)]
Zone = Annotated[str, AfterValidator(_zone)]
Digits = Annotated[str, BeforeValidator(_digits)]
#: What a subscriber's phone can send an answer to.
Address = Annotated[str, BeforeValidator(_address)]
#: What stands in metrics and logs for a link, a route, an adapter.
Name = Annotated[str, BeforeValidator(_name)]
Listed = BeforeValidator(_listed)
HostPort = Annotated[str, BeforeValidator(_host_port)]
#: The path of a file; whether it is there and who may read it is checked when loading.
File = Annotated[str, StringConstraints(min_length=1), Field(json_schema_extra={"file": True})]
Language = Literal["uk", "ru", "en"]
