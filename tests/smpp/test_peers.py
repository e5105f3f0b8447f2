"""Conversations with programs that other people wrote, in both roles, over real sockets.

A peer's opinion is evidence, not law; where one differs from the specification, the test says so.
Each conversation has a deadline, and each program is ended by its process id.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from ppcd.smpp import (
    Accepted,
    Command,
    Link,
    LinkState,
    MessageState,
    Oddity,
    Pdu,
    Peer,
    Receipt,
    Refused,
    Status,
    Tag,
    Unknown,
    deliver_sm,
    encode,
    parse_receipt,
    split,
    split_payload,
    submit_sm,
)
from tests.peers import Program, require_peer
from tests.smpp.links import App
from tests.smpp.tcp import Answering, a_link, a_listener, until

pytestmark = pytest.mark.peer
PROGRAMS = Path(__file__).parent / "programs"
YA = "ДА".encode("utf-16-be")


def a_program(name: str, directory: Path, *arguments: str) -> Program:
    require_peer(
        {"node": "node-smpp", "perl": "Net::SMPP", "smpplib": "smpplib"}[name.split("_")[0]]
    )
    runner = {".js": "node", ".pl": "perl", ".py": sys.executable}[Path(name).suffix]
    return Program([runner, str(PROGRAMS / name), *arguments], directory)


@asynccontextmanager
async def a_foreign_smsc(
    name: str, directory: Path, **settings: Any
) -> AsyncIterator[tuple[Program, Link, App]]:
    """Our link to their SMSC."""
    program = a_program(name, directory)
    try:
        await until(lambda: program.said("listening"))
        app = App()
        link = a_link(int(program.said("listening")[0]["port"]), app, **settings)
        link.start()
        try:
            yield program, link, app
        finally:
            await link.stop()
    finally:
        program.end()


def a_text(text: str | bytes, **more: Any) -> Pdu:
    octets = text.encode() if isinstance(text, str) else text
    return submit_sm(
        source_addr=b"717100", destination_addr=b"380971234567", short_message=octets, **more
    )


async def accepted(link: Link, text: str | bytes, **more: Any) -> Accepted:
    answer = await link.submit(a_text(text, **more))
    assert isinstance(answer, Accepted)
    return answer


# node-smpp as SMSC


@pytest.mark.parametrize("kind", ["transceiver", "pair", "transmitter", "receiver"])
@pytest_twisted.ensureDeferred
async def test_node_smsc_takes_every_kind_of_bind(kind: Any, tmp_path: Path) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path, bind=kind) as (program, link, _app):
        await until(lambda: link.bound)
        binds = program.said("bind")
        assert len(binds) == (2 if kind == "pair" else 1)
        assert {bind["system_id"] for bind in binds} == {"ppcd"}
        assert {bind["version"] for bind in binds} == {0x34}


@pytest_twisted.ensureDeferred
async def test_node_smsc_refuses_a_wrong_password(tmp_path: Path) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path, password="wrong") as (_, link, app):
        await until(lambda: link.refused_with == Status.ESME_RINVPASWD)
        await until(lambda: link.state is LinkState.DOWN)
        assert LinkState.BOUND not in app.states


@pytest_twisted.ensureDeferred
async def test_node_smsc_reads_every_kind_of_text(tmp_path: Path) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path) as (program, link, _app):
        await until(lambda: link.bound)
        long = "Для подтверждения оплаты 25,00 грн отправьте ДА в ответ на это сообщение. " * 2
        for part in (
            *split("hello @ £5", reference=1),
            *split("ДА", reference=2),
            *split(long, reference=3),
            *split_payload(long),
        ):
            pdu = submit_sm(
                source_addr=b"717100",
                destination_addr=b"380971234567",
                validity_period=b"000000001000000R",
                **part._asdict(),
            )
            assert isinstance(await link.submit(pdu), Accepted)
        heard = program.said("submit")
        texts = [found["text"] for found in heard]
        # node-smpp reads data_coding 0 as what it takes for the default alphabet; ASCII is common.
        assert texts[0].startswith("hello")
        assert texts[1] == "ДА"
        assert [found["udh"] > 0 for found in heard] == [False, False, True, True, True, False]
        assert "".join(texts[2:5]) == long
        assert heard[5]["payload"] == len(long)


@pytest_twisted.ensureDeferred
async def test_node_smsc_refuses_and_throttles(tmp_path: Path) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path) as (program, link, _app):
        await until(lambda: link.bound)
        assert await link.submit(a_text("refuse")) == Refused(Status.ESME_RINVDSTADR)
        await accepted(link, "throttle")
        assert len([s for s in program.said("submit") if s["text"] == "throttle"]) == 2


@pytest.mark.parametrize("act", ["mo", "ussd", "vendor", "payload"])
@pytest_twisted.ensureDeferred
async def test_node_smsc_delivers_and_takes_our_answer(act: str, tmp_path: Path) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path) as (program, link, app):
        await until(lambda: link.bound)
        await accepted(link, act)
        await until(lambda: program.said("delivered"))
        (answer,) = program.said("delivered")
        assert (answer["status"], answer["length"]) == (0, 17)
        (pdu,) = app.boxes[0].pdus
        assert pdu.data_coding == 8
        assert pdu.message == (YA * 300 if act == "payload" else YA)
        assert pdu.source_addr == b"380971234567"
        if act == "ussd":
            assert pdu.tlvs.raw(Tag.USSD_SERVICE_OP) == b"\x12"
            assert pdu.tlvs.get(Tag.USER_MESSAGE_REFERENCE) == 77
            assert pdu.tlvs.raw(Tag.ITS_SESSION_INFO) == b"\1\3"
        if act == "vendor":
            assert pdu.tlvs.raw(0x1403) == b"\xff\0"


@pytest.mark.parametrize("when", ["early receipt", "late receipt"])
@pytest_twisted.ensureDeferred
async def test_node_smsc_sends_receipts_before_and_after_its_answer(
    when: str, tmp_path: Path
) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path) as (program, link, app):
        await until(lambda: link.bound)
        answer = await accepted(link, when, registered_delivery=1)
        await until(lambda: program.said("delivered"))
        receipt = parse_receipt(app.boxes[0].pdus[0])
        assert isinstance(receipt, Receipt)
        assert (receipt.message_id, receipt.state) == (answer.message_id, MessageState.DELIVERED)


@pytest_twisted.ensureDeferred
async def test_node_smsc_floods_and_each_message_is_answered_once(tmp_path: Path) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path, inbound_max=50) as (program, link, _app):
        await until(lambda: link.bound)
        await accepted(link, "flood")
        await until(lambda: len(program.said("delivered")) == 500)
        sequences = [found["sequence"] for found in program.said("delivered")]
        assert len(set(sequences)) == 500


@pytest_twisted.ensureDeferred
async def test_node_smsc_and_we_ask_each_other_whether_we_live(tmp_path: Path) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path, enquire_link_s=0.2) as (
        program,
        link,
        _app,
    ):
        await until(lambda: link.bound)
        await accepted(link, "enquire")
        await until(lambda: program.said("alive"))
        driver = link._binds[0].driver
        assert driver is not None
        session = driver.session
        await until(lambda: session._enquiry is not None)
        await until(lambda: session._enquiry is None)
        assert link.counts.lost == 0


@pytest_twisted.ensureDeferred
async def test_node_smsc_gets_a_nack_for_an_unknown_command_and_the_link_stays(
    tmp_path: Path,
) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path) as (program, link, _app):
        await until(lambda: link.bound)
        await accepted(link, "unknown")
        await until(lambda: program.said("nack"))
        assert program.said("nack") == [
            {"event": "nack", "status": Status.ESME_RINVCMDID, "sequence": 9}
        ]
        assert link.counts.odd[Oddity.UNKNOWN_COMMAND] == 1
        await accepted(link, "still here")


@pytest.mark.parametrize(("act", "sign"), [("unbind", "unbound"), ("cut", "close")])
@pytest_twisted.ensureDeferred
async def test_node_smsc_leaves_politely_or_in_mid_pdu_and_we_bind_again(
    act: str, sign: str, tmp_path: Path
) -> None:
    async with a_foreign_smsc("node_smsc.js", tmp_path) as (program, link, _app):
        await until(lambda: link.bound)
        # The cut may overtake the answer of the submit that asks for it.
        answer = await link.submit(a_text(act))
        assert isinstance(answer, Accepted | Unknown)
        await until(lambda: program.said(sign))
        await until(lambda: link.counts.binds == 2)


@pytest_twisted.ensureDeferred
async def test_a_half_open_node_smsc_is_noticed(tmp_path: Path) -> None:
    async with a_foreign_smsc(
        "node_smsc.js", tmp_path, enquire_link_s=0.3, enquire_link_timeout_s=0.3
    ) as (_program, link, _app):
        await until(lambda: link.bound)
        assert isinstance(await link.submit(a_text("deaf")), Unknown)
        await until(lambda: link.counts.binds >= 2)


# Net::SMPP as SMSC


@pytest.mark.parametrize("kind", ["transceiver", "transmitter", "receiver"])
@pytest_twisted.ensureDeferred
async def test_perl_smsc_takes_every_kind_of_bind_and_our_unbind(kind: Any, tmp_path: Path) -> None:
    async with a_foreign_smsc("perl_smsc.pl", tmp_path, bind=kind) as (program, link, _app):
        await until(lambda: link.bound)
        await link.stop()
        await until(lambda: program.said("unbind"))


@pytest_twisted.ensureDeferred
async def test_perl_smsc_refuses_a_wrong_password(tmp_path: Path) -> None:
    async with a_foreign_smsc("perl_smsc.pl", tmp_path, password="wrong") as (_, link, _app):
        await until(lambda: link.refused_with == Status.ESME_RINVPASWD)


@pytest_twisted.ensureDeferred
async def test_perl_smsc_talks_through_everything(tmp_path: Path) -> None:
    async with a_foreign_smsc("perl_smsc.pl", tmp_path) as (program, link, app):
        await until(lambda: link.bound)
        assert (await accepted(link, "hello")).message_id == "perl-1"
        await accepted(link, YA, data_coding=8)
        assert await link.submit(a_text("refuse")) == Refused(Status.ESME_RINVDSTADR)
        assert [found["text"] for found in program.said("submit")][:2] == [
            b"hello".hex(),
            YA.hex(),
        ]
        for count, act in enumerate(("mo", "ussd", "receipt"), 1):
            await accepted(link, act)
            await until(lambda count=count: len(program.said("delivered")) == count)
        assert {found["status"] for found in program.said("delivered")} == {"0"}
        mo, ussd, receipt = (box.pdus[0] for box in app.boxes)
        assert mo.message == ussd.message == YA
        assert ussd.tlvs.raw(Tag.USSD_SERVICE_OP) == b"\x12"
        read = parse_receipt(receipt)
        assert read is not None
        assert read.state is MessageState.DELIVERED
        await accepted(link, "enquire")
        await until(lambda: program.said("alive"))
        await accepted(link, "unbind")
        await until(lambda: program.said("unbound"))
        await until(lambda: not link.bound)


# Our listener and their ESMEs


class Account(Answering):
    """An SMSC with one account, one phone, and messages for whoever binds."""

    def bind_requested(self, peer: Peer, pdu: Pdu) -> int:
        return Status.ESME_ROK if pdu.password == b"secret" else Status.ESME_RINVPASWD

    def received(self, peer: Peer, pdus: list[Pdu]) -> None:
        self.pdus += pdus
        for pdu in pdus:
            if pdu.destination_addr != b"380971234567":
                peer.answer(pdu, Status.ESME_RINVDSTADR)
            else:
                peer.answer(pdu, message_id=b"ours-%d" % len(self.pdus))


@asynccontextmanager
async def a_foreign_esme(name: str, directory: Path) -> AsyncIterator[tuple[Program, Account]]:
    """Their ESME at our SMSC."""
    require_peer(
        {"node": "node-smpp", "perl": "Net::SMPP", "smpplib": "smpplib"}[name.split("_")[0]]
    )
    handler = Account()
    listener = a_listener(handler)
    port = await listener.start()
    program = a_program(name, directory, str(port))
    try:
        yield program, handler
    finally:
        program.end()
        listener.drop_all()
        await listener.stop()


def a_message(text: bytes = YA) -> Pdu:
    return deliver_sm(
        source_addr=b"380971234567",
        source_addr_ton=1,
        source_addr_npi=1,
        destination_addr=b"717100",
        data_coding=8,
        short_message=text,
    )


def count_of(program: Program, event: str) -> Callable[[], int]:
    return lambda: len(program.said(event))


@pytest_twisted.ensureDeferred
async def test_node_esme_talks_through_everything(tmp_path: Path) -> None:
    async with a_foreign_esme("node_esme.js", tmp_path) as (program, handler):
        await until(count_of(program, "alive"))
        refused, bound = program.said("bound")
        assert refused["status"] == Status.ESME_RINVPASWD
        assert (bound["status"], bound["system_id"], bound["version"]) == (0, "SMSC", 0x34)
        assert [(a["status"], a.get("id")) for a in program.said("submitted")][:3] == [
            (0, "ours-1"),
            (0, "ours-2"),
            (0, "ours-3"),
        ]
        assert program.said("submitted")[3]["status"] == Status.ESME_RINVDSTADR
        assert program.said("nack") == [
            {"event": "nack", "status": Status.ESME_RINVCMDID, "sequence": 0x63}
        ]
        # node-smpp sends GSM characters under data_coding 1, whatever the specification says.
        assert handler.pdus[0].data_coding == 1
        assert handler.pdus[1].data_coding == 8
        assert len(handler.pdus[2].message) == 1000
        (peer,) = handler.stood
        assert isinstance(await peer.send(a_message()), Accepted)
        assert program.said("deliver")[0]["text"] == "ДА"
        peer.unbind()
        await until(count_of(program, "unbinding"))
        await until(lambda: not program.running)
        assert program.said("error") == []


@pytest_twisted.ensureDeferred
async def test_node_esme_survives_tlvs_it_never_heard_of(tmp_path: Path) -> None:
    async with a_foreign_esme("node_esme.js", tmp_path) as (program, handler):
        await until(count_of(program, "alive"))
        (peer,) = handler.stood
        strange = deliver_sm(
            source_addr=b"1", short_message=b"x", tlvs=[(0x1403, b"\xff\0"), (0x3FFF, b"")]
        )
        assert isinstance(await peer.send(strange), Accepted)
        assert program.said("error") == []


@pytest_twisted.ensureDeferred
async def test_perl_esme_talks_through_everything(tmp_path: Path) -> None:
    async with a_foreign_esme("perl_esme.pl", tmp_path) as (program, handler):
        await until(count_of(program, "reading"))
        assert [found["status"] for found in program.said("bound")] == ["14", "0"]
        assert [(a["status"], a.get("id")) for a in program.said("submitted")] == [
            ("0", "ours-1"),
            ("0", "ours-2"),
            ("11", None),
        ]
        assert program.said("alive")[0]["status"] == "0"
        assert handler.pdus[1].short_message == YA
        (peer,) = handler.stood
        assert isinstance(await peer.send(a_message()), Accepted)
        assert await peer.send(a_message(b"\0n\0o")) == Refused(Status.ESME_RSYSERR)
        await until(count_of(program, "unbound"))
        assert program.said("unbound")[0]["status"] == "0"
        assert [found["text"] for found in program.said("deliver")] == [YA.hex(), "006e006f"]


@pytest_twisted.ensureDeferred
async def test_smpplib_talks_through_everything(tmp_path: Path) -> None:
    async with a_foreign_esme("smpplib_esme.py", tmp_path) as (program, handler):
        await until(count_of(program, "reading"))
        assert [found["status"] for found in program.said("bound")] == [
            Status.ESME_RINVPASWD,
            0,
        ]
        assert [found["id"] for found in program.said("submitted")] == ["ours-1", "ours-2"]
        (peer,) = handler.stood
        # Three at once, so that they share a read at the other side.
        several = b"".join(encode(a_message().replace(sequence=n)) for n in (100, 101, 102))
        peer.write_raw(several)
        await until(count_of(program, "unbound"))
        assert [found["text"] for found in program.said("deliver")] == [YA.hex()] * 3
        await until(lambda: not program.running)
        assert program.process.returncode == 0
        assert Command.UNBIND not in {pdu.command for pdu in handler.pdus}
