"""A second look at the replies that the confirming statement did not settle.

Owns what they lead to: a re-prompt, a counted wrong code, a notice that an answer came too late.
What a reply does in its situation is the domain's `consequence`; here it is carried out.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from ppcd.charge.consequence import Effect, Situation, consequence
from ppcd.charge.reading import Verdict
from ppcd.charge.rules import State
from ppcd.store.replies import INSERT_REPLY, Settled, evidence_columns, settled_before
from ppcd.store.rows import NewReply, PromptKey, PromptNo, WebhookKey, webhook_key
from ppcd.store.sql import END, Cursor, integers, lock_awaiting, texts

_LOCK_HOLDS = """
    SELECT key FROM hold WHERE key = ANY(%s::bigint[]) ORDER BY key FOR UPDATE
"""

# A charge with its row in `awaiting` waits; only for the others the whole view is asked.
_SITUATIONS = """
    SELECT h.key, h.charge_id,
           CASE WHEN a.key IS NOT NULL THEN 'awaiting'
                ELSE coalesce((SELECT s.state FROM charge_status s
                                WHERE s.charge_id = h.charge_id), 'expired') END,
           a.written_at IS NOT NULL, a.expires_at > (SELECT business_now()), a.code,
           a.major_number, a.reprompts, a.wrong_codes, a.by_pin
      FROM hold h
      LEFT JOIN awaiting a ON a.key = h.key AND a.charge_id = h.charge_id
     WHERE h.key = ANY(%s::bigint[])
"""

_COUNT = """
    UPDATE awaiting a SET reprompts = a.reprompts + u.asked, wrong_codes = a.wrong_codes + u.wrong
      FROM unnest(%(key)s::bigint[], %(charge_id)s::bigint[], %(asked)s::smallint[],
                  %(wrong)s::smallint[]) AS u(key, charge_id, asked, wrong)
     WHERE a.key = u.key AND a.charge_id = u.charge_id
 RETURNING a.key, a.charge_id, a.reprompts, a.code, a.expires_at
"""

_DECLINE = (
    """
    WITH gone AS (
        DELETE FROM awaiting a
         USING unnest(%(key)s::bigint[], %(charge_id)s::bigint[]) AS u(key, charge_id)
         WHERE a.key = u.key AND a.charge_id = u.charge_id
        RETURNING a.charge_id
    ), ended AS (
        SELECT charge_id, 'declined' AS state, 'USER_DECLINED' AS reason, NULL AS billing_reference
          FROM gone
    )"""
    + END
    + """
    SELECT o.charge_id, w.sequence, w.partner_id
      FROM ended_outcome o LEFT JOIN ended_webhook w USING (charge_id)
"""
)

_INSERT_REPLIES = (
    INSERT_REPLY
    + """
    SELECT r.reply_id, r.charge_id, r.msisdn, r.address, r.link, r.raw, r.data_coding, r.esm_class,
           r.verdict, r.number, r.rule, r.effect, (SELECT business_now())
      FROM unnest(
            %(reply_id)s::bigint[], %(msisdn)s::bigint[], %(address)s::text[], %(link)s::text[],
            %(raw)s::bytea[], %(data_coding)s::smallint[], %(esm_class)s::smallint[],
            %(verdict)s::text[], %(number)s::text[], %(rule)s::text[], %(charge_id)s::bigint[],
            %(effect)s::text[])
            AS r(reply_id, msisdn, address, link, raw, data_coding, esm_class, verdict, number,
                 rule, charge_id, effect)
        ON CONFLICT DO NOTHING
"""
)

# A notice is sent once: its number is taken for good by the job, then by the fact.
_NOTICE_JOBS = """
    WITH t AS MATERIALIZED (SELECT business_now() + make_interval(secs => %(lease_s)s) AS run_at)
    INSERT INTO prompt_job (charge_id, prompt_no, kind, code, key, give_up_at, run_at)
    SELECT n.charge_id, n.prompt_no, n.kind, n.code, n.key, n.give_up_at,
           (SELECT run_at FROM t)
      FROM unnest(%(charge_id)s::bigint[], %(prompt_no)s::bigint[], %(kind)s::text[],
                  %(code)s::text[], %(key)s::bigint[], %(give_up_at)s::timestamptz[])
           AS n(charge_id, prompt_no, kind, code, key, give_up_at)
     WHERE NOT EXISTS (SELECT FROM prompt p
                        WHERE p.charge_id = n.charge_id AND p.prompt_no = n.prompt_no)
    ON CONFLICT DO NOTHING
    RETURNING charge_id, prompt_no
