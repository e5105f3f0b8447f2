"""A second look at the replies that the confirming statement did not settle.

Owns what they lead to: a re-prompt, a counted wrong code, a notice that an answer came too late.
What a reply does in its situation is the domain's `consequence`; here it is carried out.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ppcd.charge.consequence import Effect, Situation, consequence
from ppcd.charge.reading import Verdict
from ppcd.charge.rules import State
from ppcd.store.replies import INSERT_REPLY, Settled, evidence_columns
from ppcd.store.rows import NewReply, PromptKey, PromptNo, webhook_key
from ppcd.store.sql import END, Cursor, integers, lock_awaiting, texts

_BEFORE = """
    SELECT r.reply_id, r.effect, r.charge_id FROM reply r WHERE r.reply_id = ANY(%s::bigint[])
"""

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
           a.major_number, a.reprompts, a.wrong_codes, a.by_pin, a.expires_at::text
      FROM hold h
      LEFT JOIN awaiting a ON a.key = h.key AND a.charge_id = h.charge_id
     WHERE h.key = ANY(%s::bigint[])
"""

_COUNT = """
    UPDATE awaiting a SET reprompts = a.reprompts + u.asked, wrong_codes = a.wrong_codes + u.wrong
      FROM unnest(%(key)s::bigint[], %(charge_id)s::bigint[], %(asked)s::smallint[],
                  %(wrong)s::smallint[]) AS u(key, charge_id, asked, wrong)
     WHERE a.key = u.key AND a.charge_id = u.charge_id
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
    WITH t AS MATERIALIZED (SELECT business_now() AS now)
    INSERT INTO prompt_job (charge_id, prompt_no, kind, code, key, give_up_at, run_at)
    SELECT n.charge_id, n.prompt_no, n.kind, n.code, n.key,
           coalesce(n.give_up_at, (SELECT now FROM t) + interval '1 day'),
           (SELECT now + make_interval(secs => %(lease_s)s) FROM t)
      FROM unnest(%(charge_id)s::bigint[], %(prompt_no)s::bigint[], %(kind)s::text[],
                  %(code)s::text[], %(key)s::bigint[], %(give_up_at)s::timestamptz[])
           AS n(charge_id, prompt_no, kind, code, key, give_up_at)
     WHERE NOT EXISTS (SELECT FROM prompt p
                        WHERE p.charge_id = n.charge_id AND p.prompt_no = n.prompt_no)
    ON CONFLICT DO NOTHING
    RETURNING charge_id, prompt_no
"""


class _Seen(NamedTuple):
    """The charge that a reply can only mean, as _SITUATIONS gives it."""

    key: int
    charge_id: int
    state: str
    written: bool | None
    alive: bool | None
    code: str | None
    major_number: str | None
    reprompts: int | None
    wrong_codes: int | None
    by_pin: bool | None
    expires_at: str | None


class _Judged(NamedTuple):
    """A reply, what it does, and the charge that it meant."""

    reply: NewReply
    effect: Effect
    seen: _Seen | None
    #: A question may follow.
    may_ask: bool

    @property
    def charge_id(self) -> int | None:
        return None if self.seen is None else self.seen.charge_id


class _Notice(NamedTuple):
    """A text that is to be sent. Without an end it is given up a day later."""

    charge_id: int
    prompt_no: int
    kind: str
    code: str | None
    key: int
    give_up_at: str | None


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
    settled, seen = _look(cur, batch, keys)
    judged = []
    for reply in batch:
        if reply.reply_id in settled:
            continue
        evidence = reply.evidence
        if evidence.link in untrusted:
            judged.append(_Judged(reply, Effect.UNTRUSTED, None, may_ask=False))
            continue
        meant = None if reply.key is None else seen.get(reply.key)
        effect = _effect(
            evidence.verdict,
            evidence.number,
            meant and meant[2:-1],
            reprompts_max=reprompts_max,
            wrong_codes_max=wrong_codes_max,
        )
        may_ask = meant is not None and (meant.reprompts or 0) < reprompts_max
        judged.append(_Judged(reply, effect, meant, may_ask))
    if judged:
        settled |= _carry_out(cur, judged, lease_s)
    return [settled[r.reply_id] for r in batch]


def _look(
    cur: Cursor, batch: Sequence[NewReply], keys: Sequence[int]
) -> tuple[dict[int, Settled], dict[int, _Seen]]:
    """What was settled before, by reply_id; and by key, the charge that a reply can only mean."""
    before, situations = (cur.connection.cursor() for _ in range(2))
    # The locks first, the look second: a new statement sees what was committed while we waited.
    # They go over in one piece all the same: on a busy node each answer that must be waited for
    # costs a turn of the scheduler and one of the interpreter's lock.
    with cur.connection.pipeline():
        cur.execute(_LOCK_HOLDS, [integers(keys)])
        lock_awaiting(cur, keys)
        # Always, not in repeats alone: a repeated confirmation may have waited for its first run
        # and found the rows gone without seeing, in its one snapshot, that it was this node who
        # took them.
        before.execute(_BEFORE, [integers(reply.reply_id for reply in batch)])
        situations.execute(_SITUATIONS, [integers(keys)])
        settled = {row[0]: Settled(row[1], row[2]) for row in before.fetchall()}
        seen = {row[0]: _Seen._make(row) for row in situations.fetchall()}
    return settled, seen


