"""Retries: within seconds first, for three days in all."""

from random import Random

from ppcd.webhook.schedule import RETRY_DELAYS_S, delay_s


def test_the_first_minute_has_four_retries_and_the_last_is_after_three_days() -> None:
    assert RETRY_DELAYS_S[:4] == (2, 5, 15, 60)
    assert 72 * 3600 <= sum(RETRY_DELAYS_S) <= 76 * 3600


def test_pauses_are_the_schedules_and_up_to_a_fifth_longer() -> None:
    random = Random(1)
    for attempt, pause in enumerate(RETRY_DELAYS_S, 1):
        delays = [delay_s(attempt, random) for _ in range(50)]
        assert all(pause <= delay < pause * 1.2 for delay in delays)
        assert len(set(delays)) == 50


def test_the_last_pause_repeats() -> None:
    assert delay_s(100, Random(1)) >= RETRY_DELAYS_S[-1]
