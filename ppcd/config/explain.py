"""What pydantic found, as one sentence for the person who wrote the file.

Knows models and their bounds, so that it can say `must be between 1 and 100, got 0` where the
library tells only the bound that was hit.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from ppcd.config.document import Document, Loc, Problem
from ppcd.config.models import models_at
from ppcd.config.types import shown

__all__ = ["explain"]

#: Last words of keys whose values are not repeated in a message, even when they stand in a wrong
#: place.
QUIET: Final = re.compile(r"(password|secret|token|key|dsn)$")
BOUNDS: Final = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
}
LIMITS: Final = ("ge", "gt", "le", "lt", "min_length", "max_length")
LENGTHS: Final = {"string_too_short", "string_too_long", "too_short", "too_long"}
SENTENCES: Final[Mapping[str, str]] = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
}


def explain(document: Document, model: type[BaseModel], errors: list[Any]) -> list[Problem]:
    """Every error of a validation as a problem in the file."""
    return [_explain(document, model, error) for error in errors]


def _explain(document: Document, model: type[BaseModel], error: Any) -> Problem:
    kind = error["type"]
    loc = _in_file(document, error["loc"])
    if kind == "missing":
        loc = (*loc, error["loc"][-1])
    if kind == "extra_forbidden":
        return document.problem(loc, _unknown_key(model, loc), at_key=True)
    if kind == "missing":
        return document.problem(loc, "must be given")
    if kind == "union_tag_invalid":
        known = str(error["ctx"]["expected_tags"]).replace("'", "")
        message = f"must be one of {known}, got {shown(error['ctx']['tag'])}"
        return document.problem((*loc, "kind"), message)
    got = "" if loc and QUIET.search(str(loc[-1])) else f", got {shown(error['input'])}"
    if kind == "value_error":
        # Our own sentence; it already says what it got.
        message = str(error["ctx"]["error"])
    elif kind in BOUNDS or kind in LENGTHS:
        message = _bounds(_metadata(model, loc), error) + got
    elif kind in {"literal_error", "enum"}:
        message = f"must be one of {str(error['ctx']['expected']).replace(chr(39), '')}{got}"
    elif kind == "string_pattern_mismatch":
        message = _form(model, loc) + got
    elif kind in SENTENCES:
        message = SENTENCES[kind] + got
    else:
        text = str(error["msg"])
        message = text[:1].lower() + text[1:] + got
    return document.problem(loc, message)


def _in_file(document: Document, loc: Loc) -> tuple[int | str, ...]:
    """The place as far as the file has it: without union tags, `[key]`, missing keys."""
    kept: list[int | str] = []
    for part in loc:
        if document.has((*kept, part)):
            kept.append(part)
    return tuple(kept)


def _unknown_key(model: type[BaseModel], loc: Loc) -> str:
    known = {key for owner in models_at(model, loc[:-1]) for key in owner.model_fields}
    close = difflib.get_close_matches(str(loc[-1]), sorted(known), n=1)
    return f"unknown key; did you mean {close[0]}?" if close else "unknown key"


def _form(model: type[BaseModel], loc: Loc) -> str:
    """What a text should be, by its key's description: a pattern says it to nobody."""
    for owner in models_at(model, loc[:-1]):
        field = owner.model_fields.get(str(loc[-1]))
        if field is not None and field.description:
            return f"must be: {field.description.partition('. ')[0].rstrip('.')}"
    return "has not the form that it must have"


def _bounds(metadata: list[Any], error: Any) -> str:
    """`must be between 1 and 100`, from both bounds of the key where it has them."""
    # The error tells the bound that was hit; the field knows the other one too.
    limits = {name: error["ctx"].get(name) for name in LIMITS}
    for mark in metadata:
        limits |= {name: at for name in LIMITS if (at := getattr(mark, name, None)) is not None}
    if error["type"] in LENGTHS:
        low, high = limits["min_length"], limits["max_length"]
        if low == 1 and high is None:
            return "must not be empty"
        unit = " entries" if error["type"] in {"too_short", "too_long"} else " characters"
    else:
        low, high, unit = limits["ge"], limits["le"], ""
    if low is not None and high is not None:
        return f"must be between {low} and {high}{unit}"
    said = [
        f"at least {low}" if low is not None else "",
        f"above {limits['gt']}" if limits["gt"] is not None else "",
        f"at most {high}" if high is not None else "",
        f"below {limits['lt']}" if limits["lt"] is not None else "",
    ]
    return f"must be {' and '.join(words for words in said if words)}{unit}"


def _metadata(model: type[BaseModel], loc: Loc) -> list[Any]:
    for owner in models_at(model, loc[:-1]):
        field = owner.model_fields.get(str(loc[-1]))
        if field is not None:
            return list(field.metadata)
    return []
