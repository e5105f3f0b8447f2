"""Replies: the confirming statement.

Owns that a reply decides at most one charge, and that its evidence is written in the same commit.
Refuses to read text: verdict and number come from the domain.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

from ppcd.charge.consequence import Effect
from ppcd.store.at_once import TOLD
from ppcd.store.rows import (
    ClearReplies,
    DebitJob,
    Evidence,
    PromptKey,
    WebhookKey,
)
from ppcd.store.session import single
from ppcd.store.sql import END, Cursor, integers, octets_in_array, text_in_array


class Settled(NamedTuple):
    """What a reply did, and the work that it made, already leased to this node."""

    effect: str
    charge_id: int | None = None
    debit: DebitJob | None = None
    webhook: WebhookKey | None = None
    prompt: PromptKey | None = None


# How each attribute of `Evidence` is handed over.
_EVIDENCE: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("address", "link"), text_in_array),
    "raw": octets_in_array,
    **dict.fromkeys(("data_coding", "esm_class"), str),
    **dict.fromkeys(("verdict", "number", "rule"), text_in_array),
    "address_no": lambda number: "NULL" if number is None else str(number),
}


# Thousands of replies share one, and it is known by its identity.
@lru_cache(maxsize=4096)
def _written(evidence: Evidence) -> tuple[str, ...]:
    return tuple(write(getattr(evidence, name)) for name, write in _EVIDENCE.items())


def evidence_columns(evidence: Sequence[Evidence]) -> dict[str, str]:
    """Its attributes as array literals; there is at least one."""
    columns = zip(*map(_written, evidence), strict=True)
    return {
        name: "{" + ",".join(column) + "}" for name, column in zip(_EVIDENCE, columns, strict=True)
    }


def _grouped(batch: ClearReplies) -> tuple[list[int], dict[str, str]]:
    """The positions of the replies in the order in which they get the batch's ids, and the
    parameters of _REPLIES: each evidence once, with where the MSISDNs of those who said so begin
    and end, and what makes an id of their place there.
    """
    groups: dict[Evidence, list[int]] = defaultdict(list)
    for position, evidence in enumerate(batch.evidence):
        groups[evidence].append(position)
    order = list(chain.from_iterable(groups.values()))
    said = list(groups)
    ends = list(accumulate(map(len, groups.values())))
    id_offsets: list[str] = []
    done = at = 0
    for run in batch.ids.ranges:
        offset, done, first = run.start - done - 1, done + len(run), at
        at = bisect_left(ends, done)
        if ends[at] != done:  # these have their ids from two runs
            ends.insert(at, done)
            said.insert(at, said[at])
        at += 1
        id_offsets += [str(offset)] * (at - first)
    return order, evidence_columns(said) | {
        "ends": integers([0, *ends]),
        "id_offset": "{" + ",".join(id_offsets) + "}",
        "msisdns": "{" + b",".join(map(batch.msisdns.__getitem__, order)).decode() + "}",
    }


_REPLIES = """
        SELECT e.id_offset + e.begin + s.n AS reply_id, s.msisdn * 1000 + e.address_no AS key,
               e.address, e.link, e.raw, e.data_coding, e.esm_class, e.verdict,
               e.number, e.rule
          FROM unnest(
            trim_array(%(ends)s::int[], 1), (%(ends)s::int[])[2:], %(id_offset)s::bigint[],
            %(address_no)s::bigint[], %(address)s::text[], %(link)s::text[], %(raw)s::bytea[],
            %(data_coding)s::smallint[], %(esm_class)s::smallint[], %(verdict)s::text[],
            %(number)s::text[], %(rule)s::text[])
            AS e(begin, "end", id_offset, address_no, address, link, raw, data_coding, esm_class,
                 verdict, number, rule),
               unnest((%(msisdns)s::bigint[])[e.begin + 1:e."end"]) WITH ORDINALITY AS s(msisdn, n)
"""

INSERT_REPLY = """
        INSERT INTO reply (reply_id, charge_id, msisdn, address, link, raw, data_coding, esm_class,
                           verdict, number, rule, effect, received_at)
