"""A partner's document as text and back: JSON whose numbers keep every digit.

Python's encoder can't write a Decimal as a number, and its decoder makes floats of them; money
wants neither.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

# The library's own, without an encoder built for each string.
_quote = json.encoder.encode_basestring
_decode = json.JSONDecoder(parse_float=Decimal).decode


class Document(Mapping[str, Any]):
    """A document as it was written; it is read only when somebody asks for a field.

    Most are only shown again, and reading and writing one costs more than finding it.
    """

    __slots__ = ("_fields", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._fields: Mapping[str, Any] | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        if self._fields is None:
            self._fields = document_of(self.text)
        return self._fields

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        return "<Document>"  # it may have a phone number in it

    def with_more(self, members: Mapping[str, object]) -> "Document":
        """The same with these members after its own, which must be others."""
        more = document_text(members)
        if more == "{}":
            return self
        return Document(more if self.text == "{}" else f"{self.text[:-1]},{more[1:]}")


def document_text(value: object) -> str:
    """`value` as JSON; Decimals as the numbers they are."""
    kind = type(value)
    if kind is str:
        return _quote(value)  # type: ignore[arg-type]
    if kind is dict:
        members = [f"{_quote(k)}:{document_text(v)}" for k, v in value.items()]  # type: ignore[attr-defined]
        return "{" + ",".join(members) + "}"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Document):
        return value.text
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(document_text, value)) + "]"
    return json.dumps(value, allow_nan=False)


def document_of(text: str) -> Mapping[str, Any]:
    """What `document_text` wrote; numbers with a point as Decimals."""
    document = _decode(text)
    assert isinstance(document, dict)
    return document
