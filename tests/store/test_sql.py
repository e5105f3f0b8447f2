"""Arrays written by hand are what psycopg would have written: foreign octets are in them."""

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ppcd.store.notifications import Told
from ppcd.store.sql import (
    array,
    columns,
    integers,
    numbered,
    texts,
    unlike_octets,
    unlike_texts,
    written,
)
from tests.builders import Store

QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = st.text(
    alphabet=st.one_of(
        st.sampled_from("{}\",\\'NULnul ;%$\t\n\r\x01"),
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    ),
    max_size=20,
)


def read(store: Store, literal: str, kind: str) -> list[Any]:
    value: list[Any] = store.query(f"SELECT %s::{kind}[]", literal)[0][0]
    return value


@QUICK
@given(st.lists(st.one_of(st.none(), TEXTS)))
@example(["NULL", "null", None, "", " ", '"', "\\", "{}", ",", 'a\\"b', "'; DROP TABLE reply; --"])
def test_texts_arrive_as_they_are(store: Store, values: list[str | None]) -> None:
    assert read(store, texts(values), "text") == values
    assert unlike_texts(values) == texts(values)


@QUICK
@given(st.lists(st.binary(max_size=40)))
@example([b"", b"\0", b"\\x41", b'"{},', bytes(range(256))])
def test_octets_arrive_as_they_are(store: Store, values: list[bytes]) -> None:
    assert read(store, unlike_octets(values), "bytea") == values


@QUICK
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_numbers_arrive_as_they_are(store: Store, values: list[int | None]) -> None:
    assert read(store, integers(values), "bigint") == values


def test_columns_keep_the_rows_order(store: Store) -> None:
    made = [store.a_new_charge() for _ in range(3)]
    found = columns(iter(made), ("charge_id", "reference"))
    assert found == {
        "charge_id": integers(new.charge_id for new in made),
        "reference": texts(new.reference for new in made),
    }
    assert written(integers, made, ("charge_id",)) == {"charge_id": found["charge_id"]}


def test_arrays_of_numbers_and_texts_are_written_by_hand_and_no_others() -> None:
    assert array([1, None, 3]) == "{1, NULL, 3}"
    assert array(["a", None]) == '{"a",NULL}'
    assert (array([]), array([None])) == ("{}", "{NULL}")
    for values in ([True], [1.5, 2], [b"a"], [1, "a"], [Told.LATER]):
        assert array(list(values)) == values


def test_a_reply_of_nasty_octets_is_kept_as_it_came(store: Store) -> None:
    charge = store.a_written_charge()
    nasty = {"raw": b"'\"\\{},NULL\0\xff", "address": "71\"7\\{1},'0", "rule": "NULL"}
    for reply in (
        store.a_reply(charge, "unclear", **nasty),
        store.a_reply(charge, "yes", **nasty),
    ):
        store.settle(reply)
        query = "SELECT raw, address, rule FROM reply WHERE reply_id = %s"
        assert store.query(query, reply.reply_id) == [tuple(nasty.values())]


def test_parameters_are_numbered_as_psycopg_numbers_them() -> None:
    assert numbered("SELECT %(b)s::int, %(a)s, %(b)s, '100 %%'") == (
        b"SELECT $1::int, $2, $1, '100 %'",
        ["b", "a"],
    )
    assert numbered("SELECT %s, %s") == (b"SELECT $1, $2", [0, 1])
    assert numbered("SELECT 1") == (b"SELECT 1", [])


@pytest.mark.parametrize("statement", ["SELECT 5 % 2, %s", "SELECT %d", "SELECT %(a)d", "100 %"])
def test_a_lone_percent_is_an_error_that_says_what_to_write(statement: str) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="write %% for itself"):
        numbered(statement)


def test_names_and_places_are_not_mixed() -> None:
    with pytest.raises(psycopg.ProgrammingError, match="mixed"):
        numbered("SELECT %s, %(a)s")