"""

# `r` comes sorted by key, and the lane's plan keeps that order: two nodes that confirm the same
# charges wait for each other instead of deadlocking. The deleted row is the decision. `gone` takes
# the evidence along, for there is no cheap way to join two lists of thousands under that plan; and
# the clock is read once, not for each row. `IS TRUE` keeps the index of `expires_at` out: where the
# planner believes that few wait it reads those before `r`, and then it must be by their keys.
_GONE = """
    , gone AS (
        DELETE FROM awaiting a USING r
         WHERE a.key = r.key
           AND (a.expires_at > (SELECT now FROM t)) IS TRUE
           AND (r.verdict IN ('no', 'stop')
                OR (r.verdict = 'yes' AND a.written_at IS NOT NULL
                    AND CASE WHEN a.code IS NOT NULL THEN r.number = a.code
                             ELSE r.number IS NULL OR r.number = a.major_number END))
        RETURNING r.reply_id, a.key / 1000 AS msisdn, r.address, r.link, r.raw, r.data_coding,
                  r.esm_class, r.verdict, r.number, r.rule, a.charge_id, a.partner_id,
                  a.amount_minor, a.currency, a.billing, a.debit_start_s
    )"""

_FACTS = (
    """
    , facts AS ("""
    + INSERT_REPLY
    + """
        SELECT reply_id, charge_id, msisdn, address, link, raw, data_coding, esm_class, verdict,
               number, rule, CASE verdict WHEN 'yes' THEN 'confirmed' ELSE 'declined' END,
               (SELECT now FROM t)
          FROM gone"""
)
_FACTS_OF_TOLD = """
        UNION ALL
        SELECT reply_id, charge_id, key / 1000, address, link, raw, data_coding, esm_class, verdict,
               number, rule, effect, (SELECT now FROM t)
          FROM told"""

_WORK = (
    """
    ), jobs AS (
        INSERT INTO debit_job (charge_id, partner_id, msisdn, amount_minor, currency, billing,
                               confirmed_at, start_by, run_at)
        SELECT charge_id, partner_id, msisdn, amount_minor, currency, billing,
               (SELECT now FROM t), (SELECT now FROM t) + make_interval(secs => debit_start_s),
               (SELECT now + make_interval(secs => %(lease_s)s) FROM t)
          FROM gone WHERE verdict = 'yes'
    ), ended AS (
        SELECT charge_id, 'declined' AS state, 'USER_DECLINED' AS reason, NULL AS billing_reference
          FROM gone WHERE verdict <> 'yes'
    )"""
    + END
)

_SETTLE = _GONE + TOLD + _FACTS + _FACTS_OF_TOLD + _WORK

_SETTLED = """
    SELECT reply_id, CASE verdict WHEN 'yes' THEN 'confirmed' ELSE 'declined' END, charge_id,
           partner_id, msisdn, amount_minor, currency, billing, NULL::bigint[]
      FROM gone
"""
# Where nobody here will run the jobs, which replies settled nothing: those are few.
_SETTLED_BRIEFLY = (
    """
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, array_agg(reply_id)
      FROM rest WHERE reply_id NOT IN (SELECT reply_id FROM told)
    UNION ALL"""
    + _SETTLED
    + " WHERE verdict <> 'yes'"
)
# Notifications come as rows of their own, without a reply_id: no join here either.
_NOTIFIED = """
    UNION ALL
    SELECT NULL, NULL, charge_id, partner_id, sequence, NULL, NULL, NULL, NULL FROM ended_webhook
"""
# So do notices.
_TOLD = """
    UNION ALL
    SELECT reply_id, effect, charge_id, NULL, NULL, NULL, NULL, NULL, NULL FROM told
    UNION ALL
    SELECT NULL, 'notice', charge_id, NULL, prompt_no, NULL, NULL, NULL, NULL FROM told_job