"""


class _Seen(NamedTuple):
    charge_id: int
    situation: Situation


class _Notice(NamedTuple):
    charge_id: int
    prompt_no: int
    kind: str
    code: str | None
    key: int | None
    give_up_at: datetime


def look_again(
    cur: Cursor,
    batch: Sequence[NewReply],
    *,
    untrusted: frozenset[str],
    reprompts_max: int,
    wrong_codes_max: int,
    lease_s: float,
    repeat: bool = False,
) -> list[Settled]:
    """Record the replies that settled nothing, and do what they call for.

    `untrusted` names the links whose replies are only recorded. No two replies of a batch have the
    same key. Asking first what was done before, it needs no `repeat`.
    """
    keys = sorted(r.key for r in batch if r.key is not None and r.evidence.link not in untrusted)
    # The locks first, the look second: a new statement sees what was committed while we waited.
    cur.execute(_LOCK_HOLDS, [integers(keys)])
    lock_awaiting(cur, keys)
    # Always, not in repeats alone: a repeated confirmation may have waited for its first run and
    # found the rows gone without seeing, in its one snapshot, that it was this node who took them.
    settled = settled_before(cur, batch)
    left = [r for r in batch if r.reply_id not in settled]
    if left:
        seen = _situations(cur, keys)
        work = _Work(cur, left, lease_s)
        for reply in left:
            link = reply.evidence.link
            meant = None if reply.key is None or link in untrusted else seen.get(reply.key)
            effect = (
                Effect.UNTRUSTED
                if link in untrusted
                else consequence(
                    Verdict(reply.evidence.verdict),
                    reply.evidence.number,
                    meant.situation if meant else None,
                    reprompts_max=reprompts_max,
                    wrong_codes_max=wrong_codes_max,
                )
            )
            may_ask = meant is not None and meant.situation.reprompts < reprompts_max
            work.judged(reply, effect, meant.charge_id if meant else None, may_ask=may_ask)
        settled |= work.carry_out()
    return [settled[r.reply_id] for r in batch]


def _situations(cur: Cursor, keys: Sequence[int]) -> dict[int, _Seen]:
    """By key, the charge that a reply can only mean."""
    cur.execute(_SITUATIONS, [integers(keys)])
    return {key: _Seen(charge_id, _situation(*situation)) for key, charge_id, *situation in cur}


# In a flood nearly all are in one of a few.
@lru_cache(maxsize=1024)
def _situation(
    state: str,
    written: bool | None,  # noqa: FBT001  # a row's columns
    alive: bool | None,  # noqa: FBT001
    code: str | None,
    major_number: str | None,
    reprompts: int | None,
    wrong_codes: int | None,
    by_pin: bool | None,  # noqa: FBT001
) -> Situation:
    return Situation(
        state=State(state),
        written=bool(written),
        alive=bool(alive),
        code=code,
        major_number=major_number or "",
        reprompts=reprompts or 0,
        wrong_codes=wrong_codes or 0,
        by_pin=bool(by_pin),
    )


class _Work:
    """The work rows that a batch's effects call for. Lives as long as one transaction."""

    def __init__(self, cur: Cursor, batch: Sequence[NewReply], lease_s: float) -> None:
        self._cur = cur
        self._batch = batch
        self._lease_s = lease_s
        self._effects: dict[int, Effect] = {}
        self._charges: dict[int, int | None] = {}
        self._may_ask: set[int] = set()

    def judged(
        self, reply: NewReply, effect: Effect, charge_id: int | None, *, may_ask: bool
    ) -> None:
        """Take note of what a reply does, and to which charge."""
        self._effects[reply.reply_id] = effect
        self._charges[reply.reply_id] = charge_id
        if may_ask:
            self._may_ask.add(reply.reply_id)

    def carry_out(self) -> dict[int, Settled]:
        """Do and record it; by reply_id, what was done."""
        prompts = self._notices(self._count())
        webhooks = self._decline()
        ids = [reply.reply_id for reply in self._batch]
        self._cur.execute(
            _INSERT_REPLIES,
            evidence_columns([reply.evidence for reply in self._batch])
            | {
                "reply_id": integers(ids),
                "msisdn": integers(reply.msisdn for reply in self._batch),
                "charge_id": integers(self._charges[i] for i in ids),
                "effect": texts(self._effects[i] for i in ids),
            },
        )
        return {
            i: Settled(
                self._effects[i], self._charges[i], webhook=webhooks.get(i), prompt=prompts.get(i)
            )
            for i in ids
        }

    def _with(self, *effects: Effect) -> list[NewReply]:
        return [r for r in self._batch if self._effects[r.reply_id] in effects]

    def _count(self) -> dict[int, tuple[Any, ...]]:
        """Count questions and wrong codes in `awaiting`: by reply_id, what a re-prompt needs.

        A wrong code is counted even when all the questions have been asked; then nothing is sent.
        """
        asked = self._with(Effect.REPROMPTED, Effect.WRONG_CODE)
        if not asked:
            return {}
        self._cur.execute(
            _COUNT,
            {
                "key": integers(r.key for r in asked),
                "charge_id": integers(self._charges[r.reply_id] for r in asked),
                "asked": integers(int(r.reply_id in self._may_ask) for r in asked),
                "wrong": integers(
                    int(self._effects[r.reply_id] is Effect.WRONG_CODE) for r in asked
                ),
            },
        )
        counted = {row[0]: row for row in self._cur.fetchall()}
        return {r.reply_id: counted[r.key] for r in asked if r.reply_id in self._may_ask}

    def _notices(self, counted: dict[int, tuple[Any, ...]]) -> dict[int, PromptKey]:
        """Insert the texts to be sent; by reply_id, the job's key."""
        jobs: dict[int, _Notice] = {}
        for reply_id, (key, charge_id, reprompts, code, expires_at) in counted.items():
            kind = "reprompt" if code is None else "reprompt_code"
            jobs[reply_id] = _Notice(charge_id, reprompts, kind, code, key, expires_at)
        late = self._with(Effect.LATE_YES, Effect.LATE_NO)
        if late:
            [(tomorrow,)] = self._cur.execute("SELECT business_now() + interval '1 day'")
            for reply in late:
                yes = self._effects[reply.reply_id] is Effect.LATE_YES
                number = PromptNo.LATE_YES if yes else PromptNo.LATE_NO
                kind = "late_yes" if yes else "late_no"
                charge = self._charges[reply.reply_id]
                assert charge is not None, "late for a charge"
                jobs[reply.reply_id] = _Notice(charge, number, kind, None, reply.key, tomorrow)
        if not jobs:
            return {}
        notices = jobs.values()
        self._cur.execute(
            _NOTICE_JOBS,
            {
                "charge_id": integers(n.charge_id for n in notices),
                "prompt_no": integers(n.prompt_no for n in notices),
                "kind": texts(n.kind for n in notices),
                "code": texts(n.code for n in notices),
                "key": integers(n.key for n in notices),
                "give_up_at": texts(n.give_up_at.isoformat() for n in notices),
                "lease_s": self._lease_s,
            },
        )
        made = set(self._cur.fetchall())
        return {
            reply_id: PromptKey(job.charge_id, job.prompt_no)
            for reply_id, job in jobs.items()
            if (job.charge_id, job.prompt_no) in made and self._lease_s > 0
        }

    def _decline(self) -> dict[int, WebhookKey]:
        """End the charges whose codes are used up; by reply_id, the notification that is due."""
        used_up = self._with(Effect.CODES_USED_UP)
        if not used_up:
            return {}
        self._cur.execute(
            _DECLINE,
            {
                "key": [r.key for r in used_up],
                "charge_id": [self._charges[r.reply_id] for r in used_up],
                "lease_s": self._lease_s,
            },
        )
        ended = {row[0]: webhook_key(*row) for row in self._cur.fetchall()}
        webhooks = {}
        for reply in used_up:
            charge_id = self._charges[reply.reply_id]
            if charge_id is not None and (webhook := ended[charge_id]) is not None:
                webhooks[reply.reply_id] = webhook
        return webhooks
