"""Prompts and notices: what is written to phones, the SMSC's answers, and delivery receipts.

Owns that a prompt counts from the moment before its first byte, and that each text is sent for one
number of its charge. Refuses to know SMPP: it is told a decision, not a command_status's meaning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ppcd.store.rows import Ended, PromptJob, PromptKey, webhook_key
from ppcd.store.sql import END, Cursor, array, columns, lock_awaiting

_JOB_COLUMNS = """
    j.charge_id, j.prompt_no, j.kind, j.code, j.key, j.attempts, c.msisdn, c.route, c.address,
    p.name, c.amount_minor, c.currency, c.merchant, c.description, c.language,
    (SELECT o.reason FROM outcome o WHERE o.charge_id = j.charge_id AND j.kind = 'not_debited')
"""

_LOAD = f"""
    SELECT {_JOB_COLUMNS}
      FROM unnest(%(charge_id)s::bigint[], %(prompt_no)s::bigint[]) AS w(charge_id, prompt_no)
      JOIN prompt_job j USING (charge_id, prompt_no)
      JOIN charge c ON c.charge_id = j.charge_id
      JOIN partner p ON p.partner_id = c.partner_id
"""

# The CTE is materialized and the rows are taken by ctid: a claim stays an index scan of its limit.
_CLAIM = f"""
    WITH due AS MATERIALIZED (
        SELECT ctid FROM prompt_job WHERE run_at <= (SELECT business_now())
         ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), j AS (
        UPDATE prompt_job q
           SET run_at = (SELECT business_now()) + make_interval(secs => %(lease_s)s)
          FROM due WHERE q.ctid = due.ctid
        RETURNING q.*
    )
    SELECT {_JOB_COLUMNS}
      FROM j JOIN charge c ON c.charge_id = j.charge_id
             JOIN partner p ON p.partner_id = c.partner_id
"""


def load(cur: Cursor, keys: Sequence[PromptKey]) -> list[PromptJob | None]:
    """The jobs of these keys; None for one that is done already."""
    cur.execute(_LOAD, columns(keys, ("charge_id", "prompt_no")))
    found = {(row[0], row[1]): PromptJob(*row) for row in cur.fetchall()}
    return [found.get((key.charge_id, key.prompt_no)) for key in keys]


def claim(cur: Cursor, *, limit: int, lease_s: float) -> list[PromptJob]:
    """Take over jobs that are overdue, whoever had them."""
    cur.execute(_CLAIM, {"limit": limit, "lease_s": lease_s})
    return [PromptJob(*row) for row in cur.fetchall()]


_RELEASE = """
    UPDATE prompt_job j SET run_at = (SELECT business_now()) + make_interval(secs => w.delay_s)
      FROM unnest(%(charge_id)s::bigint[], %(prompt_no)s::bigint[], %(delay_s)s::float8[])
           AS w(charge_id, prompt_no, delay_s)
     WHERE j.charge_id = w.charge_id AND j.prompt_no = w.prompt_no
"""


def release(cur: Cursor, keys: Sequence[PromptKey], *, delay_s: float = 0) -> None:
    """Give jobs back that nothing was done about."""
    names = ("charge_id", "prompt_no")
    cur.execute(_RELEASE, columns(keys, names) | {"delay_s": [delay_s for _ in keys]})


@dataclass(frozen=True, slots=True)
class Writing:
    """A text about to be written. `text` has the code blanked: only the phone is told it."""

    charge_id: int
    prompt_no: int
    key: int
    #: Before this one, as far as the worker knows: who knows less has lost the job.
    attempts: int
    kind: str
    source: str
    text: str
    segments: int


_MARK = """
    WITH t AS MATERIALIZED (SELECT business_now() AS now)
    UPDATE awaiting a SET written_at = coalesce(a.written_at, t.now)
      FROM unnest(%(key)s::bigint[], %(charge_id)s::bigint[]) AS w(key, charge_id), t
     WHERE a.key = w.key AND a.charge_id = w.charge_id AND a.expires_at > t.now
 RETURNING a.charge_id, a.written_at = t.now
