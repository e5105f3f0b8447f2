"""Kills: a node that dies at any moment under traffic, and the outside parties' journals as judges.

Kills fall into debits and refunds: each waits until billing has been asked something. Billing
itself loses requests and answers, breaks off, is slow, busy, or acts when everybody has given up.
`python -m tests.node.kills --kills 100 --seed 7` is the long form; CI runs a short one. Nothing of
ppcd's own database or logs is looked at: billing, the SMSC and the partner tell what happened.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ppcd.sim.accounts import Mode
from tests.node.giving import Giver, judge_refunds
from tests.node.world import World, wait_for

#: A killed node's work comes back to another when its lease is over, and of a doubt of some minutes
#: billing is asked every minute.
DRAIN_S = 300.0
#: An acknowledged answer has decided its charge: long before this it can be seen.
LOST_S = 10.0
#: How billing behaves for a phone, and how often.
MODES = {
    Mode.OK: 50,
    Mode.TIMEOUT_AFTER_DEBIT: 10,
    Mode.RESET: 8,
    Mode.ZOMBIE: 8,
    Mode.TIMEOUT: 5,
    Mode.ERROR_AFTER_DEBIT: 5,
    Mode.ERROR_BEFORE_DEBIT: 3,
    Mode.GARBAGE: 4,
    Mode.SLOW: 3,
    Mode.UNAVAILABLE: 2,
    Mode.INSUFFICIENT: 2,
}
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
    #: Sentences; empty when all promises were kept.
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        line = (
            f"{self.kills} kills, {self.charges} charges, {self.acknowledged} acknowledged yes, "
            f"{self.debits} debits, {self.given_up} given up, {self.refused} not taken by billing, "
            f"{self.refunds} refunds, {dict(self.statuses)}"
        )
        return "\n".join([line, *self.broken])


class Traffic:
    """Partners that ask and phones that answer, each charge in a thread of a small crew."""

    def __init__(self, world: World, *, seed: int, lasting: bool, crew: int = 4) -> None:
        self._world = world
        self._modes = {mode: n for mode, n in MODES.items() if lasting or mode not in LASTING}
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._number = 0
        self.asked: list[Asked] = []
        self._stop = threading.Event()
        self._crew = [threading.Thread(target=self._work, daemon=True) for _ in range(crew)]

    def start(self) -> None:
        for worker in self._crew:
            worker.start()

    def stop(self) -> None:
        self._stop.set()
        for worker in self._crew:
            worker.join(60)

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._number += 1
                charge = Asked(str(380971000000 + self._number), f"kill-{self._number}")
                charge.mode = self._random.choices(list(self._modes), list(self._modes.values()))[0]
                word = self._random.choices(["ДА", "нет", "хм"], [85, 10, 5])[0]
                repeats = self._random.choices([1, 2], [9, 1])[0]
                self.asked.append(charge)
            self._live(charge, word, repeats)

    def _live(self, charge: Asked, word: str, repeats: int) -> None:
        """Ask until it is answered, as a partner does; then answer once the prompt is there."""
        if charge.mode is not Mode.OK:
            self._world.account(charge.phone, mode=charge.mode.value)
        while not self._stop.is_set():
            with suppress(OSError, HTTPException):
                node = self._random.choice(self._world.nodes)
                answer = node.create(charge.phone, charge.reference)
                if answer.status == 201:
                    charge.payment = answer.json["paymentId"]
                    break
            time.sleep(0.05)
        while not self._stop.is_set():
            with suppress(OSError, HTTPException):
                if self._world.messages(charge.phone):
                    break
            time.sleep(0.05)
        if self._stop.is_set():
            return
        charge.answer = word
        charge.mo = self._world.reply(charge.phone, word)
        for _ in range(repeats - 1):
            self._world.reply(charge.phone, word)


def chaos(world: World, *, kills: int, seed: int, database_every: int = 12) -> None:
    """Kill nodes in turn at random moments; each `database_every`-th time PostgreSQL as well."""
    rng = random.Random(seed)
    journal = world.directory / "billing" / "billing.jsonl"
    for number in range(1, kills + 1):
        time.sleep(rng.uniform(0.05, 0.7))
        _until_longer(journal)
        time.sleep(rng.choice([0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.3)]))
        node = rng.choice(world.nodes)
        node.party.kill()
        if number % database_every == 0:
            world.postgres.stop("immediate")
            world.postgres.start()
        node.start(wait=False)
        if rng.random() < 0.3:
            continue  # the next kill may hit a node that is still starting
        node.party.wait_ready()


def _until_longer(journal: Path, seconds: float = 1.0) -> None:
    """Until billing has been asked something, or it is not going to be for a while."""
    size = journal.stat().st_size
    until = time.monotonic() + seconds
    while journal.stat().st_size == size and time.monotonic() < until:
        time.sleep(0.001)


def judge(world: World, asked: list[Asked], *, kills: int) -> Verdict:
    """Wait until all is at its end, then compare what each party saw."""
    created = [charge for charge in asked if charge.payment]
    ends = _drain(world, created)
    taken = world.debited()
    acked = _acknowledged(world)
    verdict = Verdict(kills, len(created), 0, sum(map(len, taken.values())))
    broken = verdict.broken
    for charge in created:
        payment, seen = charge.payment, ends[charge.payment]
        status = seen["paymentStatus"]
        verdict.statuses[status + " " + seen.get("contextCode", "")] += 1
        debits = taken.get(payment, [])
        if len(debits) > 1:
            broken.append(f"{payment}: debited {len(debits)} times")
        if debits and charge.answer != "ДА":
            broken.append(f"{payment}: debited without a yes ({charge.answer!r})")
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
    unknown = taken.keys() - {charge.payment for charge in created}
    if unknown:
        broken.append(f"debits of charges that nobody was told of: {sorted(unknown)}")
    return verdict


def _drain(world: World, created: list[Asked]) -> dict[str, Any]:
    """Each charge's last word, when all that will end has ended and has been told.

    An answer that was acknowledged and left its charge waiting is lost: nobody waits for it.
    """
    waiting = {c.payment for c in created if c.answer in ("ДА", "нет")}
    begun = time.monotonic()
    ends: dict[str, Any] = {}
    until = time.monotonic() + DRAIN_S
    while time.monotonic() < until:
        for payment in {c.payment for c in created}:
            if ends.get(payment, {}).get("paymentStatus", "processing") == "processing":
                ends[payment] = world.node.payment(payment)
        if time.monotonic() - begun > LOST_S:
            acked = _acknowledged(world)
            lost = {c.payment for c in created if c.mo in acked}
            waiting -= {p for p in lost if ends[p].get("contextCode") == "PPCD.AWAITING_REPLY"}
        undone = [p for p in waiting if ends[p]["paymentStatus"] == "processing"]
        untold = [p for p in waiting if not _events(world, p)]
        if not undone and not untold:
            break
        time.sleep(0.5)
    return ends


def _acknowledged(world: World) -> set[str]:
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


def run(
    directory: Path,
    *,
    kills: int,
    seed: int,
    nodes: int = 2,
    lasting: bool = True,
    node_program: list[str] | None = None,
) -> Verdict:
    """The whole: traffic, kills, drain, judgement.

    `lasting`: some faults don't end by themselves.
    """
    with World(directory, node_program=node_program, debit_start_s=60) as world:
        for _ in range(nodes - 1):
            world.add_node()
        for node in world.nodes:
            node.start()
        traffic = Traffic(world, seed=seed, lasting=lasting)
        giver = Giver(world, traffic.asked, seed=seed)
        traffic.start()
        giver.start()
        try:
            chaos(world, kills=kills, seed=seed)
        finally:
            traffic.stop()
        for node in world.nodes:
            wait_for(f"{node.name} ready", lambda node=node: node.health("ready") == 200)
        for charge in traffic.asked:
            if charge.mode in LASTING:
                world.account(charge.phone, mode=Mode.OK.value)
        giver.finish()
        verdict = judge(world, traffic.asked, kills=kills)
        verdict.refunds = len(giver.made)
        verdict.broken += judge_refunds(world, giver.made, seconds=DRAIN_S)
        return verdict


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--mutant", help="a planted bug of tests.node.mutants: must be caught")
    args = parser.parse_args()
    program = [sys.executable, "-m", "tests.node.mutants", args.mutant] if args.mutant else None
    with tempfile.TemporaryDirectory(prefix="ppcd-kills-") as directory:
        verdict = run(
            Path(directory),
            kills=args.kills,
            seed=args.seed,
            nodes=args.nodes,
            node_program=program,
        )
    print(verdict)
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
