"""What the benchmarks say must be true: their traffic, their arithmetic, their exit code."""

import json
import os
import socket
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from benchmarks import http_load, load, machine, sampled, traffic
from benchmarks.calm import Tails
from benchmarks.debits import Billings
from benchmarks.figures import figure, judged, missed, noise
from benchmarks.node import Talker
from benchmarks.outside import Outside, http_messages

from ppcd.charge.reading import Reader, Verdict
from ppcd.smpp import (
    Command,
    Decoder,
    decode_text,
    encode,
    encode_deliver_resps,
    parse_receipt,
    submit_sm,
)
from ppcd.worker.queue import Queue

ROOT = Path(__file__).parents[2]


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *args],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_name_they_are_listed() -> None:
    listed = bench()
    assert listed.returncode == 0
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert {"codec", "reply", "growth", "chain", "nodes", "debits", "api"} <= set(names)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    refused = bench("nothing")
    assert refused.returncode == 2
    assert "reply" in refused.stderr


def test_a_figure_that_misses_its_must_is_named() -> None:
    figures = [
        figure("fast", 3, "times", better="higher", must=2, aim=4),
        figure("slow", 3, "ms", better="lower", must=2),
        figure("told", 3, "MiB", better="lower"),
    ]
    assert missed(figures) == ["slow"]
    assert "MISSES ITS MUST" in judged(figures)
    assert "misses its aim" in judged(figures)
    assert json.loads(json.dumps(figures)) == figures


def test_noise_is_half_the_range_as_a_share_of_the_median() -> None:
    assert noise([90, 100, 120]) == pytest.approx(0.15)


class Disk:
    """A probe of the disk that finds what is told."""

    def __init__(self, p99_ms: float) -> None:
        self.took_ms = [p99_ms]

    def __enter__(self) -> "Disk":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def p99_ms(self) -> float:
        return self.took_ms[0]