"""

_TAKE = """
    WITH t AS MATERIALIZED (SELECT business_now() AS now)
    UPDATE prompt_job j
       SET attempts = j.attempts + 1, run_at = t.now + make_interval(secs => %(lease_s)s)
      FROM unnest(%(charge_id)s::bigint[], %(prompt_no)s::bigint[], %(attempts)s::bigint[])
           AS w(charge_id, prompt_no, attempts), t
     WHERE j.charge_id = w.charge_id AND j.prompt_no = w.prompt_no AND j.attempts = w.attempts
       AND j.give_up_at > t.now
 RETURNING j.charge_id, j.prompt_no, j.attempts, extract(epoch FROM j.give_up_at - t.now)::float8
"""

_WRITE = """
    INSERT INTO prompt (charge_id, prompt_no, kind, source, text, segments, written_at)
    SELECT w.*, (SELECT business_now())
      FROM unnest(%(charge_id)s::bigint[], %(prompt_no)s::bigint[], %(kind)s::text[],
                  %(source)s::text[], %(text)s::text[], %(segments)s::bigint[]) AS w
    ON CONFLICT DO NOTHING
"""

_GIVE_UP = """
    DELETE FROM prompt_job j
     USING unnest(%(charge_id)s::bigint[], %(prompt_no)s::bigint[], %(attempts)s::bigint[])
           AS w(charge_id, prompt_no, attempts)
     WHERE j.charge_id = w.charge_id AND j.prompt_no = w.prompt_no AND j.attempts = w.attempts
"""


@dataclass(frozen=True, slots=True)
class Go:
    """Permission to write: which attempt this is, and what is left of the time to answer."""

    attempt: int
    left_s: float
    #: Answers count from this attempt on: no earlier one can have reached the phone.
    first: bool


def begin(cur: Cursor, batch: Sequence[Writing], *, lease_s: float) -> list[Go | None]:
    """Commit before the first byte: the prompts count as written from now on.

    None: it must not be written. The charge was answered, cancelled or ran out of time meanwhile,
    and its job is gone; or another node has taken the job over.
    """
    ordered = sorted(batch, key=lambda w: (w.key, w.prompt_no))
    names = ("charge_id", "prompt_no", "attempts")
    cur.execute(_TAKE, columns(ordered, names) | {"lease_s": lease_s})
    taken = {(row[0], row[1]): (row[2], row[3]) for row in cur.fetchall()}
    asking = [w for w in ordered if w.prompt_no < 100 and (w.charge_id, w.prompt_no) in taken]
    marked: dict[int, bool] = {}
    if asking:
        lock_awaiting(cur, [w.key for w in asking])
        cur.execute(_MARK, columns(asking, ("key", "charge_id")))
        marked = dict(cur.fetchall())
    allowed: dict[tuple[int, int], Go] = {}
    written, refused = [], []
    for w in ordered:
        attempt, left_s = taken.get((w.charge_id, w.prompt_no), (None, 0.0))
        if attempt is None:
            refused.append((w.charge_id, w.prompt_no, w.attempts))
        elif w.prompt_no < 100 and w.charge_id not in marked:
            refused.append((w.charge_id, w.prompt_no, attempt))
        else:
            first = marked.get(w.charge_id, False)
            allowed[w.charge_id, w.prompt_no] = Go(attempt, left_s, first)
            written.append(w)
    cur.execute(
        _WRITE,
        columns(written, ("charge_id", "prompt_no", "kind", "source", "text", "segments")),
    )
    if refused:
        cur.execute(_GIVE_UP, dict(zip(names, map(list, zip(*refused, strict=True)), strict=True)))
    return [allowed.get((w.charge_id, w.prompt_no)) for w in batch]


class Next(StrEnum):
    """What follows an attempt to write a text."""

    DONE = "done"
    LATER = "later"
    #: The phone can't be reached: a charge that waits for its answer ends.
    UNDELIVERABLE = "undeliverable"


@dataclass(frozen=True, slots=True)
class Answered:
    """What the SMSC said to an attempt: per segment its command_status (None: no answer) and id."""

    charge_id: int
    prompt_no: int
    key: int
    attempt: int
    link: str
    segments: tuple[tuple[int | None, str | None], ...]
    next: Next
    delay_s: float = 0
    #: Nothing of it left for any SMSC, and nothing of an earlier attempt: it can't be answered yet.
    unwritten: bool = False


_DROP = """
    DELETE FROM prompt_job j
     USING unnest(%(charge_id)s::bigint[], %(prompt_no)s::bigint[]) AS w(charge_id, prompt_no)
     WHERE j.charge_id = w.charge_id AND j.prompt_no = w.prompt_no
