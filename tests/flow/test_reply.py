"""The reply step: nothing is acknowledged before its commit, nothing vague confirms."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from ppcd.charge.msisdn import Msisdn
from ppcd.charge.reading import DEFAULT_WORDS, Reader
from ppcd.charge.rules import State
from ppcd.store.failures import Busy, Closing, NotApplied, OutcomeUnknown
from ppcd.store.lanes import Immediate
from ppcd.store.rows import ChargeRow
from ppcd.store.subscribers import Spared, Why
from tests.builders import POOL, Store
from tests.flow.world import World, mos, now


class Trouble(Immediate):
    """Fails the confirming and looking transactions as told; `applied` ones happen all the same."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.direct, reactor=None)
        self.first: list[Exception] = []
        self.second: list[Exception] = []

    def call(self, transaction: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        name = getattr(transaction, "func", transaction).__name__
        queue = self.first if "first_look" in name else self.second if "second" in name else []
        if not queue:
            return super().call(transaction, *args, **kwargs)
        trouble = queue.pop(0)
        if "applied" in str(trouble):
            super().call(transaction, *args, **kwargs)
        return fail(trouble)


@pytest.fixture
def troubled(store: Store) -> tuple[World, Trouble]:
    runner = Trouble(store)
    world = World(store, runner=runner)
    runner.reactor = world.clock
    return world, runner


def effects(world: World) -> list[str]:
    rows = world.store.query(
        "SELECT effect FROM reply WHERE reply_id > %s ORDER BY reply_id", world.store._first_id
    )
    return [effect for (effect,) in rows]


def asked_often(world: World, charge: ChargeRow) -> None:
    """All its questions have been asked: what is unclear from now on needs a second look."""
    for _ in range(2):
        world.answer(charge, "??")


def test_a_batch_is_recorded_in_its_order(world: World) -> None:
    charges = [world.a_charge() for _ in range(3)]
    batch = [world.an_mo(c, t) for c, t in zip(charges, ("да", "??", "нет"), strict=True)]
    assert world.hear(*batch) == [True, True, True]
    assert effects(world) == ["confirmed", "reprompted", "declined"]
    assert len(world.offers.debited) == 1
    assert len(world.offers.notified) == 1
    assert len(world.offers.prompted) == 1
    for verdict, count in (("yes", 1), ("no", 1), ("unclear", 1)):
        assert world.counted("replies", verdict) == count
    assert world.counted("reply_effects", "confirmed") == 1
    assert world.counted("charges", "confirmed") == 1
    assert world.counted("charges", "declined") == 1


def test_the_evidence_is_kept_as_it_came(world: World) -> None:
    charge = world.a_charge()
    world.hear(world.an_mo(charge, raw=b"\x04\x34", data_coding=8, esm_class=0))
    [row] = world.store.query(
        "SELECT raw, data_coding, rule FROM reply WHERE charge_id = %s", charge.charge_id
    )
    assert row == (b"\x04\x34", 8, "yes")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"part": True}, "several_parts"),
        ({"text": None}, "unreadable"),
        ({"text": "да " * 20}, "yes"),
        ({"text": "Вы хотите заплатить 25 грн? Отправьте ДА в ответ на это"}, "other_words"),
    ],
)
def test_what_is_no_clear_yes_asks_again(world: World, changes: dict[str, Any], rule: str) -> None:
    charge = world.a_charge()
    world.hear(world.an_mo(charge, **changes))
    [row] = world.store.query(
        "SELECT verdict, rule, effect FROM reply WHERE charge_id = %s", charge.charge_id
    )
    expected = ("yes", rule, "confirmed") if rule == "yes" else ("unclear", rule, "reprompted")
    assert row == expected


def test_an_untrusted_link_confirms_nothing(world: World) -> None:
    charge = world.a_charge()
    assert world.hear(world.an_mo(charge, link="shady")) == [True]
    assert world.state(charge) is State.AWAITING
    assert effects(world) == ["untrusted"]


