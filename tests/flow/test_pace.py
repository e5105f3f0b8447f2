"""The pace of a billing system: at once, a second, and when it is away and comes back."""

from typing import Any

import pytest
from twisted.internet.task import Clock

from ppcd.flow.pace import Pace, PaceRules, Turns
from ppcd.metrics import Metrics


class Scene:
    def __init__(self, *, jitter: float = 0.0, **rules: Any) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.pace = Pace(
            "main",
            PaceRules(**rules),
            clock=self.clock,
            jitter=lambda: jitter,
            metrics=self.metrics,
        )

    def fail(self, *charges: int, **more: Any) -> None:
        for charge in charges:
            self.pace.failed(charge, **more)

    @property
    def open(self) -> bool:
        gauge = self.metrics.breaker_open.child("main").value
        assert self.pace.is_away == bool(gauge)
        assert self.pace.is_open == (self.pace.at_once_max == 0)
        return self.pace.is_open


def test_without_a_rate_nothing_waits() -> None:
    scene = Scene(running_max=7)
    for _ in range(1000):
        assert scene.pace.wait_s() == 0
        scene.pace.begun()
    assert (scene.pace.at_once_max, scene.pace.ahead_max) == (7, 140)


def test_a_rate_holds_over_any_time_but_for_a_tenth_of_a_second_at_once() -> None:
    scene = Scene(rate_max=50)
    begun = 0
    for _ in range(300):
        while scene.pace.wait_s() == 0:
            scene.pace.begun()
            begun += 1
        wait_s = scene.pace.wait_s()
        assert 0 < wait_s <= 0.0201
        scene.clock.advance(wait_s)
    assert begun == pytest.approx(5 + 50 * scene.clock.seconds(), abs=1)
    scene.clock.advance(3600)  # what was not used is not saved up
    scene.pace.wait_s()
    for _ in range(5):
        scene.pace.begun()
    assert scene.pace.wait_s() > 0
    assert scene.pace.ahead_max == 500, "no more than is begun while the lease lasts"


def test_a_slow_rate_lets_one_through_at_a_time() -> None:
    scene = Scene(rate_max=0.1)
    assert scene.pace.wait_s() == 0
    scene.pace.begun()
    assert scene.pace.wait_s() == pytest.approx(10)
    assert scene.pace.ahead_max == 1


def test_several_charges_in_a_row_are_an_outage_and_one_is_not() -> None:
    scene = Scene(failures_max=3)
    scene.fail(1, 1, 1, 1, 2)
    assert not scene.open
    scene.pace.answered()
    scene.fail(1, 2)
    assert not scene.open
    scene.fail(3)
    assert scene.open
    assert scene.pace.ahead_max == 0


def test_it_is_tried_with_one_after_pauses_that_grow() -> None:
    scene = Scene(failures_max=1, running_max=20, pause_first_s=1, pause_max_s=5)
    for pause_s in (1, 2, 4, 5, 5):
        scene.fail(1)
        assert scene.open
        scene.clock.advance(pause_s - 0.01)
        assert scene.open
        scene.clock.advance(0.01)
        assert not scene.open
        assert (scene.pace.at_once_max, scene.pace.ahead_max) == (1, 1)


def test_who_comes_back_is_met_by_ever_more() -> None:
    scene = Scene(failures_max=4, running_max=8)
    scene.fail(1, 2, 3, 4)
    scene.clock.advance(1)
    assert scene.pace.at_once_max == 1
    rounds = []
    while scene.pace.at_once_max < 8:
        for _ in range(scene.pace.at_once_max):
            scene.pace.answered()
        rounds.append(scene.pace.at_once_max)
        assert not scene.pace.is_away
    assert rounds == [2, 4, 8]
    # All is as before: it takes four again, and the first pause.
    scene.fail(1, 2, 3)
    assert not scene.open
    scene.fail(4)
    scene.clock.advance(1)
    assert not scene.open