"""

_UNMARK = """
    UPDATE awaiting a SET written_at = NULL
      FROM unnest(%(key)s::bigint[], %(charge_id)s::bigint[]) AS w(key, charge_id)
     WHERE a.key = w.key AND a.charge_id = w.charge_id
"""

_INSERT_ANSWERS = """
    INSERT INTO prompt_answer (charge_id, prompt_no, attempt, segment, link, command_status,
                               message_id, answered_at)
    SELECT w.*, (SELECT business_now())
      FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],
                  %s::bigint[], %s::text[]) AS w
    ON CONFLICT DO NOTHING
"""

# Only of a charge that still waits: after consent an undelivered prompt changes nothing.
_UNDELIVERABLE = (
    """
    WITH gone AS (
        DELETE FROM awaiting a
         USING unnest(%(key)s::bigint[], %(charge_id)s::bigint[]) AS w(key, charge_id)
         WHERE a.key = w.key AND a.charge_id = w.charge_id
        RETURNING a.charge_id
    ), ended AS (
        SELECT charge_id, 'undeliverable' AS state, 'PROMPT_UNDELIVERABLE' AS reason,
               NULL AS billing_reference
          FROM gone
    )"""
    + END
    + """
    SELECT o.charge_id, w.sequence, w.partner_id
      FROM ended_outcome o LEFT JOIN ended_webhook w USING (charge_id)
"""
)

# A receipt may overtake the answer that names its message. SMSCs use ids again: it must be of this
# phone, and not older than the prompt.
_FAILED_ALREADY = """
    SELECT DISTINCT w.charge_id
      FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS w(charge_id, key, message_id)
      JOIN prompt p ON p.charge_id = w.charge_id AND p.prompt_no = 0
      JOIN receipt r ON r.message_id = w.message_id AND r.msisdn = w.key / 1000
     WHERE r.charge_id IS NULL AND r.state = ANY(%s::text[]) AND r.received_at >= p.written_at
