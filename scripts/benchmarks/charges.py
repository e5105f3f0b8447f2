"""Charges as a node and its prompts would have left them, written straight into the database.

All facts and work of a charge whose prompt was sent and accepted: charge, keys, prompt, the SMSC's
answer, `awaiting` with written_at, `hold`. Of the phones that come late the charge has expired;
phones that we do not know have none.
"""

from typing import Any

import psycopg

from benchmarks.traffic import ADDRESSES, FIRST_ADDRESS, FIRST_PHONE, KIND_SQL

#: Times in which no prepared charge runs out.
LIFETIME = "interval '2 hours'"
ENDED = "interval '1 minute'"
#: Billing is held while replies are measured. A node denies what can't be begun in time; denying a
#: million of them at once would be measured along.
START_WITHIN_S = 7200
IN_ONE_GO = 250_000

_NEW = f"""
    CREATE TEMP TABLE IF NOT EXISTS fresh (
        i bigint, charge_id bigint, key bigint, address_no bigint, phone bigint, at integer);
    TRUNCATE fresh;
    INSERT INTO fresh
    SELECT i, %(first_id)s + i, ({FIRST_PHONE} + i) * 1000 + n.address_no, n.address_no,
           {FIRST_PHONE} + i, {KIND_SQL}
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i
      JOIN reply_address n ON n.address = ({FIRST_ADDRESS} + i %% {ADDRESSES})::text
     WHERE {KIND_SQL} < 195
     ORDER BY 3;
"""
_FACTS = (
    f"""
    INSERT INTO charge (charge_id, partner_id, msisdn, amount_minor, currency, merchant,
                        description, language, reference, correlator, route, address, address_no,
                        with_code, billing, debit_start_s, document, created_at, expires_at)
    SELECT charge_id, %(partner_id)s, phone, 2500, 'UAH', 'GameX', '250 gold', 'ru',
           'order-' || i, 'correlator-' || i, 'games', ({FIRST_ADDRESS} + address_no)::text,
           address_no, false, 'main', {START_WITHIN_S}, %(document)s,
           business_now() - interval '1 minute', business_now() + {LIFETIME}
      FROM fresh
    """,
    """
    INSERT INTO charge_key (partner_id, kind, value_hash, charge_id, fingerprint)
    SELECT %(partner_id)s, kind, sha256((kind || i)::bytea), charge_id, sha256(i::text::bytea)
      FROM fresh, (VALUES ('reference'), ('correlator')) AS k(kind)
    """,
    f"""
    INSERT INTO prompt (charge_id, prompt_no, kind, source, text, segments, written_at)
    SELECT charge_id, 0, 'prompt', ({FIRST_ADDRESS} + address_no)::text,
           'GameX: 250 gold, 25,00 грн. Чтобы оплатить, ответьте ДА.', 1, business_now()
      FROM fresh
    """,
    """
    INSERT INTO prompt_answer (charge_id, prompt_no, attempt, segment, link, command_status,
                               message_id, answered_at)
    SELECT charge_id, 0, 1, 0, 'link0', 0, 'm' || i, business_now() FROM fresh
    """,
    f"""
    INSERT INTO hold (key, charge_id, free_at)
    SELECT key, charge_id, business_now() + {LIFETIME} + interval '1 day' FROM fresh
    """,
    f"""
    INSERT INTO awaiting (key, charge_id, partner_id, amount_minor, currency, major_number, billing,
                          debit_start_s, written_at, expires_at)
    SELECT key, charge_id, %(partner_id)s, 2500, 'UAH', '25', 'main', {START_WITHIN_S},
           business_now() - interval '30 seconds', business_now() + {LIFETIME}
      FROM fresh WHERE at < 190
    """,
    f"""
    INSERT INTO outcome (charge_id, state, reason, decided_at)
    SELECT charge_id, 'expired', 'CONFIRMATION_TIMEOUT', business_now() - {ENDED}
      FROM fresh WHERE at >= 190
    """,
)
_DOCUMENT = """{"endUserId": "", "paymentAmount": {"chargingInformation": {"amount": 25.00,\
 "currency": "UAH", "description": ["250 gold"]}, "chargingMetaData": {"merchantName": "GameX",\
 "productId": "gold-250"}}, "referenceCode": "order", "clientCorrelator": "correlator"}"""


def prepare(dsn: str, *, first: int, count: int, first_id: int, partner_id: int) -> None:
    """Charges `first` to `first + count - 1`, committed, in the order of their numbers."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET synchronous_commit = off")  # only of the preparation
        for start in range(first, first + count, IN_ONE_GO):
            last = min(start + IN_ONE_GO, first + count) - 1
            values: dict[str, Any] = {
                "first": start,
                "last": last,
                "first_id": first_id,
                "partner_id": partner_id,
                "document": _DOCUMENT,
            }
            for statement in _NEW.split(";")[:-1]:
                conn.execute(statement.encode(), values)
            for statement in _FACTS:
                conn.execute(statement.encode(), values)


def settle(dsn: str) -> None:
    """Statistics, what vacuum would do about the preparation, and a checkpoint: cells begin alike.

    What the cell itself leaves is autovacuum's, while it runs.
    """
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE) awaiting, hold, debit_job, reply")
        conn.execute("VACUUM (ANALYZE) charge, charge_key, prompt, prompt_answer, outcome")
        conn.execute("CHECKPOINT")


def one(dsn: str, statement: str, *args: Any) -> Any:
    """The first value of a query."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        # A plan goes to parallel workers as text, and with millions of numbers that is over 1 GB.
        conn.execute("SET max_parallel_workers_per_gather = 0")
        row = conn.execute(statement.encode(), args or None).fetchone()
        return None if row is None else row[0]
