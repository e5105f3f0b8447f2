"""Random work against the real store, and a small model of the rules beside it: they must agree.

After each step every charge's state, work rows and facts are compared, and the promises about money
are checked: at most one debit, none without consent, no end that changes.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from ppcd.charge.rules import Event, State
from ppcd.store import prompts
from ppcd.store.creation import Replayed
from ppcd.store.debits import Next
from ppcd.store.intents import Begun
from ppcd.store.rows import Conflict, Ended, awaiting_key
from tests.builders import POOL, Charge, Store, charge_of
from tests.store import model
from tests.store.model import Model

PHONES = 3
ADDRESSES = 2
SAID: list[tuple[str, str | None]] = [
    *[("yes", None), ("yes", "25"), ("yes", "4821"), ("yes", "1111")],
    *[("no", None), ("stop", None), ("unclear", None)],
]
ANSWERS = ["debited", "denied", "not_sent", "unknown", "review"]
IN_DEBIT = {State.CONFIRMED, State.DEBITING, State.IN_DOUBT, State.REVIEW}


SEEN = """
    SELECT s.charge_id, s.state,
           EXISTS (SELECT FROM awaiting a WHERE a.charge_id = s.charge_id),
           EXISTS (SELECT FROM debit_job j WHERE j.charge_id = s.charge_id),
           EXISTS (SELECT FROM webhook_job w WHERE w.charge_id = s.charge_id),
           o.state, o.reason, o.decided_at
      FROM charge_status s LEFT JOIN outcome o ON o.charge_id = s.charge_id
     WHERE s.charge_id = ANY(%s)
