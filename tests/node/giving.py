"""Refunds of the tests' world: asked for as a partner asks, and judged by billing's own journal."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Protocol

from tests.node.judging import SAID_S, some
from tests.node.world import Answer, Node, World, ask


class Paid(Protocol):
    """A charge that its phone may have paid."""

    payment: str
    answer: str


def refunds(node: Node, method: str, payment: str, path: str = "", document: Any = None) -> Answer:
    """Ask about the refunds of a payment."""
    return ask(
        node.partner_port,
        method,
        f"/carrier-billing-refund/v0.3/payments/{payment}/refunds{path}",
        document,
        headers={"Authorization": f"Bearer {node.world.partner.key}"},
    )


def asks_for(node: Node, payment: str, amount: float | None, name: str) -> Answer:
    """Ask for that much, or for all that is left, under a correlator of that name."""
    charging = {"amount": amount, "currency": "UAH", "description": "gold"}
    body = {
        "type": "total" if amount is None else "partial",
        "amountTransaction": {
            "clientCorrelator": name,
            "referenceCode": name,
            "refundAmount": {} if amount is None else {"chargingInformation": charging},
        },
    }
    return refunds(node, "POST", payment, document=body)


def given_back(world: World) -> dict[str, list[tuple[str, int]]]:
    """By refund key, what billing gave back: the debit's key and the amount of each time."""
    given: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for entry in world.billing_journal():
        if entry["entry"] == "refunded":
            given[str(entry["key"])].append((str(entry["debit_key"]), int(entry["amount_minor"])))
    return given


@dataclass
class Given:
    """One refund as its partner knows it; `refund` is its id, once it was answered."""

    payment: str
    name: str
    amount: int
    refund: str = ""
    status: str = "processing"


class Giver(threading.Thread):
    """A partner that gives back parts of what was paid, and asks until it is answered."""

    #: In UAH, of 25.
    PARTS = (5, 8)

    def __init__(self, world: World, charges: list[Any], *, seed: int, every: int = 2) -> None:
        """Of every so many paid ones of `charges`, which grows meanwhile."""
        super().__init__(daemon=True)
        self._world = world
        self._random = random.Random(seed)
        self._charges = charges
        self._every = every
        self._stopping = threading.Event()
        self.made: list[Given] = []

    def run(self) -> None:
        seen: set[str] = set()
        while not self._stopping.wait(0.05):
            waiting: list[Paid] = [c for c in list(self._charges) if c.answer == "ДА" and c.payment]
            for charge in [c for c in waiting if c.payment not in seen]:
                with suppress(OSError, HTTPException):
                    status = self._status(charge.payment)
                    if status != "processing":
                        seen.add(charge.payment)
                    if status == "succeeded" and len(seen) % self._every == 0:
                        self._give(charge.payment)
                if self._stopping.is_set():
                    return

    def finish(self) -> None:
        """Nothing more; what was not answered is asked for again, as partners do."""
        self._stopping.set()
        self.join(60)
        for given in self.made:
            self._ask(given)

    def _status(self, payment: str) -> str:
        answer = self._node().api("GET", f"/{payment}")
        return str(answer.json["paymentStatus"]) if answer.status == 200 else "processing"

    def _give(self, payment: str) -> None:
        for number, amount in enumerate(self.PARTS):
            given = Given(payment, f"{payment}-{number}", amount)
            self.made.append(given)
            self._ask(given)

    def _ask(self, given: Given) -> None:
        until = time.monotonic() + 30
        while not given.refund and time.monotonic() < until:
            with suppress(OSError, HTTPException):
                answer = asks_for(self._node(), given.payment, given.amount, given.name)
                if answer.status == 201:
                    given.refund = str(answer.json["refundId"])
                    return
            time.sleep(0.05)

    def _node(self) -> Node:
        return self._random.choice(self._world.nodes)


def judge_refunds(
    world: World, made: list[Given], *, seconds: float, say: Callable[[str], None]
) -> list[str]:
    """Wait until all are at their end and told; sentences about what is not as it must be.

    What billing never may have given back ends the waiting.
    """
    begun = said_at = time.monotonic()
    while (now := time.monotonic()) < begun + seconds:
        for given in [g for g in made if g.status == "processing" and g.refund]:
            with suppress(OSError, HTTPException):
                answer = refunds(world.node, "GET", given.payment, f"/{given.refund}")
                given.status = str(answer.json["refundStatus"])
        waiting = [g for g in made if g.status == "processing" or not _events(world, g)]
        if not waiting:
            break
        wrong = impossible_refunds(world, made)
        if wrong:
            return wrong
        if now > said_at + SAID_S:
            said_at = now
            say(f"{len(waiting)} refunds to end or to be told")
        time.sleep(0.5)
    journal = given_back(world)
    broken = [sentence for given in made for sentence in _judge(world, given, journal)]
    broken += impossible_refunds(world, made)
    for name in {line.split(":")[0] for line in broken[:5]} & {g.refund for g in made}:
        broken.append(world.node.run_command("refund", "show", name))
    return broken


def impossible_refunds(world: World, made: list[Given]) -> list[str]:
    """What billing gave back and never may have, however all this goes on."""
    known = {given.refund: given for given in made}
    broken, unknown = [], []
    for key, times in given_back(world).items():
        given = known.get(key)
        if given is None:
            unknown.append(key)
        elif times != (wanted := [(given.payment, given.amount * 100)]):
            broken.append(f"{key}: billing gave back {times} instead of {wanted}")
    if unknown:
        broken.append(f"refunds that nobody was told of: {some(sorted(unknown))}")
    return broken


def _judge(world: World, given: Given, journal: dict[str, list[tuple[str, int]]]) -> list[str]:
    broken = []
    # Billing refuses no refund: whatever was accepted is given back.
    if given.status != "succeeded":
        broken.append(f"{given.refund}: it was accepted, and it is {given.status}")
    elif not journal.get(given.refund):
        broken.append(f"{given.refund}: it succeeded, and billing gave nothing back")
    events = _events(world, given)
    if len({(event_id, str(body)) for event_id, body, _ in events}) != 1:
        broken.append(f"{given.refund}: told under {len(events)} ids or bodies")
    if not all(good for _, _, good in events):
        broken.append(f"{given.refund}: a signature is wrong")
    if any(not body["type"].endswith("v0.refund-completed") for _, body, _ in events):
        broken.append(f"{given.refund}: the partner was told otherwise")
    return broken


def _events(world: World, given: Given) -> list[tuple[str, Any, bool]]:
    events = world.partner.events_of(given.payment)
    return [entry for entry in events if entry[1]["data"].get("refundId") == given.refund]
