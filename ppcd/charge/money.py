"""Money: integers in minor units with their ISO 4217 currency.

Owns the exponents, the way from and to decimal text, and how an amount is printed for people.
Refuses to know floats, rates and taxes: the debit is exactly the amount that was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

#: Ten billion of a currency with two decimals. It keeps sums over millions of charges well inside
#: PostgreSQL's BIGINT, and a printed amount at most 14 characters long (see `texts`).
AMOUNT_MINOR_MAX: Final = 10**12

# The active codes of ISO 4217 that can be owed. Metals, the SDR and the testing codes have no
# minor unit and are left out on purpose.
_BY_EXPONENT: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
        CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
        GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
        LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
        NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS
        SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST
        XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

#: Decimals of each currency's minor unit: UAH 2, JPY 0, KWD 3.
EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    {code: places for places, codes in _BY_EXPONENT.items() for code in codes.split()}
)

#: How a currency is called in a language, where that is not its code.
SYMBOLS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "uk": MappingProxyType({"UAH": "грн", "RUB": "₽"}),
        "ru": MappingProxyType({"UAH": "грн", "RUB": "₽"}),
        "en": MappingProxyType({}),
    }
)

_DECIMAL_COMMA: Final = frozenset({"uk", "ru"})


class UnknownCurrency(KeyError):
    """Not an active ISO 4217 code with a minor unit."""

    def __str__(self) -> str:
        return f"{self.args[0]!r} is not a currency of ISO 4217"


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met where one currency was needed."""


class AmountError(ValueError):
    """An amount that cannot be charged; the message says why, in words for the partner."""


def exponent(currency: str) -> int:
    """How many decimals the currency's minor unit has."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(currency) from None


@dataclass(frozen=True, slots=True)
class Money:
    """A positive amount; nothing and debts are not money that can be charged."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        exponent(self.currency)
        # An exact type: True is an int to isinstance, and a float would compare just as well.
        if type(self.amount_minor) is not int:
            raise AmountError("the amount in minor units must be a whole number")
        if self.amount_minor <= 0:
            raise AmountError("the amount must be more than zero")
        if self.amount_minor > AMOUNT_MINOR_MAX:
            raise AmountError(f"the amount is over {AMOUNT_MINOR_MAX} minor units")

    def __add__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def exceeds(self, limit: "Money") -> bool:
        """Whether this is more than the limit, which must be of the same currency."""
        self._require_same_currency(limit)
        return self.amount_minor > limit.amount_minor

    def _require_same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} don't go together")


def from_decimal(value: Decimal, currency: str) -> Money:
    """Money from a decimal in major units; raises AmountError rather than round.

    Works on the digits alone: arithmetic of `decimal` would round to the context's precision,
    and 1E+1000000 must not become a million digits.
    """
    places = exponent(currency)
    if not value.is_finite():
        raise AmountError("the amount must be a number")
    if value <= 0:
        raise AmountError("the amount must be more than zero")
    if value > AMOUNT_MINOR_MAX:
        raise AmountError(f"the amount is over {AMOUNT_MINOR_MAX} minor units")
    _, digits, power = value.as_tuple()
    assert isinstance(power, int)  # a letter for infinities and NaN, which are gone by now
    shift = power + places
    if shift < 0:
        if any(digits[shift:]):
            raise AmountError(f"{currency} has {places} decimals, the amount has more")
        digits, shift = digits[:shift], 0
    return Money(int("".join(map(str, digits))) * 10**shift, currency)


def to_decimal_text(money: Money) -> str:
    """The amount in major units with all its decimals: 25.00, JPY 500, KWD 1.250."""
    whole, fraction = _split(money.amount_minor, money.currency)
    return f"{whole}.{fraction}" if fraction else whole


def sum_text(amount_minor: int, currency: str) -> str:
    """A sum in major units with all its decimals: it may be nothing, or a debt, or huge."""
    whole, fraction = _split(abs(amount_minor), currency)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def to_major_number(money: Money) -> str:
    """The amount as the number in a reply is spelt: 25 or 25.5, without zeros at the end."""
    whole, fraction = _split(money.amount_minor, money.currency)
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def amount_text(money: Money, language: str) -> str:
    """The amount alone, for people: 25,00 in Ukrainian and Russian, 25.00 in English.

    Thousands are not grouped: a line that breaks inside of 1 250,00 shows a price of 250,00.
    """
    text = to_decimal_text(money)
    return text.replace(".", ",") if language in _DECIMAL_COMMA else text


def currency_text(currency: str, language: str) -> str:
    """What the currency is called in a text for people: грн, ₽, or its code."""
    exponent(currency)
    return SYMBOLS[language].get(currency, currency)


def format_money(money: Money, language: str) -> str:
    """Amount and currency for people: 25,00 грн, 25.00 UAH."""
    return f"{amount_text(money, language)} {currency_text(money.currency, language)}"


def _split(amount_minor: int, currency: str) -> tuple[str, str]:
    """Digits before and after the decimal point, the latter all of them."""
    places = exponent(currency)
    digits = str(amount_minor).zfill(places + 1)
    return digits[: len(digits) - places], digits[len(digits) - places :]