"""

_WITH_CLOCK = "WITH t AS MATERIALIZED (SELECT business_now() AS now), "

_R = _WITH_CLOCK + "r AS (" + _REPLIES + " ORDER BY key)"
_CONFIRM = _R + _SETTLE + _SETTLED + _NOTIFIED + _TOLD
_CONFIRM_BRIEFLY = _R + _SETTLE + _SETTLED_BRIEFLY + _NOTIFIED + _TOLD

# What an earlier run did, whose answer was lost, is left alone and reported. The work that it made
# is leased to this node, and comes back when the lease is over. Only what decides is run again: the
# first run may still be at work, and whoever did not decide takes no lock that it would wait for.
_CONFIRM_AGAIN = (
    _WITH_CLOCK
    + """before AS (
        SELECT reply_id, effect, charge_id FROM reply WHERE reply_id = ANY(%(reply_ids)s::bigint[])
    ), r AS ("""
    + _REPLIES
    + """ WHERE NOT EXISTS (SELECT FROM before b
                             WHERE b.reply_id = e.id_offset + e.begin + s.n) ORDER BY key)"""
    + _GONE
    + _FACTS
    + _WORK
    + _SETTLED
    + _NOTIFIED
    + """
    UNION ALL
    SELECT reply_id, effect, charge_id, NULL, NULL, NULL, NULL, NULL, NULL FROM before
"""
)


@single
def confirm(
    cur: Cursor,
    batch: ClearReplies,
    *,
    lease_s: float,
    reprompts_max: int,
    prompt_lease_s: float,
    repeat: bool = False,
) -> list[Settled | None]:
    """Settle a batch in one statement; None for those it did not settle.

    No two replies of a batch are of the same phone. What it leaves is for `look_again`. Without a
    lease the jobs are nobody's yet, and neither they nor their charges are reported: `CONFIRMED` is
    all.
    With `repeat`, an earlier run may have been applied after all: what it settled is found and
    reported, for the same batch gives its replies the same ids. An id of a reply that was not
    settled is nobody's.
    """
    order, said = _grouped(batch)
    values: dict[str, object] = {**said, "lease_s": lease_s}
    if repeat:
        statement = _CONFIRM_AGAIN
        values["reply_ids"] = integers(batch.ids)
    else:
        statement = _CONFIRM if lease_s > 0 else _CONFIRM_BRIEFLY
        values |= {"reprompts_max": reprompts_max, "prompt_lease_s": prompt_lease_s}
    rows = cur.execute(statement, values).fetchall()
    webhooks: dict[int, WebhookKey] = {}
    prompts: dict[int, PromptKey] = {}
    for reply_id, what, charge_id, partner_id, number, *_ in rows:
        if reply_id is None and what == "notice":
            prompts[charge_id] = PromptKey(charge_id, number)
        elif reply_id is None and charge_id is not None:
            webhooks[charge_id] = WebhookKey(charge_id, number, partner_id)
    if prompt_lease_s <= 0:
        prompts.clear()
    # What the statement says nothing of is confirmed when it was asked briefly, else unsettled.
    briefly = lease_s <= 0 and not repeat
    settled: list[Settled | None] = [CONFIRMED if briefly else None] * len(batch)
    place = batch.ids.index
    for reply_id, effect, charge_id, partner_id, *job, unsettled in rows:
        if unsettled is not None:
            for one in unsettled:
                settled[order[place(one)]] = None
        elif effect == Effect.CONFIRMED and lease_s > 0 and partner_id is not None:
            debit = _debit_job(charge_id, partner_id, *job)
            settled[order[place(reply_id)]] = Settled(effect, charge_id, debit)
        elif reply_id is not None:
            settled[order[place(reply_id)]] = Settled(
                effect, charge_id, webhook=webhooks.get(charge_id), prompt=prompts.get(charge_id)
            )
    return settled


#: A yes whose job is nobody's yet.
CONFIRMED: Final = Settled(Effect.CONFIRMED)


def _debit_job(
    charge_id: int, partner_id: int, msisdn: int, amount_minor: int, currency: str, billing: str
) -> DebitJob:
    return DebitJob(charge_id, partner_id, msisdn, amount_minor, currency, billing, attempts=0)
