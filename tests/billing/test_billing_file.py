"""Files of debits: each key in exactly one of them, whatever breaks and whenever it stops."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from pydantic import ValidationError
from twisted.internet.task import deferLater

from ppcd.billing import journal as journal_module
from ppcd.billing.file import FileBilling
from ppcd.billing.file_settings import FileBillingSettings
from ppcd.billing.journal import Damaged, Journal, Line
from ppcd.charge.debit import Debited, NotFound, NotSent, Unknown
from ppcd.charge.refund import Refunded
from tests.billing.adapter_contract import AdapterContract, Fault, a_refund, an_order, debit

NOW = datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)


def settings_for(tmp_path: Path, /, **changes: Any) -> FileBillingSettings:
    described = {
        "kind": "file",
        "directory": str(tmp_path / "out"),
        "journal": str(tmp_path / "journal"),
        "refund_record": "{key};{time:%Y%m%d%H%M%S};{msisdn};-{amount_minor};{currency};"
        "{debit_key}",
    }
    return FileBillingSettings.model_validate(described | changes)


class FileWorld:
    def __init__(self, reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reactor = reactor
        self._tmp_path = tmp_path
        self._monkeypatch = monkeypatch
        self.adapter = self.an_adapter()

    def an_adapter(self, **changes: Any) -> FileBilling:
        settings = settings_for(self._tmp_path, **changes)
        return FileBilling("cdr", settings, reactor=self._reactor, now=lambda: NOW)

    def behave(self, fault: Fault) -> None:
        """Every fault of a file is the disk's: it fails once, after the write."""
        fsync, failed = os.fsync, []

        def fails_once(fd: int) -> None:
            if not failed:
                failed.append(fd)
                raise OSError(5, "Input/output error")
            fsync(fd)

        # The journal's first line is synced apart.
        if fault is not Fault.NONE:
            self._monkeypatch.setattr(journal_module.os, "fsync", fails_once)

    async def shut_down(self) -> None:
        (self._tmp_path / "journal").write_text("not a directory")

    async def zombies_rise(self) -> None:
        raise AssertionError("a file has none")

    def asked(self, key: str) -> int:
        return len(self._recorded(key))

    def debited(self, key: str) -> list[tuple[str, int, str]]:
        return [tuple(found) for about, *found in self._recorded(key) if not about]

    def refunded(self, key: str) -> list[tuple[str, int, str]]:
        about_refund = "refund of 1001: "
        return [tuple(found) for about, *found in self._recorded(key) if about == about_refund]

    def _recorded(self, key: str) -> list[tuple[str, str, int, str]]:
        """What the journals say; each file is copied from one."""
        directory = self._tmp_path / "journal"
        found = []
        for path in directory.glob("*.*") if directory.is_dir() else ():
            for row in path.read_text().splitlines():
                if f'"key": "{key}"' in row:
                    what = row.split('"what": "')[1].split('"')[0]
                    about, colon, money = what.rpartition(": ")
                    msisdn, amount, currency = money.split()
                    found.append((about + colon, msisdn, int(amount), currency))
        return found

    def files(self) -> dict[str, list[str]]:
        found = sorted((self._tmp_path / "out").glob("[!.]*"))
        return {path.name: path.read_text().splitlines() for path in found}


@pytest_twisted.async_yield_fixture
async def world(
    reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FileWorld]:
    world = FileWorld(reactor, tmp_path, monkeypatch)
    yield world
    await world.adapter.close()


NOT_OF_FILES = "not promised: a file refuses nothing, is never busy and has no network"


class TestFileBilling(AdapterContract):
    @pytest.mark.skip(NOT_OF_FILES)
    def test_a_refusal_has_its_reason_and_billings_own_code(self) -> None: ...

    @pytest.mark.skip(NOT_OF_FILES)
    def test_a_busy_billing_was_not_sent_anything_that_counts(self) -> None: ...

    @pytest.mark.skip(NOT_OF_FILES)
    def test_a_refund_may_be_refused(self) -> None: ...

    @pytest.mark.skip(NOT_OF_FILES)
    def test_a_busy_billing_was_not_sent_any_refund_that_counts(self) -> None: ...

    @pytest.mark.skip(NOT_OF_FILES)
    def test_a_refund_may_be_late_too(self) -> None: ...

    @pytest.mark.skip(NOT_OF_FILES)
    def test_not_found_proves_nothing_while_a_debit_may_be_late(self) -> None: ...


