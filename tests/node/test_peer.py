"""A node and an SMSC that somebody else wrote (node-smpp): bind, submit, receipt, MO, unbind."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node.world import World, free_port, wait_for
from tests.peers import NODE_MODULES, require_peer

pytestmark = pytest.mark.peer

PHONE = "380970400001"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def test_a_charge_is_paid_over_somebody_elses_smsc(world: World, tmp_path: Path) -> None:
    require_peer("node-smpp")
    port, output = free_port(), tmp_path / "peer.out"
    script = Path(__file__).with_name("peer_smsc.js")
    with output.open("wb") as out:
        peer = subprocess.Popen(
            ["node", str(script), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        )

    def said(what: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in output.read_text().splitlines()]
        return [line for line in lines if line["what"] == what]

    try:
        wait_for("the peer", lambda: said("listening"))
        node = world.node
        node.configure(smpp_port=port)
        node.start()
        payment = node.create(PHONE, "peer").json["paymentId"]
        assert node.payment(payment, wait_s=20)["paymentStatus"] == "succeeded"
        assert world.debited()[payment] == [2500]
        wait_for("the receipt's text", lambda: len(said("submit")) >= 2)
        prompt = "".join(line["text"] for line in said("submit")[:-1])
        assert "Для подтверждения оплаты, отправьте ДА в ответ" in prompt
        assert all(line["to"] == PHONE for line in said("submit"))
        assert all(line["validity"] and line["receipt"] == 1 for line in said("submit"))
        wait_for("receipts", lambda: len(said("receipt answered")) == len(said("submit")))
        assert [line["status"] for line in said("reply answered")] == [0]
        assert node.party.stop() == 0
        wait_for("the unbind", lambda: said("unbind"))
        assert not said("error")
    finally:
        peer.kill()
        peer.wait()
