"""A partner's charges in a list, at a cost that does not grow with its history.

Owns that a list looks at a bounded number of rows of one partner only. Refuses to know pages and
the partners' words for states.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from ppcd.store.ids import EPOCH, first_id_of
from ppcd.store.sql import Cursor

#: An id says when it was made by the wall clock of its node, `created_at` when it was committed by
#: the database's: so far they may be apart. The index has only the id.
SLACK: Final = timedelta(minutes=5)
_ID_MAX: Final = 2**63 - 1
_LAST_TIME: Final = datetime(2059, 1, 1, tzinfo=UTC)


class Standing(NamedTuple):
    """Where a charge stands, as far as partners tell it apart."""

    state: str
    was_reserved: bool
    by_pin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which charges. What is None does not matter; times include themselves, in milliseconds,
    as partners are shown them.
    """

    since: datetime | None = None
    until: datetime | None = None
    standings: tuple[Standing, ...] | None = None
    merchant_identifier: str | None = None


# Within the range of ids, which the index bounds, exactly those of the time asked for.
_IN_TIME = """
    SELECT charge_id FROM (
        SELECT charge_id, created_at FROM charge
         WHERE partner_id = %(partner_id)s AND charge_id >= %(first)s AND charge_id < %(stop)s
           AND date_trunc('milliseconds', created_at)
               BETWEEN coalesce(%(since)s::timestamptz, '-infinity')
                   AND coalesce(%(until)s::timestamptz, 'infinity')
         LIMIT %(limit)s) c
     ORDER BY created_at, charge_id
"""

_FITTING = """
    SELECT c.charge_id FROM charge c JOIN charge_status s ON s.charge_id = c.charge_id
     WHERE c.partner_id = %(partner_id)s AND c.charge_id = ANY(%(ids)s::bigint[])
       AND (%(states)s::text[] IS NULL
            OR (s.state, s.was_reserved, c.authorization_id IS NOT NULL) IN (
                SELECT * FROM unnest(%(states)s::text[], %(reserved)s::boolean[],
                                     %(by_pin)s::boolean[])))
       AND (%(merchant)s::text IS NULL
            OR c.document::jsonb #>> '{paymentAmount,chargingMetaData,merchantIdentifier}'
               = %(merchant)s::text)
     ORDER BY c.created_at, c.charge_id
"""


def find(
    cur: Cursor, *, partner_id: int, criteria: Criteria, looked_at_max: int
) -> Sequence[int] | None:
    """The ids of a partner's charges that fit, oldest first.

    None when more than `looked_at_max` were created in that time: then it is not even looked which
    of them fit.
    """
    values: dict[str, object] = {
        "partner_id": partner_id,
        "first": 0 if criteria.since is None else _id_at(criteria.since, -SLACK),
        "stop": _ID_MAX if criteria.until is None else _id_at(criteria.until, SLACK),
        "since": criteria.since,
        "until": criteria.until,
        "limit": looked_at_max + 1,
    }
    ids = [row[0] for row in cur.execute(_IN_TIME, values)]
    if len(ids) > looked_at_max:
        return None
    if not ids or (criteria.standings is None and criteria.merchant_identifier is None):
        return ids
    values = {
        "partner_id": partner_id,
        "ids": ids,
        "states": None if criteria.standings is None else [one.state for one in criteria.standings],
        "reserved": [one.was_reserved for one in criteria.standings or ()],
        "by_pin": [one.by_pin for one in criteria.standings or ()],
        "merchant": criteria.merchant_identifier,
    }
    return [row[0] for row in cur.execute(_FITTING, values)]


def _id_at(when: datetime, slack: timedelta) -> int:
    """The bound of ids for a time that may be any; ids themselves begin and end sometime."""
    if when <= EPOCH + SLACK:
        return 0
    return first_id_of(min(when, _LAST_TIME) + slack)
