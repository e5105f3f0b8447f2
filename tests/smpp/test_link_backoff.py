"""How long a link waits: by what went wrong, and how often in a row."""

from __future__ import annotations

from ppcd.smpp import Backoff, BackoffSettings
from ppcd.smpp.backoff import Failure

U, R, L = Failure.UNREACHABLE, Failure.REFUSED, Failure.LOST


def waits(*failures: Failure, random: float = 1.0) -> list[float]:
    backoff = Backoff(BackoffSettings(), lambda: random)
    return [backoff.wait_s(failure) for failure in failures]


def test_waits_double_up_to_a_cap() -> None:
    assert waits(*[U] * 8) == [1, 2, 4, 8, 16, 32, 60, 60]
    assert waits(*[R] * 6) == [30, 60, 120, 240, 300, 300]
    assert waits(*[U] * 2000)[-1] == 60


def test_jitter_takes_up_to_half_and_never_all() -> None:
    assert waits(U, U, random=0.0) == [0.5, 1.0]


def test_a_good_bind_that_fell_begins_anew() -> None:
    assert waits(U, U, U, L, U, U) == [1, 2, 4, 1, 2, 4]
    assert waits(L, L, L) == [1, 1, 1]


def test_each_kind_of_failure_has_its_own_row() -> None:
    assert waits(U, U, U, U, R, R, U, U) == [1, 2, 4, 8, 30, 60, 1, 2]
    assert waits(R, R, L, R) == [30, 60, 1, 30]


def test_failures_are_counted_until_a_good_bind() -> None:
    backoff = Backoff(BackoffSettings(), lambda: 1.0)
    for failure, count in ((U, 1), (R, 2), (U, 3), (L, 1), (U, 2)):
        backoff.wait_s(failure)
        assert backoff.failures == count
