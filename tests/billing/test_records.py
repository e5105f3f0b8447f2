"""A billing system's own file: what a row says, and in which line it is wrong."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ppcd.billing.records import BadRow, Record, RecordsFile, Unreadable
from ppcd.billing.records_settings import Columns, RecordsSettings

PLAIN = {"columns": {"key": "id", "amount": "sum"}, "currency": "UAH"}


def settings(**changes: Any) -> RecordsSettings:
    return RecordsSettings.model_validate(PLAIN | changes)


def rows(tmp_path: Path, text: str | bytes, known: RecordsSettings) -> list[Record | BadRow]:
    path = tmp_path / "file.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(known.encoding))
    file = RecordsFile(path, known)
    try:
        return list(file)
    finally:
        file.close()


def one(tmp_path: Path, text: str, **changes: Any) -> Record:
    [row] = rows(tmp_path, text, settings(**changes))
    assert isinstance(row, Record), row
    return row


def wrong(tmp_path: Path, text: str, **changes: Any) -> list[BadRow]:
    found = rows(tmp_path, text, settings(**changes))
    return [row for row in found if isinstance(row, BadRow)]


def test_a_row_is_money_taken_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert one(tmp_path, "id,sum\n7,25.00\n") == Record(
        *(2, 7, "7", False, True, 2500, "UAH", None, None, None)
    )


def test_everything_that_a_row_can_say(tmp_path: Path) -> None:
    known = {
        "columns": {
            **{"key": "id", "amount": "sum", "currency": "cur", "result": "said", "time": "at"},
            **{"kind": "kind", "msisdn": "phone", "reference": "ref"},
        },
        "currency": None,
        "results": {"OK": "debited", "NO": "denied", "?": "ignored"},
        "kinds": {"D": "debit", "R": "refund", "T": "ignored"},
        "refunds": "kind",
    }
    text = (
        "at,id,sum,cur,said,kind,phone,ref\r\n"
        "2026-11-23T12:00:00Z,7,25,UAH,OK,D,+380971234567,B-1\r\n"
        "2026-11-23T12:00:01Z,7,25,UAH,OK,R,,\r\n"
        "2026-11-23T12:00:02Z,8,1.250,KWD,NO,D,,\r\n"
        "2026-11-23T12:00:02Z,8,1.250,KWD,?,D,,\r\n"
        "2026-11-23T12:00:02Z,8,1.250,KWD,OK,T,,\r\n"
    )
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    second = timedelta(seconds=1)
    assert rows(tmp_path, text, settings(**known)) == [
        Record(2, 7, "7", False, True, 2500, "UAH", 380971234567, "B-1", at),
        Record(3, 7, "7", True, True, 2500, "UAH", None, None, at + second),
        Record(4, 8, "8", False, False, 1250, "KWD", None, None, at + 2 * second),
    ]


@pytest.mark.parametrize(
    ("said", "changes", "minor"),
    [
        ("2500", {"amount_form": "minor"}, 2500),
        ("25.5", {}, 2550),
        ("25,50", {"decimal_point": ",", "delimiter": ";"}, 2550),
        ("0.01", {}, 1),
        ("25.000", {}, 2500),
    ],
)
def test_amounts(tmp_path: Path, said: str, changes: dict[str, Any], minor: int) -> None:
    separator = changes.get("delimiter", ",")
    text = f"id{separator}sum\n7{separator}{said}\n"
    assert one(tmp_path, text, **changes).amount_minor == minor


@pytest.mark.parametrize(
    ("said", "form", "utc"),
    [
        ("2026-11-23T12:00:00+02:00", "iso", "2026-11-23T10:00:00"),
        ("2026-11-23 12:00:00", "iso", "2026-11-23T10:00:00"),
        ("2026-07-23 12:00:00", "iso", "2026-07-23T09:00:00"),
        ("1795435200", "unix", "2026-11-23T12:00:00"),
        ("1795435200250", "unix_ms", "2026-11-23T12:00:00.250000"),
        ("23.11.2026 12:00", "%d.%m.%Y %H:%M", "2026-11-23T10:00:00"),
    ],
)
def test_times(tmp_path: Path, said: str, form: str, utc: str) -> None:
    record = one(
        tmp_path,
        f"id,sum,at\n7,25,{said}\n",
        columns={"key": "id", "amount": "sum", "time": "at"},
        time_form=form,
        time_zone="Europe/Kyiv",
    )
    assert record.at == datetime.fromisoformat(utc + "+00:00")


def test_a_refund_may_be_a_negative_amount(tmp_path: Path) -> None:
    record = one(tmp_path, "id,sum\n7,-25.00\n", refunds="negative")
    assert (record.refund, record.amount_minor) == (True, 2500)


def test_a_key_that_is_no_charges_is_kept_as_it_is(tmp_path: Path) -> None:
    for raw in ("0", "x-1", "007", str(1 << 63)):
        record = one(tmp_path, f"id,sum\n{raw},1\n")
        assert (record.key, record.raw_key) == (None, raw)


def test_columns_may_be_numbers_and_lines_no_rows(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        "# made by hand\n7;25\n\n8;26\nTOTAL;51\n",
        settings(
            columns={"key": 1, "amount": "2"} | {"key": "1"},
            header=False,
            delimiter=";",
            ignore_lines=("#", "TOTAL"),
        ),
    )
    assert [row[:3] for row in found] == [(2, 7, "7"), (4, 8, "8")]


def test_other_encodings_delimiters_and_packed_files(tmp_path: Path) -> None:
    columns = {"key": "Ключ", "amount": "Сума"}
    text = "Ключ\tСума\n7\t25\n"
    known = settings(columns=columns, encoding="cp1251", delimiter="tab")
    assert len(rows(tmp_path, text, known)) == 1
    assert len(rows(tmp_path, "\ufeff" + text, settings(columns=columns, delimiter="tab"))) == 1
    path = tmp_path / "file.csv.gz"
    path.write_bytes(gzip.compress(text.encode("cp1251")))
    file = RecordsFile(path, known)
    assert len(list(file)) == 1
    assert file.position == file.size == path.stat().st_size
    file.close()
    path.write_bytes(gzip.compress(text.encode("cp1251") * 99)[:-12])
    with pytest.raises(Unreadable, match="the packed file is damaged"):
        list(RecordsFile(path, known))


def test_a_wrong_row_is_told_with_its_line(tmp_path: Path) -> None:
    text = "id,sum\n7,25\n7,25,26\n,25\n8,much\n9,25\n"
    assert wrong(tmp_path, text) == [
        BadRow(3, "has 3 fields, the header has 2"),
        BadRow(4, "key is empty"),
        BadRow(5, "amount 'much' is no amount in major units, such as 25.00"),
    ]


@pytest.mark.parametrize(
    ("row", "changes", "why"),
    [
        ("7,25.001", {}, "amount '25.001': UAH has 2 decimals, the amount has more"),
        ("7,-25", {}, "amount '-25' is no amount in major units"),
        ("7,25.00", {"amount_form": "minor"}, "is no amount in minor units, such as 2500"),
        ("7,0", {"amount_form": "minor"}, "is no amount in minor units"),
        ("7,25", {"currency": None, "columns": {"key": "id", "amount": "sum", "currency": "id"}},
         "currency '7' is not known"),
        ("7,25", {"columns": {"key": "id", "amount": "sum", "time": "id"}},
         "time '7' is not of the form iso"),
        ("7,25", {"columns": {"key": "id", "amount": "sum", "msisdn": "id"}},
         "msisdn is no number with its country code"),
        ("7,25",
         {"columns": {"key": "id", "amount": "sum", "result": "id"}, "results": {"8": "debited"}},
         "result '7' is not in results"),
    ],
)  # fmt: skip
def test_what_a_row_can_not_mean(
    tmp_path: Path, row: str, changes: dict[str, Any], why: str
) -> None:
    [bad] = wrong(tmp_path, f"id,sum\n{row}\n", **changes)
    assert bad.line == 2
    assert why in bad.why


def test_a_short_row_without_header(tmp_path: Path) -> None:
    known = {"columns": {"key": "1", "amount": "3"}, "header": False}
    assert wrong(tmp_path, "7,25\n", **known) == [BadRow(1, "has only 2 fields")]


@pytest.mark.parametrize(
    ("text", "changes", "why"),
    [
        (b"key,sum\n7,25\n", {}, "line 1: there is no one column 'id' .columns.key.; the columns"),
        (b"id,id,sum\n7,7,25\n", {}, "there is no one column 'id'"),
        (b"", {}, "the columns are none"),
        (b"id,sum\n\xff\xfe,25\n", {}, "is not utf-8: set encoding"),
        (b'id,sum\n"7,25\n', {}, "line 2: "),
        (b"id,sum\n7\x00,25\n", {}, "line 2: is no line of text"),
        (b"id,sum\n" + b"x" * 200_000 + b"\n", {}, "line 2: is no line of text"),
    ],
)
def test_a_file_of_another_kind(
    tmp_path: Path, text: bytes, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(Unreadable, match=why):
        rows(tmp_path, text, settings(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"delimiter": ";;"},
        {"delimiter": '"'},
        {"encoding": "klingon"},
        {"time_zone": "Kyiv"},
        {"currency": "QQQ"},
        {"currency": None},
        {"results": {"OK": "debited"}},
        {"refunds": "kind"},
        {"kinds": {"D": "debit"}},
        {"header": False},
        {"header": False, "columns": {"key": "1", "amount": "0"}},
    ],
)
def test_what_a_mapping_can_not_mean(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**changes)


def test_every_key_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "money-papers.md").read_text()
    keys = [name for name in RecordsSettings.model_fields if name != "columns"]
    keys += [f"columns.{name}" for name in Columns.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in page] == []