@pytest_twisted.ensureDeferred
async def test_finished_files_appear_whole_with_their_header(world: FileWorld) -> None:
    adapter = world.an_adapter(records_max="2", header="key;at;who;sum;cur;for")
    for key in ("1", "2", "3"):
        order = an_order(key, merchant='Game;X "a"\n')
        assert isinstance(await adapter.debit(order, may_send=lambda: True), Debited)
    assert len(world.files()) == 1
    await adapter.close()
    head = "key;at;who;sum;cur;for"
    line = '{};20261123090507;380971234567;2500;UAH;"Game;X ""a"" "'
    assert world.files() == {
        "ppcd_20261123090507_0000000001.csv": [head, line.format(1), line.format(2)],
        "ppcd_20261123090507_0000000002.csv": [head, line.format(3)],
    }


@pytest_twisted.ensureDeferred
async def test_a_refund_is_a_record_of_its_own_in_the_same_file(world: FileWorld) -> None:
    adapter = world.an_adapter()
    await adapter.debit(an_order("1001"), may_send=lambda: True)
    again = [await adapter.refund(a_refund(), may_send=lambda: True) for _ in range(2)]
    assert again == [Refunded("ppcd_20261123090507_0000000001.csv:2")] * 2
    other = a_refund(debit_key="1002")
    assert isinstance(await adapter.refund(other, may_send=lambda: True), Unknown)
    await adapter.close()
    [records] = world.files().values()
    assert records[1] == "9001;20261123090507;380971234567;-2500;UAH;1001"


@pytest_twisted.ensureDeferred
async def test_without_a_record_for_them_there_are_no_refunds(world: FileWorld) -> None:
    adapter = world.an_adapter(refund_record=None)
    assert not adapter.refund_abilities.reversible
    assert isinstance(await adapter.refund(a_refund(), may_send=lambda: True), NotSent)
    await adapter.close()


@pytest_twisted.ensureDeferred
async def test_a_file_ends_by_its_age(world: FileWorld, reactor: Any) -> None:
    adapter = world.an_adapter(age_s="0.05")
    await adapter.debit(an_order(), may_send=lambda: True)
    while not world.files():
        await deferLater(reactor, 0.02)
    assert await adapter.debit(an_order(), may_send=lambda: True) == Debited(
        "ppcd_20261123090507_0000000001.csv:1"
    )
    await adapter.close()
    assert len(world.files()) == 1


@pytest_twisted.ensureDeferred
async def test_a_key_is_remembered_over_a_restart(world: FileWorld) -> None:
    answer = await debit(world, an_order())
    await world.adapter.close()
    world.adapter = world.an_adapter()
    assert await debit(world, an_order(attempt=2, repeat=True)) == answer
    assert await world.adapter.query(an_order()) == answer
    assert await world.adapter.query(an_order("7")) == NotFound()
    assert isinstance(await debit(world, an_order(msisdn=an_order().msisdn)), Debited)
    await world.adapter.close()
    assert [len(lines) for lines in world.files().values()] == [1]
    assert isinstance(await debit(world, an_order("8")), NotSent)


@pytest_twisted.ensureDeferred
async def test_a_journal_in_use_is_left_alone(world: FileWorld) -> None:
    await debit(world, an_order())
    other = world.an_adapter()
    assert await other.debit(an_order(), may_send=lambda: True) == NotSent("no journal: Damaged")
    await other.close()
    assert world.debited("1001") != []


