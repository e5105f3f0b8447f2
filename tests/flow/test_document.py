"""A partner's document keeps every digit, there and back."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcd.flow.document import document_of, document_text

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
def test_a_document_comes_back_as_it_went(document: dict[str, object]) -> None:
    text = document_text(document)
    assert document_of(text) == document
    json.loads(text)


def test_numbers_are_written_as_numbers_with_all_their_digits() -> None:
    assert document_text({"a": Decimal("25.00"), "b": [Decimal("1E+2")]}) == '{"a":25.00,"b":[100]}'
    assert document_of('{"a":25.00}') == {"a": Decimal("25.00")}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_word_for_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        document_text({"a": value})
