"""What billing's answer, or its silence, leads to: for a debit, a reserve, a capture, a release.

Owns the way from an answer to what is recorded and done next. What an answer proves and what may be
done about a doubt are the domain's; how it is stored is `store.debits`'.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from twisted.logger import Logger

from ppcd.charge.debit import (
    Abilities,
    Debited,
    DebitOrder,
    DenialReason,
    Denied,
    Doubt,
    NextStep,
    QueryAnswer,
    Reserved,
    judge,
)
from ppcd.charge.reservation import (
    RELEASE_REASONS,
    Act,
    Decision,
    Released,
    Silence,
    judge_release,
    resolve_capture,
    resolve_release,
    resolve_reserve,
)
from ppcd.charge.rules import Event
from ppcd.flow.attempts import DoubtAge, kept, left_open, pause_s, quiet_before, told
from ppcd.flow.ports import Adapter
from ppcd.metrics import Metrics
from ppcd.store.debits import Next, Result
from ppcd.store.intents import Begun
from ppcd.store.rows import DebitJob

log = Logger(namespace="ppcd.flow.debit")

Answer: TypeAlias = QueryAnswer | Released


class Attempted(NamedTuple):
    """An attempt that has been answered, and the doubt after it."""

    order: DebitOrder
    begun: Begun
    doubt: DoubtAge
    #: Nothing of earlier attempts could take effect any more when it was sent.
    quiet_over: bool

    @property
    def doubtful(self) -> bool:
        return self.begun.doubt_s is not None


class Weighing:
    """Weighs answers."""

    def __init__(
        self,
        *,
        horizon_s: Callable[[], float],
        lapse_s: Callable[[], float],
        metrics: Metrics,
        jitter: Callable[[], float],
    ) -> None:
        self._horizon_s = horizon_s
        self._lapse_s = lapse_s
        self._metrics = metrics
        self._jitter = jitter

    def done(self, adapter: Adapter, charge_id: int, begun: Begun, answer: Answer) -> Result | None:
        """What most answers lead to, for which nothing needs to be weighed: it has been debited, as
        was wanted. None: ask `answer`.
        """
        if type(answer) is not Debited or begun.act == Act.RESERVE or begun.kind == Act.RELEASE:
            return None
        self._metrics.debits.child(adapter.name, "debited").add()
        reference = kept(answer.reference)
        return Result(charge_id, begun.attempt, "debited", Next.SUCCEEDED, reference=reference)

    def answer(self, adapter: Adapter, attempted: Attempted, answer: Answer) -> Result:
        """What another answer leads to."""
        word, said = told(answer)
        self._metrics.debits.child(adapter.name, word).add()
        begun = attempted.begun
        event = self._event(adapter.abilities, attempted, answer)
        charge_id = attempted.order.charge_id
        result = Result(charge_id, begun.attempt, word, Next.DOUBT, detail=kept(said) or "")
        match event:
            case Event.RESERVED if begun.act == Act.RESERVE:
                reference, lapse_s = _reference(answer), self._lapse_s()
                return result.then(Next.RESERVED, reference=reference, lapse_s=lapse_s)
            case Event.RELEASED if begun.act == Act.RELEASE:
                assert begun.decision is not None, "only a decision releases"
                reason = RELEASE_REASONS[Decision(begun.decision)]
                return result.then(Next.CANCELLED, reason=reason.value)
            case Event.RELEASED | Event.NOT_FOUND:
                # Nothing was debited, and it is too late to begin again for somebody who left.
                return result.then(Next.DENIED, reason=DenialReason.BILLING_UNAVAILABLE.value)
            case Event.DENIED:
                assert isinstance(answer, Denied)
                return result.then(Next.DENIED, reason=answer.reason.value)
            case Event.NOT_SENT if not attempted.doubtful:
                delay_s = pause_s(attempted.doubt.tries, answer, jitter=self._jitter())
                return result.then(Next.AGAIN, delay_s=delay_s, plan=begun.kind)
            case Event.NEEDS_REVIEW | Event.DEBITED:
                # It will not let go; or it has taken what it was to hold.
                self._left_to_people(result.charge_id, f"{begun.kind}: {word} {result.detail}")
                return result.then(Next.REVIEW, plan="review")
            case _:
                still_held = event is Event.RESERVED and attempted.quiet_over
                silence = self._silence(attempted.doubt)
                step = _step(
                    adapter.abilities, begun.act, begun.kind, silence, still_held=still_held
                )
                again = _again(begun.act, begun.kind)
                return self._in_doubt(result, step, again, fresh=not attempted.doubtful)

    def silence(self, abilities: Abilities, job: DebitJob) -> Result:
        """What follows an attempt that has no result, for its node stopped."""
        tries = job.attempts - job.tried_before
        doubt = left_open(doubt_s=job.doubt_s, quiet_s=job.quiet_s, attempts=tries)
        step = _step(abilities, job.act, job.plan, self._silence(doubt))
        # The doubt began with the attempt that is open, or with one long before it.
        fresh = (job.doubt_s or 0) - (job.quiet_s or 0) < 0.5
        unknown = Result(
            job.charge_id, job.attempts, "unknown", Next.DOUBT, detail="the node stopped"
        )
        return self._in_doubt(unknown, step, _again(job.act, job.plan), fresh=fresh)

    def outlived(self, abilities: Abilities, job: DebitJob) -> Result:
        """What follows when a doubt has lasted for so long: people; or, of a reserve, its end."""
        unknown = Result(job.charge_id, job.attempts, "unknown", Next.REVIEW, plan="review")
        if job.act == Act.RESERVE and job.plan != Act.RELEASE:
            quiet_left_s = abilities.quiet_period_s - quiet_before(job.quiet_s)
            return unknown.then(Next.LET_GO, plan="release", delay_s=max(0.0, quiet_left_s))
        self._left_to_people(job.charge_id, "its doubt has outlived the horizon")
        return unknown

    @staticmethod
    def _event(abilities: Abilities, attempted: Attempted, answer: Answer) -> Event:
        if attempted.begun.kind == Act.RELEASE:
            assert not isinstance(answer, Debited | Reserved), "no answer to a release"
            return judge_release(answer)  # type: ignore[arg-type]  # nor is NotFound
        assert not isinstance(answer, Released), "only a release lets go"
        return judge(abilities, answer, repeat=attempted.doubtful, quiet_over=attempted.quiet_over)

    def _silence(self, doubt: DoubtAge) -> Silence:
        return Silence(
            age_s=doubt.age_s,
            quiet_s=doubt.quiet_s,
            tries=max(0, doubt.tries - 1),
            horizon_s=self._horizon_s(),
        )

    def _in_doubt(self, result: Result, step: NextStep, again: str, *, fresh: bool) -> Result:
        at_once = step.what is Doubt.REVIEW and step.in_s <= 0
        if at_once:
            self._left_to_people(result.charge_id, result.detail)
        elif fresh and again != Act.RELEASE:
            self._metrics.charges.child("in_doubt").add()
            log.warn(
                "charge {charge} is in doubt, billing may have made its {act}: {why}",
                charge=result.charge_id,
                act=again,
                why=result.detail,
            )
        plans = {Doubt.ASK: "query", Doubt.REVIEW: "review", Doubt.LET_GO: "release"}
        following = {Doubt.LET_GO: Next.LET_GO}.get(step.what, Next.DOUBT)
        return result.then(
            Next.REVIEW if at_once else following,
            delay_s=step.in_s * (1 + self._jitter() / 10),
            plan=plans.get(step.what, again),
        )

    def _left_to_people(self, charge_id: int, why: str) -> None:
        self._metrics.charges.child("review").add()
        log.error(
            "charge {charge} is in review, a person must find out at billing what became of it: "
            "{why}",
            charge=charge_id,
            why=why,
        )


def _step(
    abilities: Abilities, act: str, kind: str, silence: Silence, *, still_held: bool = False
) -> NextStep:
    """What may be done about a doubt; `kind` is what was tried or is planned."""
    if kind == Act.RELEASE:
        return resolve_release(silence)
    match act:
        case Act.RESERVE:
            return resolve_reserve(abilities, silence)
        case Act.CAPTURE:
            return resolve_capture(abilities, silence, still_held=still_held)
        case _:
            return silence.step(abilities)


def _again(act: str, kind: str) -> str:
    """What is asked for once more, where that is what may be done."""
    return "release" if kind == Act.RELEASE else act


def _reference(answer: Answer) -> str | None:
    return kept(answer.reference) if isinstance(answer, Debited | Reserved) else None
