"""What the transactions share: the cursor's type, columns of a batch, and the SQL of an end.

Refuses to know any subject; a query belongs beside the function that uses it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from types import NoneType
from typing import Any, TypeAlias

import psycopg

Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]

#: `awaiting` rows are locked in the order of their keys, on all nodes and in all statements: then
#: batches wait for each other instead of deadlocking. An UPDATE or DELETE of many locks them in
#: whatever order its plan reads them, so this comes first.
_LOCK_AWAITING = """
    SELECT FROM awaiting WHERE key = ANY(%s::bigint[]) ORDER BY key FOR UPDATE
"""


def lock_awaiting(cur: Cursor, keys: Sequence[int]) -> None:
    """Lock these rows, as far as they are there."""
    cur.execute(_LOCK_AWAITING, [integers(keys)])


#: What ends a charge, appended to a statement whose CTE `ended` gives charge_id, state, reason and
#: billing_reference. Its work row must have been deleted in the same statement: whoever deletes it
#: decides. Gives `ended_webhook` (charge_id, sequence, partner_id) for those that have somewhere to
#: be told. In two steps the partner may have been told two things before: that a code is awaited,
#: that the money is reserved. Wants %(lease_s)s.
END = """
, ended_outcome AS (
    INSERT INTO outcome (charge_id, state, reason, billing_reference, decided_at)
    SELECT charge_id, state, reason, billing_reference, (SELECT business_now()) FROM ended
    RETURNING charge_id, decided_at
), ended_notification AS (
    INSERT INTO notification (charge_id, sequence, url, made_at)
    SELECT o.charge_id, CASE WHEN c.two_step THEN 3 ELSE 1 END,
           coalesce(c.sink, p.webhook_url), o.decided_at
      FROM ended_outcome o
      JOIN charge c ON c.charge_id = o.charge_id
      JOIN partner p ON p.partner_id = c.partner_id
     WHERE coalesce(c.sink, p.webhook_url) IS NOT NULL
    RETURNING charge_id, sequence, made_at
), ended_webhook AS (
    INSERT INTO webhook_job (charge_id, sequence, partner_id, first_at, run_at)
    SELECT n.charge_id, n.sequence, c.partner_id, n.made_at,
           n.made_at + make_interval(secs => %(lease_s)s)
      FROM ended_notification n JOIN charge c ON c.charge_id = n.charge_id
    RETURNING charge_id, sequence, partner_id
)"""


_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|(s)|(%)|)")


@lru_cache(maxsize=1024)
def numbered(statement: str) -> tuple[bytes, Sequence[str | int]]:
    """A statement with `$1`, `$2`… for its `%(name)s` or `%s`, and the name or place of each.

    ProgrammingError when it mixes them, or has another `%` than `%%`.
    """
    names: list[str | int] = []

    def number(found: re.Match[str]) -> str:
        name, place, percent = found.groups()
        if percent:
            return "%"
        if not name and not place:
            raise psycopg.ProgrammingError(f"a lone % in {statement!r}: write %% for itself")
        if place or name not in names:
            names.append(name or len(names))
        return f"${len(names) if place else names.index(name) + 1}"

    text = _PLACEHOLDER.sub(number, statement)
    if len(set(map(type, names))) > 1:
        raise psycopg.ProgrammingError(f"%s and %(name)s are mixed in {statement!r}")
    return text.encode(), names


def columns(rows: Iterable[Any], names: Sequence[str]) -> dict[str, Any]:
    """The attributes `names` of `rows` as arrays for `unnest`, one each, in the rows' order.

    The statement says of what: `%(charge_id)s::bigint[]`.
    """
    rows = list(rows)
    return {name: array(list(map(attrgetter(name), rows))) for name in names}


def array(values: list[Any]) -> Any:
    """An array for a statement that says of what; by hand where it is of numbers or texts, or of
    nothing at all.
    """
    kinds = set(map(type, values)) - {NoneType}
    if kinds <= {int}:
        return integers(values)
    if kinds == {str}:
        return unlike_texts(values)
    return values


# Arrays written by hand: psycopg's lists of numbers take five times as long, those of texts thirty
# times, and small numbers are another type to it than large ones, so that one statement is prepared
# several times. Where a statement says `::bigint[]`, such a text is one.


def integers(values: Iterable[int | None]) -> str:
    """An array literal of numbers."""
    # As a list is written: joining the texts of its numbers takes twice as long.
    return "{" + repr(list(values))[1:-1].replace("None", "NULL") + "}"


def texts(values: Iterable[str | None]) -> str:
    """An array literal of texts."""
    return "{" + ",".join(map(text_in_array, values)) + "}"


def unlike_texts(values: Iterable[str | None]) -> str:
    """As `texts`, of texts that don't come again: nothing is remembered of them."""
    values = list(values)
    if None not in values:
        inside = '","'.join(values)  # type: ignore[arg-type]
        if values and "\\" not in inside and inside.count('"') == 2 * (len(values) - 1):
            return '{"' + inside + '"}'  # as most are: none has to be escaped
    return "{" + ",".join(map(text_in_array.__wrapped__, values)) + "}"


def unlike_octets(values: Iterable[bytes]) -> str:
    """An array literal of bytea that don't come again."""
    return "{" + ",".join(map(octets_in_array, values)) + "}"


def written(
    write: Callable[[Iterable[Any]], str], rows: Sequence[Any], names: Sequence[str]
) -> dict[str, str]:
    """As `columns`, each array written by `write`."""
    return {name: write(map(attrgetter(name), rows)) for name in names}


# The same few words come again and again.
@lru_cache(maxsize=4096)
def text_in_array(value: str | None) -> str:
    """One text of an array literal."""
    if value is None:
        return "NULL"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def octets_in_array(value: bytes) -> str:
    """One bytea of an array literal."""
    return '"\\\\x' + value.hex() + '"'
