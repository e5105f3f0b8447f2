"""The creation of charges, in bulk.

Owns which reply address a charge gets, and that it is whole. Refuses to know texts, links and
partners' wire formats; that one request makes one charge is `charge_keys`'.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Final

from ppcd.charge.codes import pin_hash
from ppcd.store.charge_keys import TAKE_KEYS, Replayed, give_back, wanted_keys, whose_keys
from ppcd.store.limits import NO_SUM_LIMITS, OverLimit, SumLimits
from ppcd.store.pumping import NOBODY, Slow, held_back
from ppcd.store.rows import (
    ADDRESSES_MAX,
    Address,
    ChargeRow,
    Conflict,
    NewCharge,
    PromptJob,
    PromptNo,
    awaiting_key,
)
from ppcd.store.spending import over
from ppcd.store.sql import Cursor, columns, integers, texts, unlike_texts, written
from ppcd.store.subscribers import NO_LIMITS, Limits, Spared, spared

__all__ = ["CreateResult", "Created", "Replayed", "choose_address", "create"]


@dataclass(frozen=True, slots=True)
class Created:
    """A new charge, with the prompt job to be run at once; None when it was leased to nobody."""

    charge: ChargeRow
    prompt: PromptJob | None


_NUMBER: Final = attrgetter("address_no")

CreateResult = Created | Replayed | Conflict | Spared | OverLimit


@dataclass(frozen=True, slots=True)
class _Held:
    """A reply address that this subscriber has, or had, a charge on."""

    charge_id: int
    held: bool
    awaiting: bool


# One creation for a subscriber at a time, over all nodes: two must not choose the same address.
# The keys are taken when all of them are ours, and then the time is read.
_BEGIN = (
    """
    WITH locked AS MATERIALIZED (
        SELECT count(pg_advisory_xact_lock(m)) AS number FROM unnest(%(msisdn)s::bigint[]) AS m
    )"""
    + TAKE_KEYS
    + """
    SELECT business_now(), number FROM (SELECT count(*) AS number FROM taken) t WHERE number >= 0
"""
)

_HELD = """
    SELECT h.key, h.charge_id, h.free_at > %(now)s, a.key IS NOT NULL
      FROM unnest(%(msisdn)s::bigint[]) AS m
      JOIN hold h ON h.key >= m * 1000 AND h.key < (m + 1) * 1000
      LEFT JOIN awaiting a ON a.key = h.key
"""

# All in one statement: what it names twice is sent once, and its answer is waited for once.
_INSERT = """
    WITH new AS (
        SELECT * FROM unnest(
            %(charge_id)s::bigint[], %(partner_id)s::bigint[], %(msisdn)s::bigint[],
            %(amount_minor)s::bigint[], %(currency)s::text[], %(merchant)s::text[],
            %(description)s::text[], %(language)s::text[], %(reference)s::text[],
            %(correlator)s::text[], %(product_id)s::text[], %(route)s::text[], %(address)s::text[],
            %(address_no)s::bigint[], %(billing)s::text[], %(debit_start_s)s::integer[],
            %(sink)s::text[], %(document)s::text[], %(expires_at)s::timestamptz[],
            %(with_code)s::boolean[], %(two_step)s::boolean[], %(authorization_id)s::text[],
            %(key)s::bigint[], %(major_number)s::text[], %(asked_code)s::text[],
            %(free_at)s::timestamptz[], %(pin)s::text[])
            AS n(charge_id, partner_id, msisdn, amount_minor, currency, merchant, description,
                 language, reference, correlator, product_id, route, address, address_no, billing,
                 debit_start_s, sink, document, expires_at, with_code, two_step, authorization_id,
                 key, major_number, code, free_at, pin)
    ), charges AS (
        INSERT INTO charge (charge_id, partner_id, msisdn, amount_minor, currency, merchant,
                            description, language, reference, correlator, product_id, route,
                            address, address_no, billing, debit_start_s, sink, document,
                            expires_at, with_code, two_step, authorization_id, created_at)
        SELECT charge_id, partner_id, msisdn, amount_minor, currency, merchant, description,
               language, reference, correlator, product_id, route, address, address_no, billing,
               debit_start_s, sink, document, expires_at, with_code, two_step, authorization_id,
               %(now)s
          FROM new
    ), waiting AS (
        INSERT INTO awaiting (key, charge_id, partner_id, amount_minor, currency, major_number,
                              code, billing, debit_start_s, expires_at, by_pin)
        SELECT key, charge_id, partner_id, amount_minor, currency, major_number, code, billing,
               debit_start_s, expires_at, pin IS NOT NULL
          FROM new
    ), held AS (
        INSERT INTO hold (key, charge_id, free_at) SELECT key, charge_id, free_at FROM new
        ON CONFLICT (key) DO UPDATE SET charge_id = excluded.charge_id, free_at = excluded.free_at
    )
    INSERT INTO prompt_job (charge_id, prompt_no, kind, code, key, give_up_at, run_at)
    SELECT charge_id, 0, CASE WHEN pin IS NOT NULL THEN 'pin' WHEN code IS NULL THEN 'prompt'
                              ELSE 'prompt_code' END, coalesce(pin, code), key,
           expires_at, %(now)s + make_interval(secs => %(lease_s)s)
      FROM new
