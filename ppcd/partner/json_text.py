"""JSON as money needs it: numbers keep their digits, and what is ambiguous is refused.

The standard library parses; this module forbids what it lets pass: doubled keys, NaN, NUL, half
characters, bottomless nesting.
"""

import json
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
    object_pairs_hook=_unique, parse_float=Decimal, parse_constant=_refuse
).decode


def decode(body: bytes) -> Any:
    """The document; every number with a fraction or exponent is a Decimal. Raises JsonError."""
    try:
        value = _decode(body.decode("utf-8"))
    except JsonError:
        raise
    except UnicodeDecodeError as exc:
        raise JsonError("the body is not UTF-8") from exc
    except json.JSONDecodeError as exc:
        raise JsonError(f"the body is not JSON: {exc.msg} at character {exc.pos}") from exc
    except (RecursionError, ValueError, ArithmeticError) as exc:
        # Nested beyond reason, or a number of more digits than Python converts.
        raise JsonError("the body is not JSON that can be read") from exc
    _check(value, _DEPTH_MAX)
    return value


def _check(value: Any, depth: int) -> None:
    """No depth beyond reason, no character that PostgreSQL or UTF-8 can't hold."""
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
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


_text = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: Any) -> str:
    """A text that is the same for documents that mean the same: 25, 25.0 and 2.5e1 are one number,
    and the order of fields means nothing.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal | dict | list):
        return _text(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(k)}:{canonical(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    sign, digits, power = Decimal(value).as_tuple()
    assert isinstance(power, int)
    number = "".join(map(str, digits)).lstrip("0")
    bare = number.rstrip("0")
    if not bare:
        return "0"
    return f"{'-' if sign else ''}{bare}e{power + len(number) - len(bare)}"


def _shown(name: str) -> str:
    """A field's name in a message: short, and nothing that breaks a line."""
    return json.dumps(name[:40])
