"""JSON as money needs it: numbers keep their digits, and what is ambiguous is refused.

The standard library parses; this module forbids what it lets pass: doubled keys, NaN, NUL, half
characters, bottomless nesting.
"""

import json
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

#: Deeper nesting than any body of ours by far; the parser's own limit is a crash away.
_DEPTH_MAX: Final = 32


class JsonError(ValueError):
    """Not a JSON document that we take; the message says why, in words for the partner."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        double = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise JsonError(f"the field {_shown(double)} is given twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise JsonError(f"{name} is not a JSON number")


_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse
).decode

#: What neither UTF-8 nor PostgreSQL can hold; a body can only say it with an escape.
_UNHOLDABLE: Final = re.compile("[\x00\ud800-\udfff]")


def decode(body: bytes) -> Any:
    """The document; every number is a Decimal. Raises JsonError."""
    try:
        value = _decode(body.decode("utf-8"))
    except JsonError:
        raise
    except UnicodeDecodeError as exc:
        raise JsonError("the body is not UTF-8") from exc
    except json.JSONDecodeError as exc:
        raise JsonError(f"the body is not JSON: {exc.msg} at character {exc.pos}") from exc
    except (RecursionError, ArithmeticError) as exc:
        # Nested beyond reason, or a number with an exponent that no Decimal has.
        raise JsonError("the body is not JSON that can be read") from exc
    if b"\\u" in body or body.count(b"[") + body.count(b"{") > _DEPTH_MAX:
        _check(value, _DEPTH_MAX)
    return value


def _check(value: Any, depth: int) -> None:
    """No depth beyond reason, no character that PostgreSQL or UTF-8 can't hold."""
    if isinstance(value, str):
        if _UNHOLDABLE.search(value):
            raise JsonError("a text has a NUL or half a character in it")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise JsonError("the body is nested too deeply")
        if isinstance(value, dict):
            for name in value:
                _check(name, depth)
            value = value.values()
        for item in value:
            _check(item, depth - 1)


def _bare(value: Decimal) -> dict[str, str]:
    """A number without the zeros that mean nothing. No model has an object where a number may be,
    so it can't be taken for what a partner wrote.
    """
    sign, digits, power = value.as_tuple()
    assert isinstance(power, int)
    number = "".join(map(str, digits)).lstrip("0")
    bare = number.rstrip("0")
    if not bare:
        return {"number": "0"}
    return {"number": f"{'-' if sign else ''}{bare}e{power + len(number) - len(bare)}"}


_encode_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_bare).encode


def canonical(document: Any) -> str:
    """A text that is the same for documents that mean the same: 25, 25.0 and 2.5e1 are one number,
    and the order of fields means nothing. Takes what `decode` gives.
    """
    return _encode_sorted(document)


def _shown(name: str) -> str:
    """A field's name in a message: short, and nothing that breaks a line."""
    return json.dumps(name[:40])
