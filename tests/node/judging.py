"""The judge of charges when nodes were killed: what billing, the SMSC and the partner saw.

Waits until all is at its end, and no longer than that can take: what can't be right any more ends
the waiting at once. Nothing of ppcd's own database or logs is looked at.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ppcd.sim.accounts import Mode
from tests.node.world import World

#: A killed node's work comes back to another when its lease is over, and of a doubt of some minutes
#: billing is asked every minute.
DRAIN_S = 300.0
#: An acknowledged answer has decided its charge: long before this it can be seen.
LOST_S = 10.0
#: An end is told at once, or by another node when the lease of who was telling it is over.
TOLD_S = 90.0
#: How often the waiting is told of.
SAID_S = 10.0
#: Those that don't end with the first request: in the end billing is well again, and it still takes
#: a minute or two until such charges have ended.
LASTING = {Mode.TIMEOUT, Mode.ERROR_BEFORE_DEBIT, Mode.UNAVAILABLE, Mode.SLOW}
#: It may be that nothing is debited then, and nobody is told that it was.
UNPAYABLE = {*LASTING, Mode.INSUFFICIENT} - {Mode.SLOW}


@dataclass
class Asked:
    """One charge as its partner and its phone know it."""

    phone: str
    reference: str
    payment: str = ""
    #: What the phone answered, and the reply's id in the SMSC's journal.
    answer: str = ""
    mo: str = ""
    mode: Mode = Mode.OK


@dataclass
class Verdict:
    """What the journals say."""

    kills: int
    charges: int
    acknowledged: int
    debits: int
    statuses: Counter[str] = field(default_factory=Counter)
    #: Acknowledged yes whose debit could not be made in time: ended, told, and nothing taken.
    given_up: int = 0
    #: Acknowledged yes of which billing says that it refused, or never took the money it was asked.
    refused: int = 0
    #: Refunds that were asked for.
    refunds: int = 0
    #: What is broken was seen before the end, and nothing was waited for.
    is_early: bool = False
    #: Sentences; empty when all promises were kept.
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        line = (
            f"{self.kills} kills, {self.charges} charges, {self.acknowledged} acknowledged yes, "
            f"{self.debits} debits, {self.given_up} given up, {self.refused} not taken by billing, "
            f"{self.refunds} refunds, {dict(self.statuses)}"
        )
        return "\n".join([line, *self.broken, "BROKEN" if self.broken else "all promises kept"])


def impossible(world: World, asked: list[Asked]) -> list[str]:
    """What billing took and never may have, however all this goes on."""
    taken = world.debited()  # before who is known: meanwhile there are more
    known = {charge.payment: charge for charge in list(asked) if charge.payment}
    return list(_never(taken, known))


def _never(taken: dict[str, list[int]], known: dict[str, Asked]) -> Iterator[str]:
    for payment, debits in taken.items():
        charge = known.get(payment)
        if len(debits) > 1:
            yield f"{payment}: debited {len(debits)} times"
        if charge is not None and charge.answer != "ДА":
            yield f"{payment}: debited without a yes ({charge.answer!r})"
    unknown = sorted(taken.keys() - known.keys())
    if unknown:
        yield f"debits of charges that nobody was told of: {some(unknown)}"


def judge(
    world: World,
    asked: list[Asked],
    *,
    kills: int,
    wrong: Callable[[], list[str]],
    say: Callable[[str], None],
) -> Verdict:
    """Wait until all is at its end, then compare what each party saw.

    `wrong` says what can't be right any more: then nothing is waited for.
    """
    created = [charge for charge in asked if charge.payment]
    ends = _drain(world, created, wrong, say)
    taken = world.debited()
    acked = acknowledged(world)
    verdict = Verdict(kills, len(created), 0, sum(map(len, taken.values())))
    broken = verdict.broken
    broken += wrong()
    if broken:
        verdict.is_early = True
        return verdict
    for charge in created:
        payment, seen = charge.payment, ends[charge.payment]
        status = seen["paymentStatus"]
        verdict.statuses[status + " " + seen.get("contextCode", "")] += 1
        debits = taken.get(payment, [])
        if bool(debits) != (status == "succeeded") and status != "processing":
            broken.append(f"{payment}: {status}, and billing took {debits}")
        if charge.answer == "ДА" and charge.mo in acked:
            verdict.acknowledged += 1
            if status == "denied" and charge.mode in UNPAYABLE:
                verdict.refused += 1
            elif status == "denied" and seen["contextCode"] == "PPCD.BILLING_UNAVAILABLE":
                verdict.given_up += 1
            elif status != "succeeded":
                broken.append(f"{payment}: its yes was acknowledged, and it is {status}")
        if charge.answer == "нет" and charge.mo in acked and status != "denied":
            broken.append(f"{payment}: its no was acknowledged, and it is {status}")
        _judge_events(world, payment, status, broken)
    for payment in {line.split(":")[0] for line in broken[:5]}:
        # Not the judge: what ppcd says itself helps to find the reason.
        broken.append(world.node.run_command("charge", "show", payment))
    return verdict


class _Waiting:
    """What has not ended or not been told, and is still expected to."""

    def __init__(self, world: World, created: list[Asked]) -> None:
        self._world = world
        self._created = created
        self._expected = {c.payment for c in created if c.answer in ("ДА", "нет")}
        self.ends: dict[str, Any] = {}
        self._seen_at: dict[str, float] = {}
        self.undone: list[str] = []
        self.untold: list[str] = []

    def look(self, now: float, *, lost: bool) -> None:
        """`lost`: an answer that was acknowledged and left its charge waiting is lost by now."""
        for payment in {c.payment for c in self._created}:
            if self._is_open(payment):
                self.ends[payment] = self._world.node.payment(payment)
                if not self._is_open(payment):
                    self._seen_at[payment] = now
        if lost:
            acked = acknowledged(self._world)
            decided = {c.payment for c in self._created if c.mo in acked}
            self._expected -= {p for p in decided if self.where(p) == "PPCD.AWAITING_REPLY"}
        self.undone = [p for p in self._expected if self._is_open(p)]
        self.untold = [
            p
            for p in self._expected
            if not self._is_open(p)
            and now - self._seen_at[p] < TOLD_S
            and not _events(self._world, p)
        ]

    def where(self, payment: str) -> str:
        return str(self.ends[payment].get("contextCode", ""))

    def _is_open(self, payment: str) -> bool:
        seen = self.ends.get(payment)
        return seen is None or str(seen["paymentStatus"]) == "processing"


def _drain(
    world: World,
    created: list[Asked],
    wrong: Callable[[], list[str]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Each charge's last word, when all that will end has ended and has been told."""
    waiting = _Waiting(world, created)
    begun = time.monotonic()
    said_at = begun
    while (now := time.monotonic()) < begun + DRAIN_S:
        waiting.look(now, lost=now > begun + LOST_S)
        if not (waiting.undone or waiting.untold) or wrong():
            break
        if now > said_at + SAID_S:
            said_at = now
            where = dict(Counter(waiting.where(payment) for payment in waiting.undone))
            modes = dict(Counter(c.mode.value for c in created if c.payment in waiting.undone))
            say(f"{len(waiting.undone)} to end {where} {modes}, {len(waiting.untold)} to be told")
        time.sleep(0.5)
    return waiting.ends


def acknowledged(world: World) -> set[str]:
    """The ids of the replies that were answered ESME_ROK."""
    return {
        str(entry["id"])
        for entry in world.smsc_journal()
        if entry["entry"] == "mo_acked" and entry["status"] == 0
    }


def _events(world: World, payment: str) -> list[tuple[str, Any, bool]]:
    """What its partner was told of the payment itself."""
    return [e for e in world.partner.events_of(payment) if "refundId" not in e[1]["data"]]


def _judge_events(world: World, payment: str, status: str, broken: list[str]) -> None:
    if status == "processing":
        return
    events = _events(world, payment)
    if not events:
        broken.append(f"{payment}: {status}, and its partner was never told")
    if len({(event_id, str(body)) for event_id, body, _ in events}) > 1:
        broken.append(f"{payment}: told under different ids or bodies")
    if not all(good for _, _, good in events):
        broken.append(f"{payment}: a signature is wrong")
    told = {body["data"]["status"] for _, body, _ in events}
    if told - {"succeeded" if status == "succeeded" else "failed"}:
        broken.append(f"{payment}: it is {status}, and the partner was told {told}")


def some(names: list[str]) -> str:
    """The first few."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
