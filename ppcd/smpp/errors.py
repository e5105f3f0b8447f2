"""What the SMPP package raises: whose fault it is, and nothing else ever.

Owns the exception types. A malformed PDU is not among them: it is a value (`ppcd.smpp.pdu.Fault`)
in its place among the others; only a broken length ends a stream.
"""

from collections.abc import Sequence


class SmppError(Exception):
    """Base of all errors of this package."""


class EncodeError(SmppError, ValueError):
    """Our own caller asked for something that SMPP can't carry; nothing was sent.

    `field` names the parameter by the specification's name.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class FramingError(SmppError):
    """The peer announced a length that can't be; where the next PDU begins is unknown (3.4, 3.2).

    `before` holds what was decoded in front of the broken length, in wire order, in the form of
    the call that raised: deliver it first, then send `answer` (a generic_nack) and close.
    `sequence` is the header's where all 16 octets had been read, else 0.
    """

    def __init__(self, length: int, sequence: int, answer: bytes, before: Sequence[object]) -> None:
        super().__init__(f"command_length {length} is impossible here")
        self.length = length
        self.sequence = sequence
        self.answer = answer
        self.before = before


class TextError(SmppError, ValueError):
    """Text that the named alphabet can't carry, or octets that are no text in it."""


class TimeError(SmppError, ValueError):
    """Not a time in SMPP's format (3.4, 7.1.1)."""
