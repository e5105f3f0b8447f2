"""Two sessions talk over a line that cuts bytes anywhere: whatever happens, promises hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ppcd.smpp import Decoder, End, Pdu, State, Status
from ppcd.smpp.events import Answered, Ended, Event, Expired, Odd, Requested, Unsent
from tests.smpp.conversation import Talk, a_deliver, a_submit, an_answer, bound_esme, bound_smsc

STEPS = ["submit", "deliver", "carry", "answer", "slow", "wait", "unbind", "pause", "resume"]


class Side:
    """One session, the bytes on their way to it, and what became of its tokens."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.incoming = b""
        self.given: list[int] = []
        self.back: list[object] = []
        self.open: list[Requested] = []
        self.odd: list[Odd] = []
        self.ended = 0
        self.line = Decoder()

    def note(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Answered(token, _) | Expired(token) | Unsent(token):
                    self.back.append(token)
                case Requested():
                    self.open.append(event)
                case Odd():
                    self.odd.append(event)
                case Ended():
                    self.ended += 1
                    self.back += event.unanswered + event.unsent
                case _:
                    pass

    def read(self, octets: int) -> None:
        data, self.incoming = self.incoming[:octets], self.incoming[octets:]
        if data:
            self.note(self.talk.session.receive_data(data, self.talk.now))

    def request(self, pdu: Pdu, token: int) -> None:
        if self.talk.session.submit(pdu, token, self.talk.now):
            self.given.append(token)

    def answer(self, status: int) -> None:
        if not self.open:
            return
        batch = self.open.pop(0).batch
        session, now = self.talk.session, self.talk.now
        for pdu in batch:
            self.note(session.answer_with(an_answer(pdu, status), now))

    def act(self, step: str, amount: int) -> None:
        session, now = self.talk.session, self.talk.now
        match step:
            case "carry":
                self.read(amount)
            case "answer":
                self.answer(Status.ESME_ROK if amount % 3 else Status.ESME_RSYSERR)
            case "slow":
                self.answer(Status.ESME_RTHROTTLED)
            case "unbind" if amount > 90:
                self.note(session.unbind(now))
            case "pause" if session.state is not State.CLOSED:
                session.paused()
            case "resume":
                session.resumed(now)
            case _:
                pass


def write(source: Side, target: Side) -> None:
    octets = source.talk.session.data_to_send()
    for pdu in source.line.feed(octets):
        assert pdu.fault is None
        assert 1 <= pdu.sequence <= 0x7FFF_FFFF
    target.incoming += octets


@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.booleans(), st.integers(1, 100)),
        max_size=120,
    )
)
def test_every_request_comes_back_once_and_nothing_is_odd(
    steps: list[tuple[str, bool, int]],
) -> None:
    esme = Side(bound_esme(window_max=3, queue_max=5, inbound_max=4))
    smsc = Side(bound_smsc(window_max=3, queue_max=5, inbound_max=4))
    for number, (step, is_esme, amount) in enumerate(steps):
        side = esme if is_esme else smsc
        if step == "submit":
            esme.request(a_submit(), number)
        elif step == "deliver":
            smsc.request(a_deliver(1), number)
        elif step == "wait":
            for one in (esme, smsc):
                one.note(one.talk.wait(amount / 10))
        else:
            side.act(step, amount)
        write(esme, smsc)
        write(smsc, esme)
    for side in (esme, smsc):
        side.note(side.talk.session.end(End.LOST, side.talk.now))
        assert sorted(map(str, side.back)) == sorted(map(str, side.given))
        assert side.ended == 1
        # Late answers and messages that crossed an unbind may be odd; nothing else is.
        assert {odd.oddity.name for odd in side.odd} <= {"UNMATCHED", "LEAVING", "WRONG_STATE"}


def test_a_quiet_pair_lives_for_a_day() -> None:
    esme = Side(bound_esme())
    smsc = Side(bound_smsc())
    for _ in range(24 * 60 * 4):
        for one, other in ((esme, smsc), (smsc, esme)):
            one.note(one.talk.wait(15.0))
            write(one, other)
            other.read(1000)
            write(other, one)
            one.read(1000)
    for side in (esme, smsc):
        assert side.ended == 0
        assert side.odd == []
        assert len(side.talk.session.outbox.reserved) <= 1