@pytest_twisted.ensureDeferred
async def test_a_bug_leaves_nobody_waiting(world: FileWorld, criticals: Any) -> None:
    def bug() -> bool:
        raise RuntimeError("bug")

    assert isinstance(await world.adapter.debit(an_order(), may_send=bug), Unknown)
    assert len(criticals.take()) == 1
    assert isinstance(await debit(world, an_order()), Debited)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"directory": "out"}, "directory"),
        ({"name": "x.csv"}, "{sequence}"),
        ({"name": "../{sequence}"}, "letters, digits"),
        ({"name": ".{sequence}"}, "dot"),
        ({"name": "{sequence}{key"}, "letters, digits"),
        ({"record": "{msisdn}"}, "{key}"),
        ({"record": "{key}{password}"}, "no password"),
        ({"record": "{key}{id}"}, "{id} is not a field"),
        ({"record": "{key}\n{msisdn}"}, "one line"),
        ({"refund_record": "{msisdn}"}, "{key}"),
        ({"refund_record": "{key}{id}"}, "{id} is not a field"),
        ({"header": "a\nb"}, "one line"),
        ({"record": '{"key": {merchant}, "k": "{key}"}', "encoding": "json"}, "not JSON"),
        (
            {
                "record": '{"key": "{key}"}',
                "refund_record": '{"key": "{key}", "of": {debit_reference}}',
                "encoding": "json",
            },
            "refund_record is not JSON",
        ),
    ],
)
def test_a_wrong_description_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        settings_for(tmp_path, **change)
    assert message in str(raised.value)


class _Crash(BaseException):
    """The process ends here."""


def a_journal(tmp_path: Path, now: datetime = NOW) -> Journal:
    return Journal(
        tmp_path / "journal",
        tmp_path / "out",
        name_of=lambda sequence: f"cdr{sequence}",
        header=None,
        keys_kept=timedelta(days=8),
        now=lambda: now,
    )


def a_life(tmp_path: Path, said: set[str]) -> None:
    """Two files of two records; what is answered for goes into `said`."""
    journal = a_journal(tmp_path)
    try:
        for file in range(2):
            for number in range(2):
                key = f"{file}{number}"
                if journal.find(key) is None:
                    journal.append([Line(key, "w", f"record {key}")])
                said.add(key)
            journal.publish()
    finally:
        journal.close()  # as the end of a process does: nothing is written by it


@pytest.mark.parametrize("collected", [False, True])
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collected: bool
) -> None:
    """`collected`: whoever takes the files away has done so before the restart."""
    step = 0
    while True:
        place = tmp_path / str(step)
        said: set[str] = set()
        taken: list[str] = []
        with monkeypatch.context() as patched:
            crashed = _crash_at(patched, step)
            try:
                a_life(place, said)
            except _Crash:
                crashed.append(True)
        if collected and (place / "out").is_dir():
            for path in (place / "out").glob("[!.]*"):
                taken += path.read_text().split("\n")[:-1]
                path.unlink()
        before = set(said)
        a_life(place, said)
        a_journal(place).close()
        for path in (place / "out").glob("*"):
            assert not path.name.startswith("."), f"step {step}: {path.name} is left"
            taken += path.read_text().split("\n")[:-1]
        assert sorted(taken) == [f"record {key}" for key in sorted(said)], f"step {step}"
        assert before <= said
        if not crashed:
            break
        step += 1
    assert step > 20


def _crash_at(patched: pytest.MonkeyPatch, step: int) -> list[bool]:
    """Stop the process before the step-th act on the disk; empty if it never came so far."""
    acts, crashed = [0], []

    def counted(act: Any, torn: bool = False) -> Any:
        def wrapped(*args: Any, **options: Any) -> Any:
            acts[0] += 1
            if acts[0] == step + 1:
                if torn:
                    act(args[0], args[1][: len(args[1]) // 2])
                raise _Crash
            return act(*args, **options)

        return wrapped

    patched.setattr(journal_module.os, "fsync", counted(os.fsync))
    patched.setattr(journal_module.os, "write", counted(os.write, torn=True))
    patched.setattr(Path, "rename", counted(Path.rename))
    return crashed


def test_old_keys_are_forgotten_and_numbers_are_not(tmp_path: Path) -> None:
    a_life(tmp_path, set())
    later = datetime.now(UTC) + timedelta(days=9)  # noqa: TID251  # files have the real time
    journal = a_journal(tmp_path, later)
    assert journal.find("00") is None
    journal.append([Line("new", "w", "record new")])
    journal.publish()
    journal.close()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cdr1", "cdr2", "cdr3"]
    assert len(list((tmp_path / "journal").glob("*.done"))) == 2


def test_a_damaged_journal_is_for_people(tmp_path: Path) -> None:
    a_life(tmp_path, set())
    [first, _] = sorted((tmp_path / "journal").glob("*.done"))
    first.write_text("{}\n" + first.read_text())
    with pytest.raises(Damaged):
        a_journal(tmp_path)
