"""Many deadlines, one timer: each is kept to the moment, and none is told of twice."""

from twisted.internet.task import Clock

from ppcd.http.deadlines import Deadlines


def test_each_is_kept_to_the_moment_with_one_timer() -> None:
    clock, late = Clock(), []
    deadlines: Deadlines[str] = Deadlines(clock, lambda what: late.append((what, clock.seconds())))
    for what, until in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("b too", 2.0), ("d", 9.0)):
        deadlines.set(what, until)
        assert len(clock.getDelayedCalls()) == 1
    deadlines.drop("c")
    deadlines.set("d", 4.0)
    clock.pump([0.5] * 10)
    assert late == [("a", 1.0), ("b", 2.0), ("b too", 2.0), ("d", 4.0)]
    assert clock.getDelayedCalls() == []


def test_the_end_of_one_may_be_the_end_of_another_or_put_it_off() -> None:
    clock, late = Clock(), []

    def expire(what: str) -> None:
        late.append(what)
        deadlines.drop("b")
        if what == "a":
            deadlines.set("c", 5.0)

    deadlines: Deadlines[str] = Deadlines(clock, expire)
    for what in "abc":
        deadlines.set(what, 1.0)
    clock.advance(1)
    assert late == ["a"]
    clock.advance(4)
    assert late == ["a", "c"]


def test_what_is_out_of_time_already_is_told_in_the_next_turn() -> None:
    clock, late = Clock(), []
    deadlines: Deadlines[str] = Deadlines(clock, late.append)
    clock.advance(10)
    deadlines.set("a", 1.0)
    assert late == []
    clock.advance(0)
    assert late == ["a"]


def test_a_stop_leaves_no_timer() -> None:
    clock = Clock()
    deadlines: Deadlines[str] = Deadlines(clock, lambda what: None)
    deadlines.set("a", 1.0)
    deadlines.stop()
    assert clock.getDelayedCalls() == []