"""

# The answer says so already; who only listens hears it too.
_TELL_PENDING = """
    WITH told AS (
        INSERT INTO notification (charge_id, sequence, kind, url, made_at)
        SELECT c.charge_id, 1, 'pending_validation', coalesce(c.sink, p.webhook_url), c.created_at
          FROM charge c JOIN partner p ON p.partner_id = c.partner_id
         WHERE c.charge_id = ANY(%s::bigint[]) AND coalesce(c.sink, p.webhook_url) IS NOT NULL
        RETURNING charge_id, sequence, made_at
    )
    INSERT INTO webhook_job (charge_id, sequence, partner_id, first_at, run_at)
    SELECT t.charge_id, t.sequence, c.partner_id, t.made_at, t.made_at
      FROM told t JOIN charge c ON c.charge_id = t.charge_id
"""

_INSERT_TOKENS = """
    INSERT INTO sink_token (charge_id, token, expires_at)
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[])
"""


def create(
    cur: Cursor,
    batch: Sequence[NewCharge],
    *,
    lease_s: float,
    limits: Limits = NO_LIMITS,
    sum_limits: SumLimits = NO_SUM_LIMITS,
    slow: Slow = NOBODY,
    repeat: bool = False,
) -> list[CreateResult]:
    """Accept charges: facts, hold, `awaiting` and prompt job together.

    No two charges of a batch are of one subscriber. Running it again with the same arguments is
    harmless, which is all that `repeat` says: what the first run made is found by its own id.
    Without a lease the prompt jobs are whoever's comes first.
    """
    now, fresh, taken = _begin(cur, batch)
    results: dict[int, CreateResult] = {**taken}
    held = _read_held(cur, fresh, now)
    waiting = Counter(key // ADDRESSES_MAX for key, use in held.items() if use.awaiting)
    results |= spared(cur, fresh, limits, waiting=waiting, now=now)
    results |= held_back(cur, [n for n in fresh if n.charge_id not in results], slow, now=now)
    results |= over(cur, [new for new in fresh if new.charge_id not in results], sum_limits)
    held_by = {key // ADDRESSES_MAX for key in held}
    placed: list[tuple[NewCharge, Address, str | None]] = []
    for new in fresh:
        if new.charge_id in results:
            continue
        choice = choose_address(new, held if new.msisdn in held_by else {})
        if choice is None:
            results[new.charge_id] = Conflict.NO_FREE_ADDRESS
        else:
            placed.append((new, *choice))
    give_back(cur, [new for new in fresh if new.charge_id in results])
    _insert(cur, placed, now, lease_s)
    for new, address, code in placed:
        prompt = _prompt(new, address, code) if lease_s > 0 else None
        results[new.charge_id] = Created(_charge(new, now), prompt)
    return [results[new.charge_id] for new in batch]


def _begin(
    cur: Cursor, batch: Sequence[NewCharge]
) -> tuple[datetime, list[NewCharge], dict[int, Replayed | Conflict]]:
    """When all subscribers were ours; the charges that have their keys; the others' results."""
    wanted, values = wanted_keys(batch)
    values["msisdn"] = integers(sorted({new.msisdn for new in batch}))
    [(now, taken)] = cur.execute(_BEGIN, values).fetchall()
    if taken == wanted:
        return now, list(batch), {}  # all new, so no run of this batch came before either
    return now, *whose_keys(cur, batch)


def _read_held(cur: Cursor, fresh: Sequence[NewCharge], now: datetime) -> dict[int, _Held]:
    if not fresh:
        return {}
    cur.execute(_HELD, {"now": now, "msisdn": integers(sorted({new.msisdn for new in fresh}))})
    return {row[0]: _Held(*row[1:]) for row in cur.fetchall()}


