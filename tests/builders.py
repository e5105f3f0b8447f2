"""Charges in any state, for tests of the store and of the steps, on a real PostgreSQL.

One database serves all tests of a package: each has a partner and phones of its own, and work rows
are cleared between them. Facts stay, as facts do.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from ppcd.charge.rules import State
from ppcd.store import (
    charges,
    creation,
    debits,
    expiry,
    intents,
    prompts,
    registers,
    replies,
    second_look,
)
from ppcd.store.creation import Created, CreateResult
from ppcd.store.debits import Result
from ppcd.store.ids import first_id_of
from ppcd.store.intents import Begun, Intent
from ppcd.store.lanes import PINNED, Direct
from ppcd.store.prompts import Answered, Go, NewReceipt, Writing
from ppcd.store.replies import Settled
from ppcd.store.rows import (
    ADDRESSES_MAX,
    Address,
    ChargeRow,
    ClearReplies,
    DebitJob,
    Ended,
    Evidence,
    NewCharge,
    NewReply,
    PromptJob,
    awaiting_key,
)
from ppcd.store.runs import Runs
from ppcd.store.sql import Cursor

LEASE_S = 60.0
#: What holds for the first look at replies.
FIRST_LOOK = {"lease_s": LEASE_S, "reprompts_max": 2, "prompt_lease_s": LEASE_S}
POOL = tuple(Address(number, f"71710{number}") for number in range(4))
FAILURES = ("undeliverable", "rejected", "deleted", "expired")
WORK = (
    "awaiting",
    "hold",
    "prompt_job",
    "debit_job",
    "reservation",
    "refund_job",
    "webhook_job",
    "sink_token",
    "pause",
    "blocked_subscriber",
)

_numbers = count(1)


@dataclass(frozen=True)
class Charge:
    """What tests need to know of a charge that they have made."""

    charge_id: int
    key: int
    msisdn: int
    address: str
    code: str | None
    prompt: PromptJob


def clear(*batch: NewReply) -> ClearReplies:
    """Replies that each have a key, in columns; those of one evidence and address share it."""
    shared: dict[tuple[Evidence, int], Evidence] = {}
    msisdns: list[bytes] = []
    evidence: list[Evidence] = []
    for reply in batch:
        assert reply.key is not None
        msisdn, number = divmod(reply.key, ADDRESSES_MAX)
        msisdns.append(b"%d" % msisdn)
        known = replace(reply.evidence, address_no=number)
        evidence.append(shared.setdefault((reply.evidence, number), known))
    ids = Runs([range(reply.reply_id, reply.reply_id + 1) for reply in batch])
    return ClearReplies(ids, msisdns, evidence)


class Store:
    """A partner's corner of a database, and the shortest way to bring a charge anywhere."""

    def __init__(self, dsn: str, direct: Direct, pinned: Direct) -> None:
        self.dsn = dsn
        self.run = direct.run
        self.direct = direct
        self.pinned = pinned
        for table in WORK:
            self.query(f"DELETE FROM {table}")
        self.query("UPDATE business_clock SET ahead = '0'")
        self._first_id = first_id_of(self.query("SELECT business_now()")[0][0])
        self.partner = f"shop-{self.number()}"
        self.partner_id = self.a_partner(self.partner)

    def number(self) -> int:
        """One that nobody had before."""
        return next(_numbers)

    def id(self) -> int:
        return self._first_id + self.number()

    def query(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        return self.run(_rows, statement, args)

    def ahead(self, seconds: float) -> None:
        """Move the clock that decides about money."""
        self.query("UPDATE business_clock SET ahead = ahead + make_interval(secs => %s)", seconds)

    def a_partner(self, name: str, *, webhook_url: str | None = "https://shop.example/hook") -> int:
        return self.run(
            registers.add_partner,
            name=name,
            merchant="Game Shop",
            language="ru",
            webhook_url=webhook_url,
            webhook_secret=b"secret",
            key_hash=name.encode().ljust(32, b"."),
        )

    # --- creation

    def a_new_charge(self, **changes: Any) -> NewCharge:
        """An order for 25 UAH from a phone that has no charges yet."""
        number = self.number()
        new = NewCharge(
            charge_id=self.id(),
            partner_id=self.partner_id,
            partner=self.partner,
            msisdn=380970000000 + number,
            amount_minor=2500,
            currency="UAH",
            major_number="25",
            merchant="Game Shop",
            description="250 gold",
            language="ru",
            reference=f"order-{number}",
            correlator=None,
            fingerprint=b"the same",
            product_id=None,
            route="main",
            pool=POOL,
            billing="sim",
            lifetime_s=600,
            quarantine_s=86_400,
            debit_start_s=120,
            code="4821",
            code_required=False,
            sink=None,
            sink_token=None,
            document="{}",
        )
        return replace(new, **changes)

    def create(self, *batch: NewCharge, repeat: bool = False) -> list[CreateResult]:
        return self.run(creation.create, batch, lease_s=LEASE_S, repeat=repeat)

    def a_charge(self, state: State = State.AWAITING, **changes: Any) -> Charge:
        """A charge in that state; an awaiting one's prompt is not written yet."""
        new = self.a_new_charge(**changes)
        [created] = self.create(new)
        assert isinstance(created, Created)
        charge = _charge(created)
        if state is not State.AWAITING:
            self._bring(charge, state)
        assert self.state(charge) is state
        return charge

    def a_written_charge(self, **changes: Any) -> Charge:
        """An awaiting charge whose prompt the SMSC has accepted."""
        charge = self.a_charge(**changes)
        self.write(charge)
        return charge

    def _bring(self, charge: Charge, state: State) -> None:
        if state is State.EXPIRED:
            self.write(charge)
            self.ahead(601)
            self.expire()
        elif state is State.CANCELLED:
            self.cancel(charge)
        elif state is State.UNDELIVERABLE:
            self.write(charge, following=prompts.Next.UNDELIVERABLE)
        elif state is State.DECLINED:
            self.write(charge)
            self.reply(charge, "no")
        else:
            self.write(charge)
            self.reply(charge, "yes")
            if state is not State.CONFIRMED:
                self.intend(charge)
            match state:
                case State.SUCCEEDED:
                    self.result(charge, "debited", reference=f"ref-{charge.charge_id}")
                case State.DENIED:
                    self.result(charge, "denied", reason="INSUFFICIENT_FUNDS")
                case State.IN_DOUBT:
                    self.result(charge, "unknown")
                case State.REVIEW:
                    self.result(charge, "unknown", following=debits.Next.REVIEW)

    # --- prompts

    def begin(self, charge: Charge, *, prompt_no: int = 0, attempts: int = 0) -> Go | None:
        """Leave to write a text to the phone."""
        [go] = self.run(
            prompts.begin, [self.a_writing(charge, prompt_no, attempts)], lease_s=LEASE_S
        )
        return go

    def a_writing(self, charge: Charge, prompt_no: int = 0, attempts: int = 0) -> Writing:
        return Writing(
            charge_id=charge.charge_id,
            prompt_no=prompt_no,
            key=charge.key,
            attempts=attempts,
            kind="prompt",
            source=charge.address,
            text="pay?",
            segments=1,
        )

    def an_answer(self, charge: Charge, **changes: Any) -> Answered:
        answered = Answered(
            charge_id=charge.charge_id,
            prompt_no=0,
            key=charge.key,
            attempt=1,
            link="acme",
            segments=((0, f"m{charge.charge_id}"),),
            next=prompts.Next.DONE,
        )
        return replace(answered, **changes)

    def finish(self, *answers: Answered) -> list[Ended | None]:
        return self.run(prompts.finish, answers, failures=FAILURES, lease_s=LEASE_S)

    def write(self, charge: Charge, *, following: prompts.Next = prompts.Next.DONE) -> Ended | None:
        """Have the prompt written and answered by the SMSC."""
        assert self.begin(charge) is not None
        [ended] = self.finish(self.an_answer(charge, next=following))
        return ended

    def a_receipt(self, charge: Charge, **changes: Any) -> NewReceipt:
        receipt = NewReceipt(
            receipt_id=self.id(),
            link="acme",
            msisdn=charge.msisdn,
            message_id=f"m{charge.charge_id}",
            state="undeliverable",
            error="001",
        )
        return replace(receipt, **changes)

    def receive(self, *receipts: NewReceipt) -> list[Ended | None]:
        return self.run(prompts.record_receipts, receipts, failures=FAILURES, lease_s=LEASE_S)

    # --- replies

    def a_reply(self, charge: Charge, verdict: str = "yes", **changes: Any) -> NewReply:
        who = {name: changes.pop(name) for name in ("key", "msisdn") if name in changes}
        evidence = Evidence(
            address=charge.address,
            link="acme",
            raw="ДА".encode("utf-16-be"),
            data_coding=8,
            esm_class=0,
            verdict=verdict,
            number=None,
            rule="test",
        )
        reply = NewReply(self.id(), charge.key, charge.msisdn, replace(evidence, **changes))
        return reply._replace(**who)

    def confirm(self, *batch: NewReply, repeat: bool = False) -> list[Settled | None]:
        """The first look."""
        return self.pinned.run(replies.confirm, clear(*batch), **FIRST_LOOK, repeat=repeat)

    def look_again(
        self, *batch: NewReply, repeat: bool = False, untrusted: Sequence[str] = ()
    ) -> list[Settled]:
        """The second look."""
        return self.run(
            second_look.look_again,
            batch,
            untrusted=frozenset(untrusted),
            reprompts_max=2,
            wrong_codes_max=3,
            lease_s=LEASE_S,
            repeat=repeat,
        )

    def settle(self, reply: NewReply) -> Settled:
        """Both looks; who has no number, or writes to no address of ours, has only the second."""
        settled = None
        if reply.key is not None:
            [settled] = self.confirm(reply)
        if settled is None:
            [settled] = self.look_again(reply)
        return settled

    def reply(self, charge: Charge, verdict: str = "yes", number: str | None = None) -> Settled:
        """The phone answers."""
        return self.settle(self.a_reply(charge, verdict, number=number))

    # --- debits

    def intend(
        self, charge: Charge, *, attempt: int = 1, query: bool = False, repeat: bool = False
    ) -> Begun | Ended | None:
        """Record an attempt before it is made."""
        intent = Intent(charge.charge_id, attempt, "query" if query else "debit", repeat)
        [begun] = self.run(intents.begin, [intent], node="a", lease_s=LEASE_S)
        return begun

    def result(
        self,
        charge: Charge | ChargeRow,
        result: str,
        *,
        attempt: int = 1,
        following: debits.Next | None = None,
        **changes: Any,
    ) -> Ended | None:
        """Billing answers; what follows is the plain meaning of the answer unless given."""
        plain = {
            "debited": debits.Next.SUCCEEDED,
            "denied": debits.Next.DENIED,
            "not_sent": debits.Next.AGAIN,
            "unknown": debits.Next.DOUBT,
            "not_found": debits.Next.DENIED,
        }
        what = Result(charge.charge_id, attempt, result, following or plain[result])
        [ended] = self.run(debits.record, [what._replace(**changes)], lease_s=LEASE_S)
        return ended

    def claim_debits(self, limit: int = 100, billing: str = "sim") -> list[DebitJob]:
        return self.run(debits.claim, billing=billing, limit=limit, lease_s=LEASE_S)

    # --- ends, and what is to be seen

    def cancel(self, charge: Charge, *, partner_id: int | None = None) -> Ended | None:
        return self.run(
            charges.cancel,
            charge.charge_id,
            partner_id=self.partner_id if partner_id is None else partner_id,
            lease_s=LEASE_S,
        )

    def expire(self, limit: int = 100) -> list[Ended]:
        return self.run(expiry.expire, limit=limit, lease_s=LEASE_S)

    def get(self, charge: Charge) -> ChargeRow:
        [row] = self.run(charges.get, [charge.charge_id])
        assert row is not None
        return row

    def state(self, charge: Charge) -> State:
        return State(self.get(charge).state)

    def count(self, table: str, charge: Charge | ChargeRow) -> int:
        """The rows of a table that are this charge's."""
        statement = f"SELECT count(*) FROM {table} WHERE charge_id = %s"
        return int(self.query(statement, charge.charge_id)[0][0])

    def work_of(self, charge: Charge | ChargeRow) -> set[str]:
        """The kinds of work rows that this charge has, its hold apart."""
        kinds = ("awaiting", "prompt_job", "debit_job", "webhook_job")
        return {kind for kind in kinds if self.count(kind, charge)}


def _rows(cur: Cursor, statement: str, args: Sequence[Any]) -> list[tuple[Any, ...]]:
    cur.execute(statement.encode(), args or None)
    return cur.fetchall() if cur.description else []


def _charge(created: Created) -> Charge:
    job = created.prompt
    return Charge(job.charge_id, job.key, job.msisdn, job.address, job.code, job)


def deadlocks(store: Store) -> int:
    """How many there have been."""
    counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(store.query(counted)[0][0])


def charge_of(created: CreateResult) -> Charge:
    """The charge that a creation made."""
    assert isinstance(created, Created)
    return _charge(created)


def key_of(charge: Charge, address: Address) -> int:
    """The key of another address of the same phone."""
    return awaiting_key(charge.msisdn, address.address_no)


@contextmanager
def connections(dsn: str) -> Iterator[tuple[Direct, Direct]]:
    """Two connections: an ordinary one, and one for confirmations."""
    with Direct(dsn) as direct, Direct(dsn, profile=PINNED) as pinned:
        yield direct, pinned
