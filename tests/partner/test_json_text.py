"""JSON for money: digits survive, and one meaning has one text."""

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.partner.json_text import JsonError, canonical, decode

_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=20)
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(_DOCUMENTS)
def test_what_json_writes_we_read(document: Any) -> None:
    assert decode(json.dumps(document).encode()) == document
    assert decode(json.dumps(document, ensure_ascii=False).encode()) == document


@given(_DOCUMENTS)
def test_a_canonical_text_ignores_order_and_layout(document: Any) -> None:
    plain, sorted_ = json.dumps(document), json.dumps(document, sort_keys=True, indent=2)
    assert canonical(decode(plain.encode())) == canonical(decode(sorted_.encode()))


@given(st.binary(max_size=200))
def test_garbage_raises_only_our_error(body: bytes) -> None:
    with suppress(JsonError):
        decode(body)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3), st.integers(0, 3))
def test_zeros_at_the_end_mean_nothing(value: Decimal, zeros: int) -> None:
    text = f"{value:f}" + "0" * zeros
    assert canonical(Decimal(text)) == canonical(value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("25", "25.0", True),
        ("25", "2.5e1", True),
        ("1000", "1e3", True),
        ("0", "-0.00", True),
        ("25", "25.01", False),
        ("25", '"25"', False),
        ("1", "true", False),
        ("[1,2]", "[2,1]", False),
        ('{"a":1,"b":2}', '{"b":2.0,"a":1}', True),
        ('{"a":null}', "{}", False),
        ("100000000000000.01", "100000000000000.02", False),
    ],
)
def test_what_is_the_same(one: str, other: str, *, same: bool) -> None:
    first, second = canonical(decode(one.encode())), canonical(decode(other.encode()))
    assert (first == second) is same