def test_who_falters_while_coming_back_is_left_alone_at_once() -> None:
    scene = Scene(failures_max=4, running_max=8)
    scene.fail(1, 2, 3, 4)
    scene.clock.advance(1)
    scene.pace.answered()
    scene.fail(5)
    assert not scene.open
    scene.fail(6)
    assert scene.open
    scene.clock.advance(1.9)
    assert scene.open, "the pause is the second one"


def test_an_answer_to_what_was_under_way_ends_the_outage() -> None:
    scene = Scene(failures_max=1, running_max=8)
    scene.fail(1)
    scene.pace.answered()
    assert not scene.open
    assert scene.pace.at_once_max == 2


def test_billing_may_ask_for_a_longer_pause_up_to_a_minute() -> None:
    scene = Scene(failures_max=1)
    scene.fail(1, retry_after_s=20)
    scene.clock.advance(19.9)
    assert scene.open
    scene.clock.advance(0.2)
    scene.fail(1, retry_after_s=3600)
    scene.clock.advance(60)
    assert not scene.open


def test_nodes_do_not_come_back_together() -> None:
    scene = Scene(failures_max=1, jitter=0.8)
    scene.fail(1)
    scene.clock.advance(1.39)
    assert scene.open
    scene.clock.advance(0.02)
    assert not scene.open


def test_where_billing_is_slow_fewer_are_under_way() -> None:
    scene = Scene(running_max=100)
    scene.pace.crowded()
    assert scene.pace.at_once_max == 75
    for _ in range(30):
        scene.pace.crowded()
    assert scene.pace.at_once_max == 1
    for _ in range(200):
        scene.pace.answered()
    assert scene.pace.at_once_max == 100


def test_a_charge_that_billing_chokes_on_again_is_no_outage_and_prolongs_none() -> None:
    scene = Scene(failures_max=1, running_max=20)
    scene.pace.choked()
    assert not scene.open
    for _ in range(3):
        scene.fail(1)
        scene.clock.advance(10)
    scene.pace.choked()
    assert scene.open
    scene.clock.advance(1)
    assert not scene.open
    assert scene.pace.at_once_max == 1
    scene.fail(2)
    scene.clock.advance(7.9)
    assert scene.open, "an outage is one as before"


def turns_of(scene: Scene, *, standing: bool = False) -> Turns:
    return Turns(scene.pace, running_max=20, standing=lambda: standing, clock=scene.clock)


@pytest.mark.parametrize("first", [0, 1])
def test_two_kinds_of_work_share_the_rate_and_neither_starves(first: int) -> None:
    scene = Scene(rate_max=10)
    both = [turns_of(scene), turns_of(scene)]
    begun = [0, 0]
    for _ in range(200):
        for kind in (first, 1 - first):  # the same one is there first, each time
            while both[kind].wait_s() == 0:
                both[kind].begun()
                begun[kind] += 1
        scene.clock.advance(0.05)
    assert sum(begun) == pytest.approx(100, abs=3)
    assert begun[0] == pytest.approx(begun[1], abs=2)


def test_alone_one_kind_has_all_of_the_rate() -> None:
    scene = Scene(rate_max=10)
    turns, begun = turns_of(scene), 0
    for _ in range(200):
        while turns.wait_s() == 0:
            turns.begun()
            begun += 1
        scene.clock.advance(0.05)
    assert begun == pytest.approx(100, abs=3)


def test_each_keeps_to_what_may_run_at_once_or_runs_to_be_put_off() -> None:
    scene = Scene(running_max=7, failures_max=1)
    assert (turns_of(scene).at_once_max, turns_of(scene).wait_s()) == (7, 0)
    scene.fail(1)
    assert turns_of(scene).at_once_max == 0
    held = turns_of(scene, standing=True)
    assert (held.at_once_max, held.ahead_max, held.wait_s()) == (20, 20, 0)
    held.begun()
    assert turns_of(scene).ahead_max == 0
