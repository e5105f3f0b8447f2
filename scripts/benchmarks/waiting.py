"""Debits that wait, as the subscribers' yeses would have left them: charges and their jobs."""

import time

import psycopg

from benchmarks import charges
from benchmarks.traffic import FIRST_ADDRESS

IN_ONE_GO = 250_000
#: 1000 accounts at billing.
PHONES = 1000
FIRST_PHONE = 380_970_000_000

_CHARGES = f"""
    INSERT INTO charge (charge_id, partner_id, msisdn, amount_minor, currency, merchant,
                        description, language, reference, correlator, route, address, address_no,
                        with_code, billing, debit_start_s, document, created_at, expires_at)
    SELECT %(first_id)s + i, %(partner_id)s, {FIRST_PHONE} + i %% {PHONES}, 2500, 'UAH', 'GameX',
           '250 gold', 'ru', 'order-' || i, 'correlator-' || i, 'games', '{FIRST_ADDRESS}', n,
           false, 'main', 10800, '{{}}', business_now() - interval '1 minute',
           business_now() + interval '1 hour'
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i,
           (SELECT min(address_no) AS n FROM reply_address) a
"""
_JOBS = f"""
    INSERT INTO debit_job (charge_id, partner_id, msisdn, amount_minor, currency, billing,
                           confirmed_at, start_by, run_at)
    SELECT %(first_id)s + i, %(partner_id)s, {FIRST_PHONE} + i %% {PHONES}, 2500, 'UAH', 'main',
           business_now(), business_now() + interval '3 hours', business_now() + interval '1 second'
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i
"""


def wait_for_debits(dsn: str, *, first: int, count: int, first_id: int, partner_id: int) -> None:
    """Let charges `first` and following wait; the jobs are due in a second."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET synchronous_commit = off")  # only of the preparation
        for statement in (_CHARGES, _JOBS):
            for start in range(first, first + count, IN_ONE_GO):
                last = min(start + IN_ONE_GO, first + count) - 1
                values = {"first": start, "last": last}
                values |= {"first_id": first_id, "partner_id": partner_id}
                conn.execute(statement.encode(), values)
            conn.execute("ANALYZE charge")


def left(dsn: str) -> int:
    """Jobs that wait."""
    return int(charges.one(dsn, "SELECT count(*) FROM debit_job"))


def until_done(dsn: str, *, seconds: float) -> None:
    """Until no debit waits."""
    until = time.monotonic() + seconds
    while left(dsn):
        if time.monotonic() > until:
            raise RuntimeError(f"{left(dsn)} debits still wait after {seconds:.0f} s")
        time.sleep(0.25)
