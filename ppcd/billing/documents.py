"""An answer's bytes as a document in which values are found by path.

Owns the four formats and their limits. A document that can be read in two ways (a doubled member,
a path that fits twice) is not read at all. XML is parsed without a DTD, so there are no entities
but its own five.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import parse_qsl
from xml.parsers import expat

__all__ = ["Find", "Format", "Unreadable", "parse_xml", "read_document"]

Format = Literal["json", "xml", "xmlrpc", "form"]

DEPTH_MAX: Final = 32
ELEMENTS_MAX: Final = 5_000
FIELDS_MAX: Final = 200

#: Gives the text of the scalar at a path; None when there is none, or more than one.
Find = Callable[[str], str | None]


class Unreadable(ValueError):
    """These bytes are not a document of that format, or not one that can be trusted."""


def read_document(form: Format, body: bytes) -> Find:
    """How to find values in an answer; raises Unreadable."""
    return _READERS[form](body)


# --- JSON, and what is made to look like it


def _read_json(body: bytes) -> Find:
    try:
        # What json.loads does with octets, without making a decoder for each, and in one call.
        # What begins so is UTF-8.
        encoding = "utf-8" if _UTF_8.match(body) else json.detect_encoding(body)
        text = body.decode(encoding, "surrogatepass").strip(" \t\n\r")
        document, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError) as exc:
        raise Unreadable("the answer is not JSON") from exc
    if end != len(text):
        raise Unreadable("the answer is JSON, and more")
    return partial(_member, document)


def _read_form(body: bytes) -> Find:
    try:
        pairs = parse_qsl(
            body.decode().strip(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
        members = _once([*pairs])
    except ValueError as exc:
        raise Unreadable("the answer is not form data") from exc
    return lambda path: _scalar(members.get(path))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Each reader of a doubled member may take another one."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Unreadable("a member is there twice")
    return members


_UTF_8: Final = re.compile(rb"[\t\n\r !-~]{2}")
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once)


def _member(document: object, path: str) -> str | None:
    """The scalar at a path such as `result.codes.0`, as text."""
    if type(document) is dict and "." not in path:  # as most are
        found = document.get(path)
        return found if type(found) is str else _scalar(found)
    for name in path.split("."):
        match document:
            case dict():
                document = document.get(name)
            case list() if name.isdecimal() and len(name) < 5 and int(name) < len(document):
                document = document[int(name)]
            case _:
                return None
    return _scalar(document)


def _scalar(value: object) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
    return None


# --- XML


@dataclass(slots=True, eq=False)
class Element:
    """An element with its local name: namespaces are the dialect's business, prefixes nobody's."""

    name: str
    attributes: Mapping[str, str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces).strip()

    def only(self, name: str) -> Element:
        """The only child, which must have that name."""
        if [child.name for child in self.children] != [name]:
            raise Unreadable(f"<{self.name}> should have one <{name}>")
        return self.children[0]


class _Tree:
    """Expat's events as elements, with limits."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS_MAX or len(self._open) >= DEPTH_MAX:
            raise Unreadable("the XML is too large or too deep")
        plain = {_local(key): value for key, value in attributes.items()}
        element = Element(_local(name), plain)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        self._open[-1].pieces.append(data)

    def refuse(self, *_: object) -> None:
        raise Unreadable("XML with a DOCTYPE is not read")


def parse_xml(body: bytes) -> Element:
    """The root element; raises Unreadable."""
    tree = _Tree()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    # Before any entity could be declared, so none is ever expanded or fetched.
    parser.StartDoctypeDeclHandler = tree.refuse
    parser.EntityDeclHandler = tree.refuse
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.text
    try:
        parser.Parse(body, True)  # noqa: FBT003  # the library's: these are all the bytes
    except (expat.ExpatError, ValueError, LookupError) as exc:
        if isinstance(exc, Unreadable):
            raise
        raise Unreadable("the answer is not XML") from exc
    assert tree.root is not None
    return tree.root


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _read_xml(body: bytes) -> Find:
    root = parse_xml(body)

    def find(path: str) -> str | None:
        steps, _, attribute = path.partition("@")
        found = list(_at(root, steps.strip("/").split("/")))
        if len(found) != 1:
            return None
        if attribute:
            return found[0].attributes.get(attribute)
        return None if found[0].children else found[0].text

    return find


def _at(element: Element, steps: list[str]) -> Iterator[Element]:
    """Elements at a path from `element` on, `*` standing for any one name."""
    first, *rest = steps
    if first not in (element.name, "*"):
        return
    if not rest:
        yield element
    for child in element.children if rest else ():
        yield from _at(child, rest)


# --- XML-RPC


def _read_xmlrpc(body: bytes) -> Find:
    root = parse_xml(body)
    if root.name != "methodResponse" or len(root.children) != 1:
        raise Unreadable("the answer is not an XML-RPC methodResponse")
    inner = root.children[0]
    if inner.name == "fault":
        document: object = {"fault": _value(inner.only("value"))}
    else:
        document = _value(root.only("params").only("param").only("value"))
    return partial(_member, document)


def _value(element: Element) -> object:
    """A <value> as dict, list or text; numbers stay as they are written."""
    if not element.children:
        return element.text
    if len(element.children) != 1:
        raise Unreadable("an XML-RPC value has one type")
    typed = element.children[0]
    match typed.name:
        case "struct":
            return _once([_struct_member(member) for member in typed.children])
        case "array":
            return [_value(item) for item in typed.only("data").children]
        case "nil":
            return None
    if typed.children:
        raise Unreadable(f"an XML-RPC <{typed.name}> is a plain value")
    return typed.text


def _struct_member(member: Element) -> tuple[str, object]:
    if [child.name for child in member.children] != ["name", "value"]:
        raise Unreadable("an XML-RPC member has a name and a value")
    name, value = member.children
    return name.text, _value(value)


_READERS: Final[Mapping[Format, Callable[[bytes], Find]]] = MappingProxyType(
    {"json": _read_json, "xml": _read_xml, "xmlrpc": _read_xmlrpc, "form": _read_form}
)
