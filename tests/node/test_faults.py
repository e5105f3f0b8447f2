"""Every fault of a billing system, over every adapter, in every step that moves money.

A node with its database, and beside it billing systems of each kind with journals of their own:
each charge must end in the state that the journal says, with one debit at most. All cases run at
the same time, for most of it is waiting. `PPCD_TEST_FAULTS=all` has every step of payments in two
steps meet every fault; otherwise they meet those that lose something.
"""

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.billing.diameter.ocs import Ocs, compiled
from tests.node.billings import Diameter, File, Http, Mode, Sql, System
from tests.node.giving import asks_for, refunds
from tests.node.world import World, wait_for
from tests.peers import require_peer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ALL = os.environ.get("PPCD_TEST_FAULTS") == "all"
#: What may be lost on the way; the other faults are answers of a kind.
LOSING = {Mode.REFUSED, Mode.LOST_REQUEST, Mode.LOST_ANSWER, Mode.ZOMBIE}
#: The step that meets the fault.
STEPS = ("debit", "refund", "reserve", "capture", "release")
#: A system that many cases trouble at once is left alone, and not for long.
PACE = {"pause_max_s": 2}
#: For so long connections are refused, and what is late is late.
SHUT_S = 2.0
#: Of the slowest: quiet periods, pauses, and the leases that nobody needs here.
ENDS_S = 120.0


@dataclass
class Case:
    """One charge, and what goes wrong in which of its steps."""

    system: System
    mode: Mode
    step: str
    phone: str
    payment: str = ""
    refund: str = ""
    status: str = "processing"

    @property
    def name(self) -> str:
        return f"{self.system.name}, {self.mode.value} in {self.step}"

    @property
    def two_step(self) -> bool:
        return self.step in ("reserve", "capture", "release")


