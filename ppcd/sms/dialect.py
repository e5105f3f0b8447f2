"""What an SMSC means by its octets: alphabets, number formats, ids. One value for each link.

Owns the normalising of subscribers' numbers: the same phone must give the same MSISDN whatever
form the SMSC uses. Refuses to guess: what the rules don't cover is no subscriber's number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ppcd.charge.msisdn import InvalidMsisdn, Msisdn
from ppcd.smpp import Advice, Npi, Ton
from ppcd.smpp.receipts import IdBase

#: Digits of an MSISDN.
_SIZES: Final = frozenset(range(5, 16))
_INTERNATIONAL: Final = {bytes([Ton.INTERNATIONAL])}
_ALPHANUMERIC: Final = bytes([Ton.ALPHANUMERIC])


@dataclass(frozen=True, slots=True)
class LocalPrefix:
    """How to complete national numbers: what they begin with, and what is put there instead."""

    country_code: str
    trunk_prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One link's ways; the defaults are the specification's and the field's."""

    #: Whether the operator vouches for the senders of what this link delivers.
    trusted: bool = True
    default_alphabet: str = "gsm0338"
    alphabets: Mapping[int, str] = field(default_factory=dict)
    receipt_id_base: IdBase = "as_sent"
    source_ton: int = Ton.UNKNOWN
    source_npi: int = Npi.ISDN
    dest_ton: int = Ton.INTERNATIONAL
    dest_npi: int = Npi.ISDN
    local_prefix: LocalPrefix | None = None
    advice: Mapping[int, Advice] = field(default_factory=dict)

    def numbers(self, addresses: Sequence[bytes], tons: Sequence[bytes]) -> Sequence[bytes | None]:
        """The subscribers' numbers of many, each as its digits in ASCII; each type of number is its
        one octet.
        """
        # What nearly every SMSC sends, judged as one without making anything of each.
        if (
            set(map(len, addresses)) <= _SIZES
            and b"".join(addresses).isdigit()
            and b",0" not in b"," + b",".join(addresses)
            and (set(tons) == _INTERNATIONAL or self._needs_no_type(tons))
        ):
            return addresses
        found = (self.digits(*one) for one in zip(addresses, map(ord, tons), strict=True))
        return [None if digits is None else b"%d" % digits for digits in found]

    def _needs_no_type(self, tons: Sequence[bytes]) -> bool:
        return self.local_prefix is None and _ALPHANUMERIC not in tons

    def digits(self, address: bytes, ton: int) -> int | None:
        """The subscriber's number as an integer, None for what is none."""
        msisdn = self.msisdn(address, ton)
        return None if msisdn is None else msisdn.as_int

    def msisdn(self, address: bytes, ton: int) -> Msisdn | None:
        """The subscriber's number, None for what is none (a short code, a name, a broken one)."""
        try:
            digits = address.decode("ascii").strip()
        except UnicodeDecodeError:
            return None
        if ton == Ton.ALPHANUMERIC:
            return None
        local = self.local_prefix
        if digits.startswith("+"):
            digits = digits[1:]
        elif ton != Ton.INTERNATIONAL and local is not None:
            digits = _completed(digits, local, national=ton == Ton.NATIONAL)
        try:
            return Msisdn.from_digits(digits)
        except InvalidMsisdn:
            return None


def _completed(digits: str, local: LocalPrefix, *, national: bool) -> str:
    if digits.startswith("00"):
        return digits[2:]
    if local.trunk_prefix and digits.startswith(local.trunk_prefix):
        return local.country_code + digits[len(local.trunk_prefix) :]
    if national:
        return local.country_code + digits
    return digits