@pytest.mark.parametrize(
    ("disk_ms", "kept_s", "tails_ms", "judged_by"),
    [
        ([250, 4], [0, 0], [300, 20], ("tail_calm", 20)),
        ([4, 4], [60, 0], [300, 20], ("tail_calm", 20)),
        ([4], [0], [300], ("tail_calm", 300)),
        ([250, 250, 4], [0, 0, 60], [300, 200, 400], ("tail", 300)),
    ],
)
def test_a_tail_is_judged_where_the_machine_was_calm_and_else_as_it_is(
    disk_ms: list[float],
    kept_s: list[float],
    tails_ms: list[float],
    judged_by: tuple[str, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disks = iter(disk_ms)
    # Each cell looks before and after.
    kept = iter([seconds for after in kept_s for seconds in (0.0, after)])
    monkeypatch.setattr(machine, "Flushes", lambda _: Disk(next(disks)))
    monkeypatch.setattr(machine, "stolen_s", lambda: next(kept))
    tails = Tails(tmp_path, cells=1)
    left = list(tails_ms)
    for _ in tails.tries():
        with tails.beside_the_machine() as p99_ms:
            p99_ms.append(left.pop(0))
    assert left == []
    judged_ones = [f for f in tails.figures("tail", must=50) if f["must"]]
    assert [(f["name"], f["value"]) for f in judged_ones] == [judged_by]


def test_the_traffic_is_mixed_as_promised_and_reads_as_it_should() -> None:
    kinds = [traffic.kind_of(i) for i in range(200)]
    shares = {kind: kinds.count(kind) / 200 for kind in set(kinds)}
    assert shares == {"yes": 0.85, "no": 0.05, "unclear": 0.05, "late": 0.025, "stray": 0.025}
    meant = {
        "yes": {Verdict.YES},
        "no": {Verdict.NO, Verdict.STOP},
        "unclear": {Verdict.UNCLEAR},
        "late": {Verdict.YES},
        "stray": {Verdict.UNCLEAR, Verdict.YES},
    }
    [stream] = traffic.streams(0, 400, links=1)
    pdus = Decoder().feed(stream.octets)
    assert len(pdus) == len(stream) == 400
    for number, pdu in enumerate(pdus, 1):
        i = stream.phones[number]
        reading = Reader().read(decode_text(pdu.short_message, pdu.data_coding))
        assert (pdu.fault, pdu.sequence) == (None, number)
        assert int(pdu.source_addr) == traffic.FIRST_PHONE + i
        assert reading.verdict in meant[traffic.kind_of(i)]


def test_with_receipts_there_is_one_beside_each_reply() -> None:
    streams = traffic.streams(0, 10, links=2, receipts=True)
    found = [parse_receipt(pdu) for s in streams for pdu in Decoder().feed(s.octets)]
    assert [receipt is not None for receipt in found] == [True, False] * 10


def test_the_load_counts_answers_and_refusals_however_they_are_cut() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        bound = load.Bound(ours)
        [stream] = traffic.streams(0, 50, links=1)
        bound.begin(stream)
        latencies: list[float] = []
        octets = encode_deliver_resps(list(range(1, 51)), [8 if n == 7 else 0 for n in range(50)])
        for at in range(0, len(octets), 40):
            theirs.sendall(octets[at : at + 40])
            bound.read(1.0, latencies)
        assert (bound.answered, bound.refused) == (50, {8})
        assert bound.times == array("d", [0.0] * 51)


def test_each_phone_of_the_chain_answers_its_prompt_once() -> None:
    outside = Outside()
    try:
        listening = ("127.0.0.1", outside.ports["smsc"])
        with socket.create_connection(listening) as link:
            texts = [
                submit_sm(source_addr=b"717100", destination_addr=phone, short_message=b"?")
                for phone in (b"380970000001", b"380970000001", b"380970000002")
            ]
            link.sendall(b"".join(encode(pdu, sequence=n) for n, pdu in enumerate(texts, 1)))
            link.setblocking(False)
            outside.serve(lambda: outside.prompts == 3)
            answers = Decoder().feed(link.recv(65_536))
        replies = [pdu for pdu in answers if pdu.command == Command.DELIVER_SM]
        assert [pdu.source_addr for pdu in replies] == [b"380970000001", b"380970000002"]
        assert len(answers) == 5
    finally:
        outside.close()


def test_the_sampler_says_which_stage_a_node_is_at(tmp_path: Path) -> None:
    seen: list[str] = []
    queue: Queue[str] = Queue(
        size_max=1, lane=lambda job: seen.append(sampled.stage_of(sys._getframe()))
    )
    queue.put("job")
    assert seen == ["job queues"]
    assert sampled.stage_of(sys._getframe()) == "reactor and the rest"
    configs = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for config in configs:
        counts = {"create": 3, "prompt": 1, sampled.IDLE: 6}
        sampled.counts_of(config).write_text(json.dumps(counts))
    assert sampled.shares(configs) == {"create": 0.75, "prompt": 0.25}


def test_http_messages_are_taken_whole_or_not_at_all() -> None:
    whole = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    messages, used = http_messages(whole * 2 + whole[:-1])
    assert [body for _, body in messages] == [b"abc", b"abc"]
    assert used == 2 * len(whole)


def test_the_api_s_partner_counts_what_a_server_answers() -> None:
    bare = Talker("benchmarks.bare_http")
    partner = http_load.Partner()
    try:
        bare.tell({"headers": [["X-A", "b"]], "body": '{"paymentId":"7"}'})
        port = bare.answer()["port"]
        told = partner.run(port=port, what="creates", first=5, seconds=0.2, connections=3)
        assert told["statuses"] == {201: told["asked"]}
        assert told["per_s"] > 0
        assert sorted(partner.payments) == [(5 + n, b"7") for n in range(told["asked"])]
        slowly = partner.run(port=port, what="creates", first=9, seconds=0.3, rate=20)
        assert slowly["asked"] == 6
        assert 0 < slowly["p50_ms"] <= slowly["p99_ms"]
        partner.hang_up(kept=2)
        assert len(partner.payments) == 2
    finally:
        partner.hang_up()
        bare.kill()


def test_the_api_s_requests_are_what_they_should_be() -> None:
    for octets in (http_load.create(7), http_load.cancel(b"12", 7)):
        [(head, body)], used = http_messages(octets)
        assert used == len(octets)
        assert b"Authorization: Bearer bench-key" in head
        assert b"+380970000007" in body
        json.loads(body)


@pytest.mark.parametrize("kind", ["http", "diameter"])
def test_the_benchs_billing_debits_what_a_bare_client_asks(kind: str) -> None:
    billings = Billings()
    try:
        done = json.loads(bare(kind, str(billings.ports[kind]), "200").stdout)
        assert done["cpu_s"] > 0
        seen = billings.seen()
        assert (seen["debits"], sum(seen["tenths"])) == (200, 200)
        assert billings.seen() == {"debits": 0, "seconds": 0, "tenths": []}
    finally:
        billings.kill()


def bare(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.bare", *args],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_cpu_and_memory_of_this_process_are_seen() -> None:
    pid = os.getpid()
    before = machine.cpu_s([pid])
    sum(range(2_000_000))
    assert machine.cpu_s([pid]) > before
    assert machine.memory_mib(pid) > 10
    assert pid in machine.children(pid)
