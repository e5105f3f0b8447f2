"""What the service makes of a configuration, for the kinds that other tests make themselves."""

from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest_twisted

from ppcd.billing.file import FileBilling
from ppcd.billing.file_settings import FileBillingSettings
from ppcd.billing.sql import SqlBilling
from ppcd.billing.sql_settings import SqlBillingSettings
from ppcd.charge.debit import Debited
from ppcd.config.secret import Secret
from ppcd.service.adapters import adapters_of
from tests.billing.adapter_contract import an_order


@pytest_twisted.ensureDeferred
async def test_the_service_makes_an_adapter_of_each_kind(
    reactor: Any, bare_database: str, tmp_path: Path
) -> None:
    billing = {
        "database": SqlBillingSettings(
            kind="sql",
            dsn=bare_database,
            debit="SELECT 'debited' AS result, {key}::text AS reference",
        ),
        "postpaid": FileBillingSettings(
            kind="file", directory=str(tmp_path / "out"), journal=str(tmp_path / "journal")
        ),
    }
    secrets = {"billing.database.password": Secret("not asked for")}
    settings: Any = SimpleNamespace(billing=billing, secret=secrets.get)
    database, postpaid = adapters_of(
        settings, reactor=reactor, random=Random(1), wall_s=lambda: 1e9
    )
    assert isinstance(database, SqlBilling)
    assert isinstance(postpaid, FileBilling)
    assert await database.debit(an_order(), may_send=lambda: True) == Debited("1001")
    # 1e9 is 2001-09-09 01:46:40 UTC.
    assert await postpaid.debit(an_order(), may_send=lambda: True) == Debited(
        "ppcd_20010909014640_0000000001.csv:1"
    )
    await database.close()
    await postpaid.close()
    assert (database.name, postpaid.name) == ("database", "postpaid")
