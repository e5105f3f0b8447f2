"""The simulated SMSC: binds, submits, phones, receipts, faults; on a memory reactor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from ppcd.sim.delivery import RetryOptions
from ppcd.sim.handsets import Message
from ppcd.sim.journal import read_journal
from ppcd.sim.smsc import Smsc, SmscOptions
from ppcd.sim.web import App, Server
from ppcd.smpp import Command, MessageState, Pdu, Status, Tag, build, decode_text, parse_receipt
from tests.sim.esme import Esme
from tests.sim.memory import Wire, done

PHONE = "380971234567"


class Scene:
    """An SMSC with its HTTP; `journal` is what it has written."""

    def __init__(self, data_dir: Path | None, **options: Any) -> None:
        self.reactor = MemoryReactorClock()
        self._path = data_dir and data_dir / "smsc.jsonl"
        settings = {"receipt_delay_s": 0.2, "data_dir": data_dir, **options}
        self.smsc = Smsc(self.reactor, SmscOptions(**settings), random=Random(5))
        done(self.smsc.start())
        self.server = Server(self.reactor, App(self.smsc.sim_routes()), host="127.0.0.1", port=0)
        done(self.server.start())
        self._esmes: list[Esme] = []

    def esme(self, command: int = Command.BIND_TRANSCEIVER) -> Esme:
        """A new one, bound."""
        esme = self.stranger()
        assert esme.bind(command).status == 0
        return esme

    def stranger(self) -> Esme:
        self._esmes.append(Esme(self.reactor))
        return self._esmes[-1]

    def http(self, method: str, path: str, body: Any = None) -> Wire:
        wire = Wire(self.reactor, index=1).ask(method, path, body)
        assert wire.answered
        return wire

    def messages(self, msisdn: str = PHONE) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.http("GET", f"/sim/handsets/{msisdn}/messages").json()
        return found

    def reply(self, text: str, **more: Any) -> Wire:
        return self.http("POST", f"/sim/handsets/{PHONE}/replies", {"text": text, **more})

    def faults(self, **wanted: Any) -> Wire:
        return self.http("PUT", "/sim/smsc/faults", wanted)

    def journal(self, *entries: str) -> list[dict[str, object]]:
        assert self._path is not None
        return [found for found in read_journal(self._path) if found["entry"] in entries]

    def wait(self, seconds: float) -> None:
        for _ in range(20):
            self.reactor.advance(seconds / 20)

    def end(self) -> None:
        for esme in self._esmes:
            esme.leave()
        done(self.smsc.stop())


@contextmanager
def a_scene(data_dir: Path | None = None, **options: Any) -> Iterator[Scene]:
    scene = Scene(data_dir, **options)
    try:
        yield scene
    finally:
        scene.end()


def deliveries(esme: Esme) -> list[Pdu]:
    return [pdu for pdu in esme.heard() if pdu.command == Command.DELIVER_SM]


# Binds


def test_anybody_may_bind_where_no_account_is_named() -> None:
    with a_scene() as scene:
        answer = scene.stranger().bind()
        assert (answer.status, answer.system_id) == (0, b"SIMSC")
        assert answer.tlvs.get(Tag.SC_INTERFACE_VERSION) == 0x34


@pytest.mark.parametrize(
    ("accounts", "password", "status"),
    [
        ({"ppcd": "secret"}, b"secret", Status.ESME_ROK),
        ({"ppcd": "secret"}, b"wrong", Status.ESME_RINVPASWD),
        ({"other": "secret"}, b"secret", Status.ESME_RINVSYSID),
    ],
)
def test_accounts_have_passwords(
    accounts: dict[str, str], password: bytes, status: int, tmp_path: Path
) -> None:
    with a_scene(tmp_path, accounts=accounts) as scene:
        assert scene.stranger().bind(password=password).status == status
        (entry,) = scene.journal("bind")
        assert (entry["system_id"], entry["status"]) == ("ppcd", status)


def test_binds_can_be_refused_on_purpose() -> None:
    with a_scene() as scene:
        scene.faults(refuse_binds="ESME_RALYBND")
        assert scene.stranger().bind().status == Status.ESME_RALYBND
        scene.faults(refuse_binds=None)
        assert scene.stranger().bind().status == 0


# Messages to phones


def test_a_phone_shows_what_was_sent_oldest_first() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        assert scene.messages() == []
        (first,) = esme.submit("Для подтверждения оплаты, отправьте ДА в ответ")
        (second,) = esme.submit("hello")
        assert (first.status, first.message_id) == (0, b"0000000001")
        assert second.message_id == b"0000000002"
        texts = [(m["from"], m["text"]) for m in scene.messages()]
        assert texts == [
            ("717100", "Для подтверждения оплаты, отправьте ДА в ответ"),
            ("717100", "hello"),
        ]
        assert scene.messages()[0]["at"].endswith("Z")


def test_a_long_message_is_shown_once_and_whole() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        text = "Для подтверждения оплаты, отправьте ДА в ответ. " * 4
        assert len(esme.submit(text)) == 3
        assert [m["text"] for m in scene.messages()] == [text]


def test_what_is_no_text_is_shown_as_such() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        esme.say(
            build(
                Command.SUBMIT_SM,
                destination_addr=PHONE.encode(),
                data_coding=4,
                short_message=b"\1",
            )
        )
        assert [m["text"] for m in scene.messages()] == ["\N{REPLACEMENT CHARACTER}"]


def test_data_sm_reaches_a_phone_too() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        payload = [(Tag.MESSAGE_PAYLOAD, b"hello")]
        esme.say(build(Command.DATA_SM, destination_addr=f"+{PHONE}".encode(), tlvs=payload))
        (answer,) = esme.heard()
        assert (answer.command, answer.status) == (Command.DATA_SM_RESP, 0)
        assert [m["text"] for m in scene.messages()] == ["hello"]


@pytest.mark.parametrize("to", [b"380501234567", b"380971234567890123", b"", b"38097abc"])
def test_other_operators_numbers_are_no_phones(to: bytes) -> None:
    with a_scene() as scene:
        (answer,) = scene.esme().submit("x", destination_addr=to)
        assert answer.status == Status.ESME_RINVDSTADR
        if to:
            path = f"/sim/handsets/{to.decode()}/messages"
            assert scene.http("GET", path).status == 404


def test_a_submit_is_in_the_journal_before_its_answer(tmp_path: Path) -> None:
    with a_scene(tmp_path) as scene:
        esme = scene.esme()
        scene.faults(answer_delay_s=1.0)
        assert esme.submit("hello") == []
        (submit,) = scene.journal("submit")
        assert (submit["id"], submit["sender"], submit["to"], submit["octets"]) == (
            "0000000001",
            "717100",
            PHONE,
            b"hello".hex(),
        )
        assert scene.journal("resp") == []
        scene.wait(1.0)
        assert [pdu.command for pdu in esme.heard()] == [Command.SUBMIT_SM_RESP]
        assert [entry["id"] for entry in scene.journal("resp")] == ["0000000001"]


def test_other_operations_are_answered() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        esme.say(build(Command.QUERY_SM, message_id=b"0000000001"), build(Command.CANCEL_SM))
        query, cancel = esme.heard()
        assert query.message_state == MessageState.DELIVERED
        assert cancel.status == Status.ESME_RINVMSGID


def test_a_hook_hears_of_each_message() -> None:
    with a_scene() as scene:
        shown: list[Message] = []
        scene.smsc.on_message(shown.append)
        scene.esme().submit("hello")
        assert [(m.to, m.text) for m in shown] == [(PHONE, "hello")]


# Receipts


@pytest.mark.parametrize(
    ("asked", "reached", "states"),
    [
        (0, True, []),
        (1, True, [MessageState.DELIVERED]),
        (1, False, [MessageState.UNDELIVERABLE]),
        (2, True, []),
        (2, False, [MessageState.UNDELIVERABLE]),
    ],
)
def test_receipts_come_as_they_were_asked_for(
    asked: int, reached: bool, states: list[MessageState]
) -> None:
    with a_scene() as scene:
        esme = scene.esme()
        if not reached:
            scene.faults(undeliverable=[PHONE])
        (answer,) = esme.submit("hello", registered_delivery=asked)
        assert answer.status == 0
        assert len(scene.messages()) == reached
        scene.wait(0.3)
        receipts = [parse_receipt(pdu) for pdu in deliveries(esme)]
        assert [receipt.state for receipt in receipts if receipt] == states
        assert {receipt.message_id for receipt in receipts if receipt} <= {"0000000001"}


# Faults


def test_submits_over_the_rate_are_throttled() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        scene.faults(throttle_per_s=2)
        scene.wait(2.0)
        statuses = [esme.submit("x")[0].status for _ in range(3)]
        assert statuses == [0, 0, Status.ESME_RTHROTTLED]
        scene.wait(1.1)
        assert esme.submit("x")[0].status == 0


def test_numbers_can_be_refused() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        scene.faults(refuse={PHONE: "ESME_RINVDSTADR", "380970000000": 0x450})
        assert esme.submit("x")[0].status == Status.ESME_RINVDSTADR
        assert esme.submit("x", destination_addr=b"380970000000")[0].status == 0x450
        assert scene.http("GET", "/sim/smsc/faults").json()["refuse"] == {
            PHONE: "ESME_RINVDSTADR",
            "380970000000": 0x450,
        }


def test_a_silent_smsc_takes_and_says_nothing(tmp_path: Path) -> None:
    with a_scene(tmp_path) as scene:
        esme = scene.esme()
        scene.faults(silent=True)
        assert esme.submit("x") == []
        assert len(scene.messages()) == 1
        assert scene.journal("resp") == []


def test_links_can_be_seen_and_dropped(tmp_path: Path) -> None:
    with a_scene(tmp_path) as scene:
        esme = scene.esme()
        (link,) = scene.http("GET", "/sim/smsc/links").json()
        assert (link["system_id"], link["state"]) == ("ppcd", "bound_trx")
        assert scene.faults(drop_links=True).status == 200
        assert not esme.connected
        assert scene.http("GET", "/sim/smsc/links").json() == []
        assert scene.journal("ended")[0]["why"] == "dropped by us"


@pytest.mark.parametrize(
    "wanted",
    [
        {"nonsense": 1},
        {"throttle_per_s": -1},
        {"throttle_per_s": True},
        {"duplicate_percent": "many"},
        {"silent": 1},
        {"refuse": [PHONE]},
        {"refuse": {PHONE: "ESME_NONSENSE"}},
        {"refuse": {PHONE: 0}},
        {"undeliverable": PHONE},
        {"undeliverable": [1]},
        {"refuse_binds": True},
    ],
)
def test_faults_that_cannot_be_are_refused_by_name(wanted: dict[str, Any]) -> None:
    with a_scene() as scene:
        answer = scene.faults(**wanted)
        assert answer.status == 400
        assert next(iter(wanted)) in answer.json()["error"]
        assert scene.http("GET", "/sim/smsc/faults").json()["throttle_per_s"] is None


# Phones' answers


def test_a_reply_goes_to_the_last_sender_in_its_alphabet(tmp_path: Path) -> None:
    with a_scene(tmp_path) as scene:
        esme = scene.esme()
        assert scene.reply("ДА").status == 409
        esme.submit("a", source_addr=b"717100")
        esme.submit("b", source_addr=b"717104")
        assert scene.reply("ДА").status == 201
        assert scene.reply("YES", to="717100").status == 201
        first, second = deliveries(esme)
        assert (first.source_addr, first.source_addr_ton, first.source_addr_npi) == (
            PHONE.encode(),
            1,
            1,
        )
        assert (first.destination_addr, first.data_coding) == (b"717104", 8)
        assert decode_text(first.short_message, 8) == "ДА"
        assert (second.destination_addr, second.data_coding) == (b"717100", 0)
        entries = [e["entry"] for e in scene.journal("mo_given", "mo_sent", "mo_acked")]
        assert entries == ["mo_given", "mo_sent"] * 2
        esme.answer(first)
        esme.answer(second)
        assert [e["status"] for e in scene.journal("mo_acked")] == [0, 0]


def test_a_long_reply_is_several_messages() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        scene.reply("да " * 50, to="717100")
        assert [pdu.esm_class for pdu in deliveries(esme)] == [0x40, 0x40, 0x40]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"text": ""}, 400),
        ({"text": 1}, 400),
        ({"text": "ДА", "to": 1}, 400),
        ({"text": "ДА", "to": "а"}, 400),
        ({"text": "x" * 100_000, "to": "717100"}, 400),
        ({"text": "ДА", "to": "717100"}, 201),
    ],
)
def test_a_reply_must_be_one(body: dict[str, Any], status: int) -> None:
    with a_scene() as scene:
        assert scene.http("POST", f"/sim/handsets/{PHONE}/replies", body).status == status


def test_a_reply_waits_for_a_receiver_and_a_transmitter_is_none() -> None:
    with a_scene() as scene:
        scene.reply("ДА", to="717100")
        transmitter = scene.esme(Command.BIND_TRANSMITTER)
        scene.wait(1.0)
        assert deliveries(transmitter) == []
        receiver = scene.esme(Command.BIND_RECEIVER)
        assert len(deliveries(receiver)) == 1


def test_replies_are_shared_by_those_who_receive() -> None:
    with a_scene() as scene:
        one, other = scene.esme(), scene.esme()
        for _ in range(4):
            scene.reply("ДА", to="717100")
        assert (len(deliveries(one)), len(deliveries(other))) == (2, 2)


@pytest.mark.parametrize("how", ["status", "loss", "silence"])
def test_a_reply_that_nobody_took_is_brought_again(how: str, tmp_path: Path) -> None:
    with a_scene(tmp_path, mo_answer_timeout_s=5.0) as scene:
        esme = scene.esme()
        scene.reply("ДА", to="717100")
        (first,) = deliveries(esme)
        if how == "status":
            esme.answer(first, Status.ESME_RSYSERR)
        elif how == "loss":
            esme.leave()
            esme = scene.esme()
        else:
            scene.wait(5.0)
        scene.wait(1.1)
        again = deliveries(esme)
        assert [pdu.body for pdu in again] == [first.body]
        esme.answer(again[0])
        (entry,) = scene.journal("mo_redelivered")
        assert (entry["id"], entry["attempt"]) == ("mo-1", 2)
        assert scene.journal("mo_acked")[-1]["status"] == 0
        scene.wait(100.0)
        assert deliveries(esme) == []


def test_a_reply_refused_for_good_is_not_brought_again(tmp_path: Path) -> None:
    with a_scene(tmp_path) as scene:
        esme = scene.esme()
        scene.reply("ДА", to="717100")
        esme.answer(deliveries(esme)[0], Status.ESME_RX_T_APPN)
        scene.wait(100.0)
        assert deliveries(esme) == []
        assert [e["status"] for e in scene.journal("mo_acked")] == [Status.ESME_RX_T_APPN]


def test_a_reply_is_given_up_in_the_end(tmp_path: Path) -> None:
    retry = RetryOptions(first_s=1.0, max_s=10.0, give_up_s=20.0)
    with a_scene(tmp_path, retry=retry) as scene:
        esme = scene.esme()
        scene.reply("ДА", to="717100")
        count = 0
        for _ in range(60):
            for pdu in deliveries(esme):
                count += 1
                esme.answer(pdu, Status.ESME_RSYSERR)
            scene.wait(1.0)
        assert count == 5
        assert [e["id"] for e in scene.journal("mo_given_up")] == ["mo-1"]


def test_a_receiver_that_asked_for_less_gets_it_and_then_the_rest() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        for _ in range(3):
            scene.reply("ДА", to="717100")
        for pdu in deliveries(esme):
            esme.answer(pdu, Status.ESME_RTHROTTLED)
        scene.reply("НЕТ", to="717100")
        assert deliveries(esme) == []
        brought = 0
        for _ in range(20):
            for pdu in deliveries(esme):
                brought += 1
                esme.answer(pdu)
            scene.wait(0.5)
        assert brought == 4


def test_duplicates_can_be_had() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        scene.faults(duplicate_percent=100)
        scene.reply("ДА", to="717100")
        (first,) = deliveries(esme)
        esme.answer(first)
        scene.wait(0.1)
        (second,) = deliveries(esme)
        assert second.body == first.body
        esme.answer(second)
        scene.wait(0.1)
        assert deliveries(esme) == []


def test_no_more_than_the_window_is_with_one_esme() -> None:
    with a_scene(window_max=2) as scene:
        esme = scene.esme()
        for _ in range(5):
            scene.reply("ДА", to="717100")
        first = deliveries(esme)
        assert len(first) == 2
        for pdu in first:
            esme.answer(pdu)
        assert len(deliveries(esme)) == 2


# A restart


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    with a_scene(tmp_path) as scene:
        esme = scene.esme()
        esme.submit("first", registered_delivery=1)
        for text in ("taken", "refused", "open"):
            scene.reply(text, to="717100")
        taken, refused, _open = deliveries(esme)
        esme.answer(taken)
        esme.answer(refused, Status.ESME_RX_P_APPN)
    with a_scene(tmp_path) as scene:
        assert [m["text"] for m in scene.messages()] == ["first"]
        esme = scene.esme()
        receipt, reply = sorted(deliveries(esme), key=lambda pdu: -pdu.esm_class)
        assert parse_receipt(receipt) is not None
        assert reply.short_message == b"open"
        esme.answer(receipt)
        esme.answer(reply)
        assert esme.submit("second")[0].message_id == b"0000000002"
        assert scene.reply("next").json() == {"id": "mo-4"}


def test_an_end_while_something_is_open_leaves_no_timer() -> None:
    with a_scene() as scene:
        esme = scene.esme()
        scene.faults(answer_delay_s=100.0)
        esme.submit("x", registered_delivery=1)
        scene.reply("ДА", to="717100")
        esme.answer(deliveries(esme)[0], Status.ESME_RSYSERR)
        reactor = scene.reactor
    left = [c for c in reactor.getDelayedCalls() if "HTTP" not in str(c)]
    assert all("timeout" in str(call).lower() or "_delayed" in str(call) for call in left)
