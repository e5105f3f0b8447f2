"""Somebody else's ESMEs at the simulated SMSC: phones, receipts and answers as they see them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from ppcd.sim.smsc import Smsc, SmscOptions
from tests.peers import Program, require_peer
from tests.smpp.tcp import reactor, until

pytestmark = pytest.mark.peer
PROGRAMS = Path(__file__).parents[1] / "smpp" / "programs"
PHONE = "380971234567"


@pytest.mark.parametrize(
    ("peer", "command"),
    [
        ("node-smpp", ["node", str(PROGRAMS / "node_esme.js")]),
        ("Net::SMPP", ["perl", str(PROGRAMS / "perl_esme.pl")]),
        ("smpplib", [sys.executable, str(PROGRAMS / "smpplib_esme.py")]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_foreign_esme_at_the_simulated_smsc(
    peer: str, command: list[str], tmp_path: Path
) -> None:
    require_peer(peer)
    accounts = {"node": "secret", "perl": "secret", "smpplib": "secret"}
    options = SmscOptions(accounts=accounts, receipt_delay_s=0.0, data_dir=tmp_path)
    smsc = Smsc(reactor, options)
    await smsc.start()
    program = Program([*command, str(smsc.port)], tmp_path)
    try:
        await until(lambda: len(program.said("bound")) == 2)
        statuses = [int(found["status"]) for found in program.said("bound")]
        assert statuses == [14, 0]
        await until(lambda: len(smsc.messages(PHONE)) >= 2)
        assert smsc.messages(PHONE)[0].text == "hello"
        for text in ("ДА", "НЕТ", "СТОП"):
            smsc.reply(PHONE, text)
        await until(lambda: _texts(program) >= {"ДА", "НЕТ"})
        if peer == "node-smpp":
            receipts = [found for found in program.said("deliver") if found["esm_class"] == 4]
            await until(lambda: receipts)
            assert "stat:DELIVRD" in receipts[0]["text"]
    finally:
        program.end()
        await smsc.stop()


def _texts(program: Program) -> set[Any]:
    texts = set()
    for found in program.said("deliver"):
        text = str(found["text"])
        if int(found["coding"]) == 8 and text.isascii():
            text = bytes.fromhex(text).decode("utf-16-be")
        texts.add(text)
    return texts