def choose_address(new: NewCharge, held: Mapping[int, _Held]) -> tuple[Address, str | None] | None:
    """The least recently used address that this subscriber does not hold, and the code, if any.

    When all are held, the oldest one that nobody waits on is used again, and a code is asked for
    whatever the route says: a late answer to the older charge must not pay for this one. None
    when all of them wait.
    """
    if not held and new.pool:
        return min(new.pool, key=_NUMBER), new.code if new.code_required else None
    uses = [
        (address, held.get(awaiting_key(new.msisdn, address.address_no))) for address in new.pool
    ]
    free = [
        (use.charge_id if use else 0, address.address_no, address)
        for address, use in uses
        # Out of hold and still waiting: the sweep that ends it is late.
        if not (use and (use.held or use.awaiting))
    ]
    if free:
        return min(free)[2], new.code if new.code_required else None
    reusable = [
        (use.charge_id, address.address_no, address)
        for address, use in uses
        if use and not use.awaiting
    ]
    if reusable:
        return min(reusable)[2], new.code
    return None


def _insert(
    cur: Cursor,
    placed: Sequence[tuple[NewCharge, Address, str | None]],
    now: datetime,
    lease_s: float,
) -> None:
    if not placed:
        return
    # `awaiting` is always locked in the order of its keys, on all nodes and in all statements.
    ordered = sorted(placed, key=lambda p: awaiting_key(p[0].msisdn, p[1].address_no))
    charges = [new for new, _, _ in ordered]
    # What an answer is compared with; of a PIN, what no answer can be.
    codes = [_kept_pin(new) if new.pin else code for new, _, code in ordered]
    values = {
        **written(integers, charges, ("charge_id", "partner_id", "msisdn", "amount_minor")),
        **written(integers, charges, ("debit_start_s",)),
        **written(texts, charges, ("currency", "major_number", "merchant", "description")),
        **written(texts, charges, ("language", "product_id", "route", "billing", "sink", "pin")),
        **written(unlike_texts, charges, ("reference", "correlator", "document")),
        **written(unlike_texts, charges, ("authorization_id",)),
        "two_step": texts("t" if new.two_step else "f" for new in charges),
        "now": now,
        "lease_s": lease_s,
        "address": texts(address.address for _, address, _ in ordered),
        "address_no": integers(address.address_no for _, address, _ in ordered),
        "asked_code": texts(codes),
        "with_code": texts("t" if code and not new.pin else "f" for new, _, code in ordered),
        "key": integers(awaiting_key(new.msisdn, at.address_no) for new, at, _ in ordered),
        "expires_at": texts(str(_later(now, new.lifetime_s)) for new in charges),
        "free_at": texts(str(_later(now, new.lifetime_s + new.quarantine_s)) for new in charges),
    }
    cur.execute(_INSERT, values)
    by_pin = [new.charge_id for new in charges if new.pin is not None]
    if by_pin:
        cur.execute(_TELL_PENDING, [by_pin])
    with_token = [new for new in charges if new.sink_token is not None]
    if with_token:
        names = ("charge_id", "sink_token", "sink_token_expires_at")
        cur.execute(_INSERT_TOKENS, list(columns(with_token, names).values()))


def _kept_pin(new: NewCharge) -> str:
    assert new.pin is not None
    assert new.authorization_id is not None
    return pin_hash(new.authorization_id, new.pin)


@lru_cache(maxsize=64)  # a batch has one time and few lifetimes
def _later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)


def _charge(new: NewCharge, now: datetime) -> ChargeRow:
    return ChargeRow(
        charge_id=new.charge_id,
        partner_id=new.partner_id,
        partner=new.partner,
        msisdn=new.msisdn,
        amount_minor=new.amount_minor,
        currency=new.currency,
        merchant=new.merchant,
        description=new.description,
        reference=new.reference,
        correlator=new.correlator,
        product_id=new.product_id,
        sink=new.sink,
        document=new.document,
        created_at=now,
        expires_at=_later(now, new.lifetime_s),
        state="awaiting",
        reason=None,
        billing_reference=None,
        decided_at=None,
        two_step=new.two_step,
        authorization_id=new.authorization_id,
    )


def _prompt(new: NewCharge, address: Address, code: str | None) -> PromptJob:
    return PromptJob(
        charge_id=new.charge_id,
        prompt_no=PromptNo.PROMPT,
        kind="pin" if new.pin else "prompt" if code is None else "prompt_code",
        code=new.pin or code,
        key=awaiting_key(new.msisdn, address.address_no),
        attempts=0,
        msisdn=new.msisdn,
        route=new.route,
        address=address.address,
        partner=new.partner,
        amount_minor=new.amount_minor,
        currency=new.currency,
        merchant=new.merchant,
        description=new.description,
        language=new.language,
    )
