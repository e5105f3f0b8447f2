"""Runs of ids are the list of them, whatever is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.store.runs import Runs

RUNS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 5)).map(
        lambda place: range(place[0] * 10, place[0] * 10 + place[1])
    ),
    max_size=4,
    unique_by=lambda run: run.start,
).map(Runs)


@given(RUNS, st.integers(-3, 25), st.integers(-3, 25))
def test_they_are_the_list_of_their_ids(ids: Runs, start: int, stop: int) -> None:
    all_of_them = list(ids)
    assert (len(ids), [ids[at] for at in range(len(ids))]) == (len(all_of_them), all_of_them)
    assert list(ids[start:stop]) == all_of_them[start:stop]
    assert [ids.index(one) for one in all_of_them] == list(range(len(ids)))
    assert [ids[at - len(ids)] for at in range(len(ids))] == all_of_them


@given(st.lists(RUNS, max_size=3))
def test_joined_they_are_one_after_another(parts: list[Runs]) -> None:
    assert list(Runs.joined(parts)) == [one for part in parts for one in part]


def test_what_is_not_among_them_is_said() -> None:
    ids = Runs([range(10, 13)])
    for at in (3, -4):
        with pytest.raises(IndexError):
            ids[at]
    with pytest.raises(ValueError, match="13 is none"):
        ids.index(13)
    with pytest.raises(ValueError, match="steps of 2"):
        ids[::2]
