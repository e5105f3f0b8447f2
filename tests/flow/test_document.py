"""A partner's document keeps every digit, there and back."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcd.flow.document import Document, document_of, document_text

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
    assert Document(text) == document
    json.loads(text)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), VALUES), st.dictionaries(st.sampled_from("xyz"), VALUES)
)
def test_more_members_follow_those_that_there_are(
    own: dict[str, object], more: dict[str, object]
) -> None:
    document = Document(document_text(own)).with_more(more)
    assert list(document.items()) == [*own.items(), *more.items()]
    assert document_text({"in": document}) == document_text({"in": own | more})


def test_a_document_is_read_only_when_it_is_asked() -> None:
    document = Document("not JSON at all")
    assert document_text([document]) == "[not JSON at all]"
    assert "JSON" not in repr(document)
    with pytest.raises(json.JSONDecodeError):
        len(document)


def test_numbers_are_written_as_numbers_with_all_their_digits() -> None:
    assert document_text({"a": Decimal("25.00"), "b": [Decimal("1E+2")]}) == '{"a":25.00,"b":[100]}'
    assert document_of('{"a":25.00}') == {"a": Decimal("25.00")}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_word_for_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        document_text({"a": value})
