"""One charge's whole history from its facts, and finding a charge by what people know of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ppcd.store.sql import Cursor


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact: when, what, and what people need to know of it."""

    at: datetime
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Said:
    """The octets of a reply, and what is needed to read them."""

    link: str
    raw: bytes
    data_coding: int
    esm_class: int


_HISTORY = """
    SELECT created_at AS at, 'charge' AS what,
           format('accepted: reply address %%s, route %%s, billing %%s, expires %%s%%s', address,
                  route, billing, to_char(expires_at AT TIME ZONE 'UTC', 'HH24:MI:SS'),
                  CASE WHEN with_code THEN ', with code' ELSE '' END
                  || CASE WHEN two_step THEN ', two steps' ELSE '' END
                  || CASE WHEN authorization_id IS NOT NULL THEN ', consent by PIN' ELSE '' END)
               AS detail
      FROM charge WHERE charge_id = %(id)s
    UNION ALL
    SELECT written_at, CASE kind WHEN 'receipt' THEN 'receipt SMS' ELSE kind END,
           format('written from %%s in %%s segment(s): %%s', source, segments, text)
      FROM prompt WHERE charge_id = %(id)s
    UNION ALL
    SELECT answered_at, 'prompt answer',
           format('attempt %%s over %%s, segment %%s: %%s', attempt, link, segment,
                  CASE WHEN command_status IS NULL THEN 'no answer'
                       WHEN command_status = 0 THEN 'accepted as ' || coalesce(message_id, '?')
                       ELSE 'command_status 0x' || to_hex(command_status) END)
      FROM prompt_answer WHERE charge_id = %(id)s
    UNION ALL
    SELECT received_at, 'receipt',
           format('message %%s: %%s%%s', message_id, state, coalesce(', error ' || error, ''))
      FROM receipt WHERE charge_id = %(id)s
    UNION ALL
    SELECT received_at, 'reply',
           format('%%s over %%s to %%s, read as %%s (%%s): %%s', '0x' || encode(raw, 'hex'), link,
                  address, verdict, rule, effect)
      FROM reply WHERE charge_id = %(id)s
    UNION ALL
    SELECT intended_at, 'debit attempt',
           format('attempt %%s: %%s at %%s, by node %%s', attempt, kind, billing, node)
      FROM debit_attempt WHERE charge_id = %(id)s
    UNION ALL
    SELECT answered_at, 'debit result',
           format('attempt %%s: %%s', attempt,
                  concat_ws(', ', result, reason, 'reference ' || reference, nullif(detail, '')))
      FROM debit_result WHERE charge_id = %(id)s
    UNION ALL
    SELECT resolved_at, 'resolution',
           format('%%s, said %%s: %%s', concat_ws(', ', state, 'reference ' || reference), person,
                  reason)
      FROM debit_resolution WHERE charge_id = %(id)s
    UNION ALL
    SELECT tried_at, 'validation', format('code %%s: %%s', try_no, effect)
      FROM validation WHERE charge_id = %(id)s
    UNION ALL
    SELECT decided_at, 'decision',
           CASE decision WHEN 'confirmed' THEN 'confirmed by the partner: to be captured'
                         WHEN 'cancelled' THEN 'cancelled by the partner: to be released'
                         ELSE 'nobody decided in time: to be released' END
      FROM reservation_decision WHERE charge_id = %(id)s
    UNION ALL
    SELECT decided_at, 'outcome',
           concat_ws(', ', state, reason, 'billing reference ' || billing_reference)
      FROM outcome WHERE charge_id = %(id)s
    UNION ALL
    SELECT created_at, 'refund',
           format('%%s: %%s, %%s minor units %%s, reference %%s%%s', refund_id,
                  CASE WHEN whole THEN 'total' ELSE 'partial' END, amount_minor, currency,
                  reference, coalesce(', because: ' || reason, ''))
      FROM refund WHERE charge_id = %(id)s
    UNION ALL
    SELECT intended_at, 'refund attempt',
           format('%%s: attempt %%s: %%s at %%s, by node %%s', refund_id, attempt, kind, billing,
                  node)
      FROM refund_attempt WHERE charge_id = %(id)s
    UNION ALL
    SELECT answered_at, 'refund result',
           format('%%s: attempt %%s: %%s', refund_id, attempt,
                  concat_ws(', ', result, reason, 'reference ' || reference, nullif(detail, '')))
      FROM refund_result WHERE charge_id = %(id)s
    UNION ALL
    SELECT resolved_at, 'refund resolution',
           format('%%s: %%s, said %%s: %%s', refund_id,
                  concat_ws(', ', state, 'reference ' || reference), person, reason)
      FROM refund_resolution WHERE charge_id = %(id)s
    UNION ALL
    SELECT decided_at, 'refund outcome',
           format('%%s: %%s', refund_id,
                  concat_ws(', ', state, reason, 'billing reference ' || billing_reference))
      FROM refund_outcome WHERE charge_id = %(id)s
    UNION ALL
    SELECT made_at, 'notification', format('to %%s', url)
      FROM notification WHERE charge_id = %(id)s
    UNION ALL
    SELECT attempted_at, 'delivery', format('attempt %%s: %%s, %%s', attempt, result, detail)
      FROM delivery WHERE charge_id = %(id)s
    UNION ALL
    SELECT replayed_at, 'replay', format('to %%s, by %%s: %%s', url, person, reason)
      FROM webhook_replay WHERE charge_id = %(id)s
    ORDER BY 1
"""