def test_an_answer_counts_only_over_links_of_its_addresss_route(world: World) -> None:
    charge = world.a_charge()
    strays = [
        world.an_mo(charge, link="elsewhere"),
        world.an_mo(charge, address="999999"),
        world.an_mo(charge, msisdn=None),
        world.an_mo(charge, address=POOL[3].address),
    ]
    assert world.hear(*strays) == [True] * 4
    assert effects(world) == ["stray"] * 4
    assert world.state(charge) is State.AWAITING


def test_three_copies_in_one_batch_decide_once_and_are_all_recorded(world: World) -> None:
    charge = world.a_charge()
    assert world.hear(*[world.an_mo(charge)] * 3) == [True] * 3
    assert sorted(effects(world)) == ["confirmed", "late", "late"]
    assert len(world.offers.debited) == 1


def test_what_a_second_look_is_for_keeps_nobody_waiting(troubled: tuple[World, Trouble]) -> None:
    world, runner = troubled
    charges = [world.a_charge() for _ in range(3)]
    asked_often(world, charges[1])
    known: list[list[int]] = []
    heard = [world.an_mo(charges[0]), world.an_mo(charges[1], "??"), world.an_mo(charges[2])]

    def told(positions: Sequence[int]) -> None:
        known.append(list(positions))
        assert effects(world)[2:] == ["confirmed", "confirmed"]

    runner.second = [OutcomeUnknown("lost")]
    hearing = Deferred.fromCoroutine(world.replies.receive(mos(*heard), told))
    assert known == [[1]], "the other two are recorded"
    world.clock.advance(0.05)
    assert now(hearing) == [True] * 3
    # What the first look has left is looked at again, too.
    again = mos(world.an_mo(charges[1], "??"), world.an_mo(world.a_charge()))
    assert now(world.replies.receive(again, lambda at: known.append(list(at)))) == [True] * 2
    assert known[1:] == [[0]]
    assert now(world.replies.receive(mos(world.an_mo(world.a_charge())), told)) == [True]
    assert len(known) == 2, "all at once is soon enough"


def test_a_yes_and_a_no_in_one_batch_go_in_their_order(world: World) -> None:
    one, two = world.a_charge(), world.a_charge()
    world.hear(
        world.an_mo(one, "да"), world.an_mo(two, "нет"), world.an_mo(one, "нет"),
        world.an_mo(two, "да"),
    )  # fmt: skip
    assert world.state(one) is State.CONFIRMED
    assert world.state(two) is State.DECLINED
    assert sorted(effects(world)) == ["confirmed", "declined", "late_no", "late_yes"]


# --- a database in trouble --------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [NotApplied("down"), Busy("full"), Closing("closed")])
def test_what_was_not_recorded_is_not_acknowledged(
    troubled: tuple[World, Trouble], trouble: Exception
) -> None:
    world, runner = troubled
    charge = world.a_charge()
    runner.first = [trouble]
    assert world.hear(world.an_mo(charge)) == [False]
    assert world.state(charge) is State.AWAITING
    assert world.hear(world.an_mo(charge)) == [True]
    assert world.state(charge) is State.CONFIRMED


def test_without_ids_nothing_is_acknowledged(world: World) -> None:
    charge = world.a_charge()
    world.ids.failure = NotApplied("no ids")
    assert world.hear(world.an_mo(charge), world.an_mo(charge)) == [False, False]


def test_what_the_first_look_settled_is_acknowledged_though_the_second_fails(
    troubled: tuple[World, Trouble],
) -> None:
    world, runner = troubled
    clear, unclear = world.a_charge(), world.a_charge()
    asked_often(world, unclear)
    runner.second = [NotApplied("down")]
    assert world.hear(world.an_mo(unclear, "??"), world.an_mo(clear)) == [False, True]
    assert len(world.offers.debited) == 1


@pytest.mark.parametrize("applied", ["applied", "lost"])
def test_an_unknown_confirmation_is_acknowledged_when_it_is_known(
    troubled: tuple[World, Trouble], applied: str
) -> None:
    world, runner = troubled
    charge = world.a_charge()
    runner.first = [OutcomeUnknown(applied), OutcomeUnknown("again")]
    hearing = Deferred.fromCoroutine(world.replies.receive(mos(world.an_mo(charge))))
    world.clock.advance(0.05)
    assert not hearing.called
    world.clock.advance(0.1)
    assert now(hearing) == [True]
    assert world.state(charge) is State.CONFIRMED
    assert effects(world) == ["confirmed"]
    world.pass_(61)
    assert world.state(charge) is State.SUCCEEDED
    world.check_at_rest(charge)


