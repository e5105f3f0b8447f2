"""What the confirming statement also settles: an unclear answer, one that is late, one for nobody.

Owns the plain cases, in SQL: a first question, or a charge that is past. Refuses all that others
are at: it waits for no lock, and what it leaves is for the `second_look`, which does. What a reply
to a past charge does is the domain's `consequence`, asked once for each case.
"""

from typing import Final

from ppcd.charge.consequence import Effect, Situation, consequence
from ppcd.charge.reading import Verdict
from ppcd.charge.rules import State
from ppcd.store.rows import PromptNo


def _effect_on_past(verdict: Verdict, state: State) -> Effect:
    return consequence(verdict, None, Situation(state), reprompts_max=0, wrong_codes_max=0)


_EFFECTS_ON_PAST = "".join(
    f" WHEN '{verdict} {state}' THEN '{effect}'"
    for verdict in Verdict
    for state in State
    if state is not State.AWAITING
    and (effect := _effect_on_past(verdict, state)) is not Effect.LATE
)

_SAID = "s.address, s.link, s.raw, s.data_coding, s.esm_class, s.verdict, s.number, s.rule"

# Appended to a statement whose CTEs `t` gives the time, `r` the replies in the order of their keys,
# and `gone` those that decided. Gives `told`, with the notice that each calls for, and `told_job`,
# the notices that are new. Wants %(reprompts_max)s and %(prompt_lease_s)s.
#
# `rest` asks what is `gone`, so all waiting for locks is over before the first row is locked here,
# and here it is not waited: batches that cross can't deadlock. A row that another has taken or
# changed is left; so is what was not late when the statement began. A late answer needs no lock: a
# past charge does not come back.
TOLD: Final = f"""
    , rest AS MATERIALIZED (
        SELECT * FROM r WHERE reply_id NOT IN (SELECT reply_id FROM gone)
    ), asked AS MATERIALIZED (
        SELECT s.reply_id, {_SAID}, a.key, a.charge_id, a.reprompts + 1 AS prompt_no,
               a.code, a.expires_at
          FROM rest s
          JOIN awaiting a ON a.key = s.key
          JOIN hold h ON h.key = a.key AND h.charge_id = a.charge_id
         WHERE s.verdict = '{Verdict.UNCLEAR}' AND a.written_at IS NOT NULL AND NOT a.by_pin
           AND (a.expires_at > (SELECT now FROM t)) IS TRUE AND a.reprompts < %(reprompts_max)s::int
           FOR UPDATE OF a SKIP LOCKED
    ), counted AS (
        UPDATE awaiting a SET reprompts = u.prompt_no
          FROM asked u
         WHERE a.key = u.key AND a.charge_id = u.charge_id
    ), past AS MATERIALIZED (
        SELECT s.reply_id, {_SAID}, s.key, h.charge_id,
               CASE WHEN h.key IS NULL THEN '{Effect.STRAY}'
                    ELSE CASE s.verdict || ' ' || o.state{_EFFECTS_ON_PAST}
                         ELSE '{Effect.LATE}' END
                    END AS effect
          FROM rest s
          LEFT JOIN hold h ON h.key = s.key
          LEFT JOIN outcome o ON o.charge_id = h.charge_id
         WHERE NOT EXISTS (SELECT FROM awaiting a WHERE a.key = s.key)
           AND (h.key IS NULL OR o.charge_id IS NOT NULL)
    ), told AS MATERIALIZED (
        SELECT s.reply_id, {_SAID}, '{Effect.REPROMPTED}' AS effect, charge_id, key, prompt_no,
               CASE WHEN code IS NULL THEN 'reprompt' ELSE 'reprompt_code' END AS kind, code,
               expires_at AS give_up_at
          FROM asked s
        UNION ALL
        SELECT s.reply_id, {_SAID}, effect, charge_id, key,
               CASE effect WHEN '{Effect.LATE_YES}' THEN {PromptNo.LATE_YES}
                           WHEN '{Effect.LATE_NO}' THEN {PromptNo.LATE_NO} END,
               CASE WHEN effect IN ('{Effect.LATE_YES}', '{Effect.LATE_NO}') THEN effect END, NULL,
               (SELECT now FROM t) + interval '1 day'
          FROM past s
    ), told_job AS (
        INSERT INTO prompt_job (charge_id, prompt_no, kind, code, key, give_up_at, run_at)
        SELECT n.charge_id, n.prompt_no, n.kind, n.code, n.key, n.give_up_at,
               (SELECT now + make_interval(secs => %(prompt_lease_s)s) FROM t)
          FROM told n
         WHERE n.prompt_no IS NOT NULL
           AND NOT EXISTS (SELECT FROM prompt p
                            WHERE p.charge_id = n.charge_id AND p.prompt_no = n.prompt_no)
        ON CONFLICT DO NOTHING
        RETURNING charge_id, prompt_no
    )"""