"""


def finish(
    cur: Cursor, batch: Sequence[Answered], *, failures: Sequence[str], lease_s: float
) -> list[Ended | None]:
    """Record the SMSC's answers and what follows; the charges that ended by it.

    `failures` are the receipt states that say the phone will never get it.
    """
    segments = [
        (a.charge_id, a.prompt_no, a.attempt, number, a.link, status, message_id)
        for a in batch
        for number, (status, message_id) in enumerate(a.segments)
    ]
    if segments:
        cur.execute(_INSERT_ANSWERS, [array(list(c)) for c in zip(*segments, strict=True)])
    finished = [a for a in batch if a.next is not Next.LATER]
    cur.execute(_DROP, columns(finished, ("charge_id", "prompt_no")))
    later = [a for a in batch if a.next is Next.LATER]
    if later:
        cur.execute(_RELEASE, columns(later, ("charge_id", "prompt_no", "delay_s")))
    unwritten = [a for a in batch if a.unwritten]
    if unwritten:
        lock_awaiting(cur, [a.key for a in unwritten])
        cur.execute(_UNMARK, columns(unwritten, ("key", "charge_id")))
    failed = _overtaken(cur, batch, failures)
    lost = [
        a.prompt_no == 0 and (a.next is Next.UNDELIVERABLE or a.charge_id in failed) for a in batch
    ]
    ended = _end(
        cur,
        [(a.key, a.charge_id) for a, is_lost in zip(batch, lost, strict=True) if is_lost],
        lease_s,
    )
    return [
        ended.get(a.charge_id) if is_lost else None for a, is_lost in zip(batch, lost, strict=True)
    ]


def _overtaken(cur: Cursor, batch: Sequence[Answered], failures: Sequence[str]) -> set[int]:
    """The charges whose prompt is known already to have failed."""
    accepted = [
        (a.charge_id, a.key, message_id)
        for a in batch
        if a.prompt_no == 0
        for _, message_id in a.segments
        if message_id is not None
    ]
    if not accepted:
        return set()
    cur.execute(
        _FAILED_ALREADY,
        [*(array(list(column)) for column in zip(*accepted, strict=True)), list(failures)],
    )
    return {row[0] for row in cur.fetchall()}


def _end(cur: Cursor, prompts: Sequence[tuple[int, int]], lease_s: float) -> dict[int, Ended]:
    """End charges, given as (key, charge_id), whose prompt can't reach the phone; by charge_id."""
    if not prompts:
        return {}
    keys = [key for key, _ in prompts]
    lock_awaiting(cur, keys)
    cur.execute(
        _UNDELIVERABLE,
        {"key": keys, "charge_id": [charge_id for _, charge_id in prompts], "lease_s": lease_s},
    )
    return {row[0]: Ended(row[0], "undeliverable", webhook_key(*row)) for row in cur.fetchall()}


@dataclass(frozen=True, slots=True)
class NewReceipt:
    """A delivery receipt as read; `msisdn` is the phone's."""

    receipt_id: int
    link: str
    msisdn: int | None
    message_id: str
    state: str
    error: str | None


_RECEIPTS = """
    WITH r AS (
        SELECT * FROM unnest(%(receipt_id)s::bigint[], %(link)s::text[], %(msisdn)s::bigint[],
                             %(message_id)s::text[], %(state)s::text[], %(error)s::text[])
            AS r(receipt_id, link, msisdn, message_id, state, error)
    ), matched AS (
        SELECT DISTINCT ON (r.receipt_id) r.receipt_id, a.charge_id, a.prompt_no,
               c.msisdn * 1000 + c.address_no AS key
          FROM r
          JOIN prompt_answer a ON a.message_id = r.message_id
          JOIN charge c ON c.charge_id = a.charge_id AND c.msisdn = r.msisdn
         ORDER BY r.receipt_id, a.charge_id DESC
    ), facts AS (
        INSERT INTO receipt (receipt_id, charge_id, prompt_no, link, msisdn, message_id, state,
                             error, received_at)
        SELECT r.receipt_id, m.charge_id, m.prompt_no, r.link, r.msisdn, r.message_id, r.state,
               r.error, (SELECT business_now())
          FROM r LEFT JOIN matched m USING (receipt_id)
        ON CONFLICT DO NOTHING
    )
    SELECT r.receipt_id, r.state, m.charge_id, m.prompt_no, m.key
      FROM r JOIN matched m USING (receipt_id)
"""


def record_receipts(
    cur: Cursor, batch: Sequence[NewReceipt], *, failures: Sequence[str], lease_s: float
) -> list[Ended | None]:
    """Record receipts; one that says a prompt never arrived ends its charge, if that still waits.

    Ids are unique per SMSC at best and for a while, so the phone's number must agree as well, and
    the newest message with that id is meant.
    """
    cur.execute(
        _RECEIPTS,
        columns(batch, ("receipt_id", "link", "msisdn", "message_id", "state", "error")),
    )
    failed = {
        row[0]: (row[4], row[2]) for row in cur.fetchall() if row[1] in failures and row[3] == 0
    }
    ended = _end(cur, list(set(failed.values())), lease_s)
    return [
        ended.pop(failed[r.receipt_id][1], None) if r.receipt_id in failed else None for r in batch
    ]