@lru_cache(maxsize=4096)
def _effect(
    verdict: str,
    number: str | None,
    meant: tuple[Any, ...] | None,
    *,
    reprompts_max: int,
    wrong_codes_max: int,
) -> Effect:
    """What a reply does in its situation; the same few come again and again."""
    situation = None
    if meant is not None:
        state, written, alive, code, major_number, reprompts, wrong_codes, by_pin = meant
        situation = Situation(
            state=State(state),
            written=bool(written),
            alive=bool(alive),
            code=code,
            major_number=major_number or "",
            reprompts=reprompts or 0,
            wrong_codes=wrong_codes or 0,
            by_pin=bool(by_pin),
        )
    return consequence(
        Verdict(verdict),
        number,
        situation,
        reprompts_max=reprompts_max,
        wrong_codes_max=wrong_codes_max,
    )


def _carry_out(cur: Cursor, batch: Sequence[_Judged], lease_s: float) -> dict[int, Settled]:
    """Do what the replies call for and record them; by reply_id, what was done."""
    notices = {one.reply.reply_id: notice for one in batch if (notice := _notice(one)) is not None}
    sent, ended = (cur.connection.cursor() for _ in range(2))
    with cur.connection.pipeline():
        _count(cur, batch)
        _decline(ended, batch, lease_s)
        if notices:
            _send(sent, list(notices.values()), lease_s)
        cur.execute(
            _INSERT_REPLIES,
            evidence_columns([one.reply.evidence for one in batch])
            | {
                "reply_id": integers(one.reply.reply_id for one in batch),
                "msisdn": integers(one.reply.msisdn for one in batch),
                "charge_id": integers(one.charge_id for one in batch),
                "effect": texts(one.effect for one in batch),
            },
        )
    made = set(sent.fetchall()) if notices and lease_s > 0 else set()
    prompts = {
        reply_id: PromptKey(*notice[:2])
        for reply_id, notice in notices.items()
        if notice[:2] in made
    }
    webhooks = {row[0]: webhook_key(*row) for row in ended.fetchall()} if ended.description else {}
    return {
        one.reply.reply_id: Settled(
            one.effect,
            one.charge_id,
            webhook=webhooks.get(one.charge_id),
            prompt=prompts.get(one.reply.reply_id),
        )
        for one in batch
    }


def _notice(one: _Judged) -> _Notice | None:
    """The text that a reply calls for."""
    seen = one.seen
    if seen is None:
        return None
    if one.effect is Effect.LATE_YES:
        return _Notice(seen.charge_id, PromptNo.LATE_YES, "late_yes", None, seen.key, None)
    if one.effect is Effect.LATE_NO:
        return _Notice(seen.charge_id, PromptNo.LATE_NO, "late_no", None, seen.key, None)
    if one.effect not in (Effect.REPROMPTED, Effect.WRONG_CODE) or not one.may_ask:
        return None
    # The row is locked: its next question has this number.
    number = (seen.reprompts or 0) + 1
    kind = "reprompt" if seen.code is None else "reprompt_code"
    return _Notice(seen.charge_id, number, kind, seen.code, seen.key, seen.expires_at)


def _count(cur: Cursor, batch: Sequence[_Judged]) -> None:
    """Count questions and wrong codes in `awaiting`.

    A wrong code is counted even when all the questions have been asked; then nothing is sent.
    """
    asked = [one for one in batch if one.effect in (Effect.REPROMPTED, Effect.WRONG_CODE)]
    if asked:
        cur.execute(
            _COUNT,
            {
                "key": integers(one.reply.key for one in asked),
                "charge_id": integers(one.charge_id for one in asked),
                "asked": integers(int(one.may_ask) for one in asked),
                "wrong": integers(int(one.effect is Effect.WRONG_CODE) for one in asked),
            },
        )


def _send(cur: Cursor, notices: Sequence[_Notice], lease_s: float) -> None:
    """Insert the texts to be sent; gives charge_id and prompt_no of those that are new."""
    cur.execute(
        _NOTICE_JOBS,
        {
            "charge_id": integers(n.charge_id for n in notices),
            "prompt_no": integers(n.prompt_no for n in notices),
            "kind": texts(n.kind for n in notices),
            "code": texts(n.code for n in notices),
            "key": integers(n.key for n in notices),
            "give_up_at": texts(n.give_up_at for n in notices),
            "lease_s": lease_s,
        },
    )


def _decline(cur: Cursor, batch: Sequence[_Judged], lease_s: float) -> None:
    """End the charges whose codes are used up; gives charge_id and the notification that is due."""
    used_up = [one for one in batch if one.effect is Effect.CODES_USED_UP]
    if used_up:
        cur.execute(
            _DECLINE,
            {
                "key": integers(one.reply.key for one in used_up),
                "charge_id": integers(one.charge_id for one in used_up),
                "lease_s": lease_s,
            },
        )
