"""A partner's document as text and back: JSON whose numbers keep every digit.

Python's encoder can't write a Decimal as a number, and its decoder makes floats of them; money
wants neither.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# The library's own, without an encoder built for each string.
_quote = json.encoder.encode_basestring
_decode = json.JSONDecoder(parse_float=Decimal).decode


def document_text(value: object) -> str:
    """`value` as JSON; Decimals as the numbers they are."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        members = (f"{_quote(str(k))}:{document_text(v)}" for k, v in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(document_text, value)) + "]"
    if isinstance(value, str):
        return _quote(value)
    return json.dumps(value, allow_nan=False)


def document_of(text: str) -> Mapping[str, Any]:
    """What `document_text` wrote; numbers with a point as Decimals."""
    document = _decode(text)
    assert isinstance(document, dict)
    return document