@pytest.mark.parametrize("applied", ["applied", "lost"])
def test_an_unknown_second_look_asks_once(troubled: tuple[World, Trouble], applied: str) -> None:
    world, runner = troubled
    charge = world.a_charge()
    # What the first look would have settled is the second's, once nobody knows.
    runner.first, runner.second = [OutcomeUnknown(applied)], [OutcomeUnknown(applied)]
    hearing = Deferred.fromCoroutine(world.replies.receive(mos(world.an_mo(charge, "??"))))
    world.clock.advance(0.05)
    world.clock.advance(0.05)
    assert now(hearing) == [True]
    world.pump()
    world.pass_(61)
    assert world.kinds(charge) == ["prompt", "reprompt"]


def test_other_words_hold_after_a_reload(world: World) -> None:
    rules = world.replies._rules()
    words = replace(DEFAULT_WORDS, yes=DEFAULT_WORDS.yes | {"плачу"})
    changed = replace(rules, reader=Reader(words))
    other = world.a_charge()
    world.hear(world.an_mo(other, "плачу"))
    assert world.state(other) is State.AWAITING
    world.replies._rules = lambda: changed
    world.hear(world.an_mo(other, "плачу"))
    assert world.state(other) is State.CONFIRMED


# --- a subscriber's STOP


def _stopping(world: World, days: int = 30) -> None:
    rules = world.replies._rules()
    world.replies._rules = lambda: replace(rules, stop_blocks_s=days * 86_400)


def _blocks(world: World, charge: ChargeRow) -> int:
    query = "SELECT count(*) FROM blocked_subscriber WHERE msisdn = %s AND why = 'stop'"
    return int(world.store.query(query, charge.msisdn)[0][0])


def test_a_stop_declines_and_blocks(world: World) -> None:
    _stopping(world)
    charge = world.a_charge()
    world.answer(charge, "СТОП")
    assert world.state(charge) is State.DECLINED
    again = world.an_order(msisdn=Msisdn.from_digits(str(charge.msisdn)))
    assert now(world.requests.create(world.partner, again)) == Spared(Why.BLOCKED)
    assert world.counted("charges_spared", "blocked") == 1


def test_a_no_does_not_block(world: World) -> None:
    _stopping(world)
    charge = world.a_charge()
    world.answer(charge, "НЕТ")
    assert _blocks(world, charge) == 0


def test_a_stop_blocks_though_its_charge_has_ended(world: World) -> None:
    _stopping(world)
    charge = world.a_charge()
    world.answer(charge, "НЕТ")
    world.answer(charge, "STOP")
    assert _blocks(world, charge) == 1


def test_where_it_is_switched_off_a_stop_only_declines(world: World) -> None:
    charge = world.a_charge()
    world.answer(charge, "СТОП")
    assert (world.state(charge), _blocks(world, charge)) == (State.DECLINED, 0)


def test_nobody_is_blocked_over_a_link_that_is_not_trusted(world: World) -> None:
    _stopping(world)
    charge = world.a_charge()
    assert world.hear(world.an_mo(charge, "СТОП", link="shady")) == [True]
    assert world.hear(world.an_mo(charge, "СТОП", address="999")) == [True]
    assert _blocks(world, charge) == 0


def test_a_stop_that_could_not_be_kept_is_not_acknowledged(store: Store) -> None:
    world = World(store)
    _stopping(world)
    charge = world.a_charge()
    world.replies._block = Failing()  # type: ignore[assignment]
    assert world.hear(world.an_mo(charge, "СТОП")) == [False]
    assert world.state(charge) is State.AWAITING


class Failing:
    """A batcher whose database is away."""

    def submit(self, batch: object) -> Deferred[None]:
        return fail(NotApplied("down"))