class Crowd:
    """The cases, in a world with the systems that they need."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.world = stack.enter_context(World(directory))
        ocs = Ocs(compiled(_made(directory / "ocs")))
        stack.callback(ocs.end)
        self.sql = Sql(self.world, stack)
        self.file = File(directory)
        self.systems: list[System] = [
            Http(self.world, stack),
            Diameter(ocs, stack),
            self.sql,
            self.file,
        ]
        self.cases: list[Case] = []
        billings, routes = {}, {}
        for number, system in enumerate(self.systems):
            for place, (name, section) in enumerate(system.sections().items()):
                billings[f"{system.name}-{name}"] = section | {"pace": PACE}
                routes[f"{system.name}-{name}"] = {
                    "links": ["main"],
                    "pool": {"first": str(720000 + number * 1000 + place * 10), "size": 4},
                    "msisdn_prefixes": [f"38097{number}{place}"],
                    "billing": f"{system.name}-{name}",
                }
        self._routes = routes
        self.world.node.configure(routes=_yaml(routes), billings=_yaml(billings))
        self.world.node.start()
        for system in self.systems:
            for mode in sorted(system.modes):
                for step in _steps(system, mode):
                    self._add(system, mode, step)

    def _add(self, system: System, mode: Mode, step: str) -> None:
        route = self._routes[f"{system.name}-{system.adapter(mode)}"]
        phone = f"{route['msisdn_prefixes'][0]}{len(self.cases):05}"
        if system is self.sql:
            self.sql.account(phone)
        self.cases.append(Case(system, mode, step, phone))

    # --- what happens, in order

    def run(self) -> None:
        """All of it."""
        self._each(self._prompted)
        first = [case for case in self.cases if case.step not in ("debit", "reserve")]
        for case in first:
            self.world.reply(case.phone, "ДА")
        self._each(lambda case: self._becomes(case, {"succeeded", "reserved"}), first)
        before = {system.name: self._asked(system) for system in self.systems}
        for system in self.systems:
            system.shut()
        for case in self.cases:
            case.system.behave(case.phone, case.mode)
        self._each(self._begin_step)
        shut_at = time.monotonic()
        self._until_asked(before)
        time.sleep(max(0.0, shut_at + SHUT_S - time.monotonic()))
        for system in self.systems:
            system.open()
        over = {"succeeded", "denied", "cancelled"}
        self._each(
            lambda case: self._ends(case, (over | {"reserved"}) if case.step == "reserve" else over)
        )
        held = [case for case in self.cases if case.status == "reserved"]
        self._each(lambda case: self._decide(case, "confirm"), held)
        self._each(lambda case: self._ends(case, over), held)
        # Whatever is late has happened then, and files have appeared.
        time.sleep(2)

    def _each(self, act: Callable[[Case], None], cases: Iterable[Case] | None = None) -> None:
        with ThreadPoolExecutor(16) as crew:
            list(crew.map(act, self.cases if cases is None else cases))

    def _prompted(self, case: Case) -> None:
        path = "/prepare" if case.two_step else ""
        case.payment = self.world.node.prompted(case.phone, f"fault-{case.phone}", path=path)

    def _begin_step(self, case: Case) -> None:
        match case.step:
            case "debit" | "reserve":
                self.world.reply(case.phone, "ДА")
            case "capture":
                self._decide(case, "confirm")
            case "release":
                self._decide(case, "cancel")
            case "refund":
                asked = asks_for(self.world.node, case.payment, None, f"refund-{case.phone}")
                assert asked.status == 201, (case.name, asked)
                case.refund = str(asked.json["refundId"])

    def _decide(self, case: Case, what: str) -> None:
        told = {"phoneNumber": f"+{case.phone}"}
        answer = self.world.node.api("POST", f"/{case.payment}/{what}", told)
        assert answer.status == 202, (case.name, answer)

    def _until_asked(self, before: dict[str, Counter[str]]) -> None:
        """Whoever has lost a request behaves well from then on; at most for as long as it takes."""
        waiting = [c for c in self.cases if c.mode is not Mode.REFUSED]
        until = time.monotonic() + ENDS_S
        while waiting and time.monotonic() < until:
            asked = {s.name: self._asked(s) for s in self.systems}
            there = [c for c in waiting if (asked[c.system.name] - before[c.system.name])[_key(c)]]
            for case in there:
                case.system.behave(case.phone, Mode.NONE)
            # What is not committed is in no journal, and what is lost by a connection ends itself.
            waiting = [
                c for c in waiting if c not in there and isinstance(c.system, Http | Diameter)
            ]
            time.sleep(0.05)
        assert not waiting, f"never asked: {[case.name for case in waiting]}"

    def _asked(self, system: System) -> Counter[str]:
        return Counter(did.key for did in system.did() if did.what == "asked")

    def _becomes(self, case: Case, wanted: set[str]) -> None:
        seen = wait_for(
            f"{case.name}: {case.payment} to be one of {sorted(wanted)}",
            lambda: (s := self._seen(case)) in wanted and s,
            seconds=ENDS_S,
        )
        case.status = str(seen)

    def _ends(self, case: Case, wanted: set[str]) -> None:
        try:
            self._becomes(case, wanted)
        except AssertionError as exc:
            shown = self.world.node.run_command("charge", "show", case.payment)
            raise AssertionError(f"{exc}\n{shown}") from None

    def _seen(self, case: Case) -> str:
        if case.step == "refund" and case.refund:
            answer = refunds(self.world.node, "GET", case.payment, f"/{case.refund}")
            return str(answer.json["refundStatus"])
        return str(self.world.node.payment(case.payment)["paymentStatus"])


def _key(case: Case) -> str:
    return case.refund or case.payment


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _yaml(sections: dict[str, Any]) -> str:
    """As lines of a mapping that is two blanks deep."""
    lines = [f"{name}: {json.dumps(section)}" for name, section in sections.items()]
    return "\n  ".join(lines)


def _steps(system: System, mode: Mode) -> tuple[str, ...]:
    if isinstance(system, File):
        return ("debit",) if mode is Mode.REFUSED else ("debit", "refund")
    return STEPS if ALL or mode in LOSING else ("debit", "refund")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    require_peer("Erlang's diameter")
    with ExitStack() as stack:
        crowd = Crowd(tmp_path_factory.mktemp("faults"), stack)
        crowd.run()
        yield crowd


def judged(case: Case, did: list[Any]) -> str | None:
    """What is wrong with the end of a case, by billing's journal."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for entry in did:
        found[entry.what, entry.key].append(entry.amount_minor)
    debits = found["debited", case.payment]
    given = found["refunded", case.refund] if case.refund else []
    paid = case.status == "succeeded" or case.step == "refund"
    if debits != [2500] * paid:
        return f"it is {case.status}, and billing took {debits}"
    if given != [2500] * (case.step == "refund" and case.status == "succeeded"):
        return f"its refund is {case.status}, and billing gave back {given}"
    held = len(found["reserved", case.payment]) - len(found["released", case.payment])
    if case.two_step and held > len(debits):
        return f"it is {case.status}, and billing still holds {held}"
    return None


def test_each_charge_ends_as_billings_own_journal_says(crowd: Crowd) -> None:
    journals = {system.name: list(system.did()) for system in crowd.systems}
    wrong = {
        case.name: why
        for case in crowd.cases
        if (why := judged(case, journals[case.system.name])) is not None
    }
    assert wrong == {}


def test_the_faults_were_met_and_most_charges_were_paid_all_the_same(crowd: Crowd) -> None:
    ends = Counter(case.status for case in crowd.cases)
    print(len(crowd.cases), "cases:", dict(ends))
    assert ends["succeeded"] > len(crowd.cases) / 2
    for case in crowd.cases:
        if case.step == "release":
            assert case.status == "cancelled", case.name
        if case.step in ("refund", "capture"):
            assert case.status == "succeeded", case.name