"""


class StoreMachine(RuleBasedStateMachine):
    """Three phones, two reply addresses, and everything that can happen to their charges."""

    store: Store
    charges = Bundle("charges")

    @initialize(target=charges)
    def begin(self) -> Any:
        """Some way has been gone already."""
        store = self.store
        for table in ("awaiting", "hold", "prompt_job", "debit_job", "webhook_job"):
            store.query(f"DELETE FROM {table}")
        self.model = Model(ADDRESSES)
        self.first_phone = 380600000000 + store.number() * 10
        self.known: dict[int, Charge] = {}
        self.ends: dict[int, Any] = {}
        made = [
            self.create(phone, written=True, code_required=not phone, repeat=False)
            for phone in range(PHONES)
        ]
        for charge in made[1:]:
            self.agree(charge)
        return multiple(*made)

    # --- requests

    @rule(
        target=charges,
        phone=st.integers(0, PHONES - 1),
        written=st.sampled_from([True, True, False]),
        code_required=st.booleans(),
        repeat=st.booleans(),
    )
    def create(self, phone: int, written: bool, code_required: bool, repeat: bool) -> Any:
        new = self.store.a_new_charge(
            msisdn=self.first_phone + phone,
            pool=POOL[:ADDRESSES],
            lifetime_s=model.LIFETIME_S,
            quarantine_s=model.QUARANTINE_S,
            debit_start_s=model.DEBIT_START_S,
            code_required=code_required,
        )
        place = self.model.place(phone)
        [result] = self.store.create(new)
        if place is None:
            assert result is Conflict.NO_FREE_ADDRESS
            return multiple()
        made = charge_of(result)
        with_code = place[1] or code_required
        assert (made.address, made.code is not None) == (POOL[place[0]].address, with_code)
        if repeat:
            assert self.store.create(new, repeat=True) == [Replayed(new.charge_id)]
        self.known[made.charge_id] = made
        charge = self.model.create(made.charge_id, phone, place[0], made.code)
        if written:
            self._write(charge, "accepted")
        return charge

    @rule(charge=charges)
    def cancel(self, charge: model.Charge) -> None:
        expected = charge.state is State.AWAITING
        charge.on(Event.CANCEL)
        ended = self.store.cancel(self.known[charge.charge_id])
        assert (ended is not None) == expected

    # --- prompts and receipts

    @rule(charge=charges, fate=st.sampled_from(["accepted", "refused", "later", "unsent"]))
    def write_prompt(self, charge: model.Charge, fate: str) -> None:
        self._write(charge, fate)

    def _write(self, charge: model.Charge, fate: str) -> None:
        made = self.known[charge.charge_id]
        [job] = self.store.run(prompts.load, [prompts.PromptKey(charge.charge_id, 0)])
        assert (job is not None) == charge.prompt_job
        if job is None:
            return
        go = self.store.begin(made, attempts=job.attempts)
        able = charge.state is State.AWAITING and self.model.alive(charge)
        assert (go is not None) == able
        if go is None:
            charge.prompt_job = False
            return
        assert go.first == (not charge.written)
        charge.on(Event.PROMPT_WRITTEN)
        charge.written = True
        following = {"accepted": prompts.Next.DONE, "refused": prompts.Next.UNDELIVERABLE}
        segments: tuple[tuple[int | None, str | None], ...] = ((0, f"m{charge.charge_id}"),)
        if fate == "refused":
            segments = ((11, None),)
        elif fate != "accepted":
            segments = () if fate == "unsent" else ((88, None),)
        answered = self.store.an_answer(
            made,
            attempt=go.attempt,
            segments=segments,
            next=following.get(fate, prompts.Next.LATER),
            unwritten=go.first and not segments,
        )
        [ended] = self.store.finish(answered)
        charge.prompt_job = fate in ("later", "unsent")
        if fate == "unsent" and go.first:
            charge.written = False
        if fate == "refused":
            assert ended is not None
            charge.on(Event.PROMPT_REFUSED)
        else:
            assert ended is None

    @rule(charge=charges, state=st.sampled_from(["delivered", "undeliverable"]))
    def receipt(self, charge: model.Charge, state: str) -> None:
        made = self.known[charge.charge_id]
        accepted = "SELECT FROM prompt_answer WHERE charge_id = %s AND message_id IS NOT NULL"
        if not self.store.query(accepted, charge.charge_id):
            return
        failed = state == "undeliverable"
        changed = charge.on(Event.PROMPT_FAILED if failed else Event.PROMPT_DELIVERED)
        [ended] = self.store.receive(self.store.a_receipt(made, state=state))
        assert (ended is not None) == changed

    # --- replies

    @rule(charge=charges, said=st.sampled_from(SAID), repeat=st.booleans())
    def reply(self, charge: model.Charge, said: tuple[str, str | None], repeat: bool) -> None:
        """To the address that the charge has, or had: another may have it by now."""
        self._reply(charge.phone, charge.address_no, said, repeat)

    @rule(charge=charges)
    def agree(self, charge: model.Charge) -> None:
        self._reply(charge.phone, charge.address_no, ("yes", charge.code), repeat=False)

    @rule(charge=charges)
    def guess(self, charge: model.Charge) -> None:
        for code in ("1111", "2222"):
            self._reply(charge.phone, charge.address_no, ("yes", code), repeat=False)

    @rule(phone=st.integers(0, PHONES - 1), address_no=st.integers(0, ADDRESSES - 1))
    def agree_to_something(self, phone: int, address_no: int) -> None:
        self._reply(phone, address_no, ("yes", None), repeat=False)

    def _reply(
        self, phone: int, address_no: int, said: tuple[str, str | None], repeat: bool
    ) -> None:
        msisdn = self.first_phone + phone
        some = next(iter(self.known.values()), None)
        if some is None:
            return
        reply = self.store.a_reply(
            some,
            said[0],
            number=said[1],
            msisdn=msisdn,
            key=awaiting_key(msisdn, address_no),
            address=POOL[address_no].address,
        )
        before = {c.charge_id: c.state for c in self.model.charges}
        effect, charge = self.model.reply(phone, address_no, *said)
        settled = self.store.settle(reply)
        assert settled.effect == effect
        assert settled.charge_id == (charge.charge_id if charge else None)
        if repeat:
            [again] = self.store.confirm(reply, repeat=True)
            again = again or self.store.look_again(reply, repeat=True)[0]
            assert (again.effect, again.charge_id) == (settled.effect, settled.charge_id)
        after = {c.charge_id: c.state for c in self.model.charges}
        changed = [c for c in after if after[c] is not before[c]]
        assert set(changed) <= {settled.charge_id}, "an answer decides its own charge only"

    # --- time

    @rule(seconds=st.sampled_from([1, 61, 130, 601, 1700]))
    def pass_time(self, seconds: int) -> None:
        self.store.ahead(seconds)
        self.model.now += seconds

    @rule()
    def sweep(self) -> None:
        ended = {end.charge_id for end in self.store.expire()}
        assert ended == self.model.expire()

    # --- debits

    @rule(charge=charges, stale=st.sampled_from([False, False, True]))
    def begin_debit(self, charge: model.Charge, stale: bool) -> None:
        made = self.known[charge.charge_id]
        doubtful = charge.state in (State.DEBITING, State.IN_DOUBT)
        late = (
            charge.state is State.CONFIRMED
            and self.model.now > charge.confirmed_at + model.DEBIT_START_S
        )
        attempt = charge.attempts + (0 if stale else 1)
        begun = self.store.intend(made, attempt=attempt, repeat=doubtful)
        if stale or charge.state not in IN_DEBIT - {State.REVIEW}:
            assert begun is None
        elif late:
            assert isinstance(begun, Ended)
            charge.on(Event.NOT_STARTED_IN_TIME)
        else:
            assert isinstance(begun, Begun)
            assert (begun.doubt_s is not None) == doubtful
            charge.attempts = attempt
            if charge.state is State.CONFIRMED:
                charge.on(Event.DEBIT_STARTED)
            elif charge.state is State.DEBITING:
                charge.on(Event.DEBIT_UNKNOWN)  # the attempt before has no result
            charge.open = True

    @rule(charge=charges, which=st.integers(0, 2), answer=st.sampled_from(ANSWERS))
    def answer(self, charge: model.Charge, which: int, answer: str) -> None:
        """Billing's answer to some attempt is recorded: the newest, or one long superseded.

        Two nodes may each record one for the same attempt: the node that made it, and the one that
        took the job over and says that it doesn't know.
        """
        if charge.state is State.CONFIRMED:
            return  # all its attempts were not sent: what never left has no other answer
        if charge.attempts:
            self._answer(charge, max(1, charge.attempts - which), answer)

    def _answer(self, charge: model.Charge, attempt: int, answer: str) -> None:
        made = self.known[charge.charge_id]
        newest = charge.attempts == attempt
        doubtful = charge.state in (State.IN_DOUBT, State.REVIEW)
        if answer == "debited":
            if charge.effects or charge.ended:
                return  # billing dedupes by key; and after an end nobody may debit: I4
            charge.effects += 1
        if answer == "denied" and charge.effects:
            return  # it has debited, and says so
        following = {
            "not_sent": Next.DOUBT if doubtful else Next.AGAIN,
            "review": Next.REVIEW,
        }.get(answer)
        ended = self.store.result(
            made,
            "unknown" if answer == "review" else answer,
            attempt=attempt,
            following=following,
            reason="BILLING_REJECTED" if answer == "denied" else None,
        )
        was_ended = charge.ended
        if answer == "debited":
            charge.on(Event.DEBITED)
        elif newest and not was_ended and charge.state is not State.REVIEW:
            self._on_newest(charge, answer)
        elif newest and answer == "denied" and charge.state is State.REVIEW:
            charge.on(Event.DENIED)
        assert (ended is not None) == (charge.ended and not was_ended)
        if newest:
            charge.open = False

    def _on_newest(self, charge: model.Charge, answer: str) -> None:
        match answer:
            case "denied":
                charge.on(Event.DENIED)
            case "not_sent":
                charge.on(Event.NOT_SENT)
            case "unknown":
                charge.on(Event.DEBIT_UNKNOWN)
            case "review":
                if charge.state is State.DEBITING:
                    charge.on(Event.DEBIT_UNKNOWN)
                if charge.state is State.IN_DOUBT:
                    charge.on(Event.NEEDS_REVIEW)

    @rule(charge=charges, answer=st.sampled_from(ANSWERS))
    def debit(self, charge: model.Charge, answer: str) -> None:
        """An attempt that is answered at once."""
        before = charge.attempts
        self.begin_debit(charge, stale=False)
        if charge.attempts > before:
            self._answer(charge, charge.attempts, answer)

    @rule()
    def take_over(self) -> None:
        """Whatever is overdue is claimed by somebody, once."""
        self.pass_time(61)
        claimed = self.store.claim_debits()
        assert self.store.claim_debits() == []
        for job in claimed:
            [charge] = [c for c in self.model.charges if c.charge_id == job.charge_id]
            assert charge.state in IN_DEBIT - {State.REVIEW}
            assert job.attempts == charge.attempts
            assert job.open == charge.open
            doubtful = charge.state is State.IN_DOUBT or charge.open
            assert (job.doubt_s is not None) == doubtful

    # --- what must hold at every step

    @invariant()
    def rows_agree(self) -> None:
        """States, work rows and ends are what the model says, and ends do not change."""
        rows = {row[0]: row[1:] for row in self.store.query(SEEN, list(self.known))}
        assert len(rows) == len(self.model.charges)
        for charge in self.model.charges:
            state, waiting, in_debit, told, *end = rows[charge.charge_id]
            assert state == charge.state
            if charge.ended:
                assert (waiting, in_debit, told) == (False, False, True)
                assert self.ends.setdefault(charge.charge_id, end) == end
            else:
                awaiting = charge.state is State.AWAITING
                assert (waiting, in_debit, told) == (awaiting, not awaiting, False)
                assert end == [None, None, None]

    @invariant()
    def money_is_safe(self) -> None:
        for charge in self.model.charges:
            assert charge.effects <= 1
            assert charge.consented or not charge.effects
            if charge.ended:
                assert charge.effects == (charge.state is State.SUCCEEDED)


@pytest.mark.slow
def test_the_store_does_what_the_rules_say(store: Store) -> None:
    class Machine(StoreMachine):
        pass

    Machine.store = store
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
