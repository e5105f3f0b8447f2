"""Kills: a node that dies at any moment under traffic, and the outside parties' journals as judges.

Kills fall into debits and refunds: each waits until billing has been asked something. Billing
itself loses requests and answers, breaks off, is slow, busy, or acts when everybody has given up.
`python -m tests.node.kills --kills 100 --seed 7` is the long form; CI runs a short one. It says how
far it is, and ends with a verdict: as soon as something can't be right any more, or when all has
ended, or when it has waited for that in vain.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from ppcd.sim.accounts import Mode
from tests.node.giving import Giver, impossible_refunds, judge_refunds
from tests.node.judging import DRAIN_S, LASTING, Asked, Verdict, impossible, judge
from tests.node.world import World

#: A fault that does not end with its first request ends after this: longer than a charge waits for
#: its first debit, and far shorter than the horizon at which a doubt is left to people.
LASTING_S = 90.0
#: So many kills are told of together.
SAID_OF = 10
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


class Traffic:
    """Partners that ask and phones that answer, each charge in a thread of a small crew."""

    def __init__(self, world: World, *, seed: int, lasting: bool, crew: int = 4) -> None:
        self._world = world
        self._modes = {mode: n for mode, n in MODES.items() if lasting or mode not in LASTING}
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._number = 0
        self.asked: list[Asked] = []
        #: Since when each charge has a fault that lasts.
        self._spoiled: dict[str, float] = {}
        self._stop = threading.Event()
        self._crew = [threading.Thread(target=self._work, daemon=True) for _ in range(crew)]

    def start(self) -> None:
        for worker in self._crew:
            worker.start()

    def stop(self) -> None:
        self._stop.set()
        for worker in self._crew:
            worker.join(60)

    def heal(self, *, older_than_s: float = LASTING_S) -> None:
        """End the faults that have lasted so long. One that outlives the horizon of doubts would
        leave its charge to people, and here is nobody.
        """
        before = time.monotonic() - older_than_s
        for phone in [phone for phone, since in list(self._spoiled.items()) if since <= before]:
            self._world.account(phone, mode=Mode.OK.value)
            del self._spoiled[phone]

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
        if charge.mode in LASTING:
            self._spoiled[charge.phone] = time.monotonic()
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


def chaos(
    world: World,
    *,
    kills: int,
    seed: int,
    after_each: Callable[[int], bool],
    database_every: int = 12,
) -> int:
    """Kill nodes in turn at random moments; each `database_every`-th time PostgreSQL as well.

    Gives how many it were: `after_each` is told, and says whether to go on.
    """
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
        if not after_each(number):
            return number
        if rng.random() < 0.3:
            continue  # the next kill may hit a node that is still starting
        node.party.wait_ready()
    return kills


def _until_longer(journal: Path, seconds: float = 1.0) -> None:
    """Until billing has been asked something, or it is not going to be for a while."""
    size = journal.stat().st_size
    until = time.monotonic() + seconds
    while journal.stat().st_size == size and time.monotonic() < until:
        time.sleep(0.001)


def run(
    directory: Path,
    *,
    kills: int,
    seed: int,
    nodes: int = 2,
    lasting: bool = True,
    node_program: list[str] | None = None,
    say: Callable[[str], None] = print,
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

        def go_on(number: int) -> bool:
            traffic.heal()
            if number % SAID_OF:
                return True
            say(f"{number} kills, {len(traffic.asked)} charges, {len(giver.made)} refunds")
            return not impossible(world, traffic.asked)

        traffic.start()
        giver.start()
        try:
            made = chaos(world, kills=kills, seed=seed, after_each=go_on)
        finally:
            traffic.stop()
        for node in world.nodes:
            node.party.wait_ready()
        traffic.heal(older_than_s=0)
        giver.finish()

        def wrong() -> list[str]:
            return impossible(world, traffic.asked) + impossible_refunds(world, giver.made)

        verdict = judge(world, traffic.asked, kills=made, wrong=wrong, say=say)
        verdict.refunds = len(giver.made)
        if not verdict.is_early:
            verdict.broken += judge_refunds(world, giver.made, seconds=DRAIN_S, say=say)
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
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s: {what}", flush=True)

    with tempfile.TemporaryDirectory(prefix="ppcd-kills-") as directory:
        verdict = run(
            Path(directory),
            kills=args.kills,
            seed=args.seed,
            nodes=args.nodes,
            node_program=program,
            say=say,
        )
    say(str(verdict))
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