_WORK = """
    SELECT run_at, 'prompt job',
           format('%%s, %%s attempt(s) so far, due then', kind, attempts)
      FROM prompt_job WHERE charge_id = %(id)s
    UNION ALL
    SELECT run_at, 'debit job',
           format('%%s attempt(s) so far, next: %%s%%s%%s', attempts, plan,
                  CASE WHEN act IN ('debit', plan) THEN '' ELSE ' of a ' || act END,
                  CASE WHEN review_since IS NOT NULL THEN ', a person must decide'
                       WHEN doubt_since IS NOT NULL THEN ', in doubt' ELSE '' END)
      FROM debit_job WHERE charge_id = %(id)s
    UNION ALL
    SELECT run_at, 'refund job',
           format('%%s: %%s attempt(s) so far, next: %%s%%s', refund_id, attempts, plan,
                  CASE WHEN review_since IS NOT NULL THEN ', a person must decide'
                       WHEN doubt_since IS NOT NULL THEN ', in doubt' ELSE '' END)
      FROM refund_job WHERE charge_id = %(id)s
    UNION ALL
    SELECT lapses_at, 'reservation', 'held; the partner decides, or it is let go then'
      FROM reservation WHERE charge_id = %(id)s
    UNION ALL
    SELECT run_at, 'webhook job',
           format('%%s attempt(s) so far%%s', attempts,
                  CASE WHEN dead_since IS NOT NULL THEN ', given up' ELSE ', due then' END)
      FROM webhook_job WHERE charge_id = %(id)s
    ORDER BY 1
"""


def facts(cur: Cursor, charge_id: int) -> list[Entry]:
    """What happened, in order."""
    return [Entry(*row) for row in cur.execute(_HISTORY, {"id": charge_id}).fetchall()]


_SAID = """
    SELECT link, raw, data_coding, esm_class FROM reply WHERE charge_id = %s
"""


def said(cur: Cursor, charge_id: int) -> list[Said]:
    """What the subscriber answered; in `facts` it stands as octets alone."""
    return [
        Said(link, bytes(raw), data_coding, esm_class)
        for link, raw, data_coding, esm_class in cur.execute(_SAID, [charge_id]).fetchall()
    ]


def work(cur: Cursor, charge_id: int) -> list[Entry]:
    """What is still to be done, and when."""
    return [Entry(*row) for row in cur.execute(_WORK, {"id": charge_id}).fetchall()]


# Each known thing has an index of its own; the ids that they give are then compared.
_BY_MSISDN = "SELECT charge_id FROM charge WHERE msisdn = %(msisdn)s"
_BY_REFERENCE = """
    SELECT k.charge_id FROM partner p
      JOIN charge_key k ON k.partner_id = p.partner_id AND k.kind = 'reference'
                       AND k.value_hash = sha256(convert_to(%(reference)s, 'UTF8'))
"""
_BY_BILLING_REFERENCE = """
    SELECT charge_id FROM outcome WHERE billing_reference = %(billing_reference)s
"""


def find(
    cur: Cursor,
    *,
    msisdn: int | None,
    reference: str | None,
    billing_reference: str | None,
    limit: int,
) -> Sequence[int]:
    """The newest charges that all the given things fit; at least one is given."""
    given = {
        "msisdn": (msisdn, _BY_MSISDN),
        "reference": (reference, _BY_REFERENCE),
        "billing_reference": (billing_reference, _BY_BILLING_REFERENCE),
    }
    values = {name: value for name, (value, _) in given.items() if value is not None}
    queries = [query for value, query in given.values() if value is not None]
    found = " INTERSECT ".join(f"({query})" for query in queries)
    cur.execute(
        f"SELECT charge_id FROM ({found}) f ORDER BY charge_id DESC LIMIT %(limit)s",
        values | {"limit": limit},
    )
    return [row[0] for row in cur.fetchall()]
