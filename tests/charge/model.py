"""One charge and one billing system, small enough to look at everything that can happen.

The charge moves by the real rules, the real `judge` and the real `resolve_doubt`; the world around
it (wire, billing, other nodes, crashes) is as unkind as it may be. `search` visits every state
breadth first, so that the trace of a violation is a shortest one. Policies are what a mutant
changes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from ppcd.charge.debit import (
    Abilities,
    Debited,
    DenialReason,
    Denied,
    Doubt,
    NextStep,
    NotFound,
    NotSent,
    QueryAnswer,
    Unknown,
    judge,
    resolve_doubt,
)
from ppcd.charge.rules import END_STATES, Event, IllegalEvent, State, follow

ATTEMPTS_MAX = 3
REFUSED = Denied(DenialReason.INSUFFICIENT_FUNDS, "4012")
DEBITED = Debited("ref")


class World(NamedTuple):
    """All there is to know at one moment."""

    charge: State = State.AWAITING
    written: bool = False  #: the prompt has left
    failed: bool = False  #: its failure receipt has come
    agreed: bool = False  #: the subscriber said yes after it
    #: A flag an attempt that may have reached billing: no other could act when it was sent.
    attempts: tuple[bool, ...] = ()
    live: str = ""  #: our own newest attempt: "intent", "sent", or none that we wait for
    zombie: bool = False  #: a paused node holds an intent that it has not sent
    out: tuple[int, ...] = ()  #: requests that billing may still take, by attempt
    answers: tuple[tuple[int, bool], ...] = ()  #: answers under way: attempt, debited?
    quiet: bool = False  #: every request sent has taken effect or never will
    debits: int = 0
    refusal_stored: bool = False
    told: str = ""  #: what the partner was told: "paid", "unpaid"
    told_before: str = ""
    crashes: int = 1
    replies: int = 2


@dataclass(frozen=True)
class Policy:
    """What ppcd does. The defaults are the real thing; a mutant replaces one of them."""

    abilities: Abilities
    rules: Mapping[tuple[State, Event], State] = field(default_factory=dict)
    judge: Callable[..., Event] = judge
    same_key: bool = True
    unwritten_prompts_count: bool = False
    asks_before_quiet: bool = False
    crash_is_not_sent: bool = False
    zombie_minds_send_by: bool = True
    quiet_counts_when_heard: bool = False
    resolve: Callable[..., NextStep] = resolve_doubt

    def follow(self, charge: State, event: Event) -> State:
        changed = self.rules.get((charge, event))
        if changed is not None:
            return changed
        try:
            return follow(charge, event).state
        except IllegalEvent:
            # Where rules are changed, others no longer fit: see what becomes of the money.
            if self.rules:
                return charge
            raise


Step = tuple[str, World]


def steps(world: World, policy: Policy) -> Iterator[Step]:
    """Everything that can happen next."""
    yield from _prompt_and_reply(world, policy)
    yield from _partner(world, policy)
    yield from _debit(world, policy)
    yield from _billing(world, policy)
    yield from _doubt(world, policy)
    yield from _calamity(world)


def _on(world: World, policy: Policy, event: Event) -> World:
    return world._replace(charge=policy.follow(world.charge, event))


def _prompt_and_reply(world: World, policy: Policy) -> Iterator[Step]:
    if world.charge is State.AWAITING and not world.written:
        yield "prompt written", _on(world, policy, Event.PROMPT_WRITTEN)._replace(written=True)
        yield "prompt refused", _on(world, policy, Event.PROMPT_REFUSED)
    if world.written and not world.failed:
        yield "prompt accepted", _on(world, policy, Event.PROMPT_ACCEPTED)
        yield "receipt: failed", _on(world, policy, Event.PROMPT_FAILED)._replace(failed=True)
    if world.replies:
        replied = world._replace(replies=world.replies - 1)
        yield "no", _on(replied, policy, Event.DECLINED)
        yield "unclear", _on(replied, policy, Event.UNCLEAR)
        if world.written:
            yield "yes", _on(replied, policy, Event.AGREED)._replace(agreed=True)
        elif policy.unwritten_prompts_count:
            yield "yes to nothing", _on(replied, policy, Event.AGREED)


def _partner(world: World, policy: Policy) -> Iterator[Step]:
    yield "time up", _on(world, policy, Event.TIME_UP)
    yield "cancel", _on(world, policy, Event.CANCEL)
    status = {State.SUCCEEDED: "paid"}.get(world.charge, "unpaid")
    if world.charge in END_STATES and world.told != status:
        yield "told " + status, world._replace(told=status, told_before=world.told)


def _attempt(world: World, live: str) -> World:
    alone = world.quiet or not world.attempts
    return world._replace(attempts=(*world.attempts, alone), live=live, quiet=False)


def _sent(world: World) -> World:
    return world._replace(live="sent", out=(*world.out, len(world.attempts)))


def _answered(world: World, policy: Policy, answer: QueryAnswer, *, alone: bool) -> World:
    """What ppcd makes of an answer; `alone`: no other request could act when it was sent."""
    repeat = len(world.attempts) > 1
    event = policy.judge(policy.abilities, answer, repeat=repeat, quiet_over=alone)
    return _on(world, policy, event)


def _debit(world: World, policy: Policy) -> Iterator[Step]:
    if world.charge is State.CONFIRMED:
        yield "not started in time", _on(world, policy, Event.NOT_STARTED_IN_TIME)
        if len(world.attempts) < ATTEMPTS_MAX:
            started = _on(world, policy, Event.DEBIT_STARTED)
            yield "intent", _attempt(started, "intent")
    waiting_no_more = world._replace(live="")
    if world.live == "intent":
        yield "sent", _sent(world)
        # Gives the attempt back: the next one is no repeat because of it.
        unsent = _answered(waiting_no_more, policy, NotSent("refused"), alone=False)
        yield "not sent", unsent._replace(attempts=world.attempts[:-1])
    if world.live == "sent":
        silence = Unknown("timeout")
        yield "timeout", _answered(waiting_no_more, policy, silence, alone=False)
    for answer in world.answers:
        attempt, debited = answer
        left = world._replace(answers=tuple(other for other in world.answers if other != answer))
        # A late answer counts too, whether or not anybody waits for it any more.
        newest = attempt == len(world.attempts)
        alone = world.quiet if policy.quiet_counts_when_heard else newest and world.attempts[-1]
        heard = left._replace(live="" if newest else world.live)
        yield (
            f"answer to {attempt}: {'debited' if debited else 'refused'}",
            _answered(heard, policy, DEBITED if debited else REFUSED, alone=alone),
        )
        yield f"answer to {attempt} lost", left


def _billing(world: World, policy: Policy) -> Iterator[Step]:
    abilities = policy.abilities
    for attempt in world.out:
        taken = world._replace(out=tuple(other for other in world.out if other != attempt))
        yield f"request {attempt} lost", taken
        known = abilities.idempotent and policy.same_key
        if known and world.debits:
            yield f"{attempt} repeated", taken._replace(answers=(*taken.answers, (attempt, True)))
            continue
        if not (known and world.refusal_stored):
            yield (
                f"{attempt} debits",
                taken._replace(debits=world.debits + 1, answers=(*taken.answers, (attempt, True))),
            )
        yield (
            f"{attempt} refused",
            taken._replace(
                refusal_stored=world.refusal_stored or abilities.stores_refusals,
                answers=(*taken.answers, (attempt, False)),
            ),
        )
    if world.attempts and not (world.quiet or world.out or world.live):
        late = world.zombie and not policy.zombie_minds_send_by
        yield "quiet period over", world._replace(quiet=True, zombie=late)
    if world.zombie:
        yield "zombie sends", world._replace(zombie=False, out=(*world.out, 0))


def _doubt(world: World, policy: Policy) -> Iterator[Step]:
    if world.charge is State.DEBITING and not world.live:
        # Another node finds an intent without an answer: after a crash, or while one is paused.
        answer = NotSent("crashed") if policy.crash_is_not_sent else Unknown("crashed")
        yield "intent found", _answered(world, policy, answer, alone=False)
    if world.charge is State.REVIEW and world.quiet:
        yield (
            "reconciled",
            _on(world, policy, Event.DEBITED if world.debits else Event.DENIED),
        )
    if world.charge is not State.IN_DOUBT or world.live:
        return
    yield "horizon", _on(world, policy, Event.NEEDS_REVIEW)
    quiet_s = policy.abilities.quiet_period_s if world.quiet else 0.0
    step = policy.resolve(policy.abilities, age_s=0, quiet_s=quiet_s, tries=len(world.attempts))
    if step.what is Doubt.REVIEW:
        assert step.in_s == 0
    if step.what is Doubt.AGAIN and len(world.attempts) < ATTEMPTS_MAX:
        yield "again", _attempt(world, "intent")
    if step.what is Doubt.ASK:
        assert step.in_s >= policy.abilities.quiet_period_s - quiet_s
    if step.what is Doubt.ASK and (world.quiet or policy.asks_before_quiet):
        yield "asked", _answered(world, policy, _record(world), alone=world.quiet)
        yield "asked in vain", _answered(world, policy, Unknown("timeout"), alone=world.quiet)


def _record(world: World) -> QueryAnswer:
    if world.debits:
        return DEBITED
    return REFUSED if world.refusal_stored else NotFound()


def _calamity(world: World) -> Iterator[Step]:
    if not world.crashes:
        return
    crashed = world._replace(crashes=world.crashes - 1)
    yield "crash", crashed._replace(live="")
    if world.live == "intent":
        yield "pause", crashed._replace(live="", zombie=True)


def violation(world: World) -> str | None:
    """The promise that is broken in this state, if one is."""
    if world.debits > 1:
        return "debited twice"
    if world.debits and not world.agreed:
        return "debited without consent"
    if world.debits and world.told == "unpaid":
        return "told unpaid, but debited"
    if not world.debits and world.told == "paid":
        return "told paid, but not debited"
    if world.told_before:
        return "told another end before"
    return None


class Found(NamedTuple):
    """What a search came to."""

    states: int
    broken: str | None
    trace: tuple[str, ...]


def search(policy: Policy) -> Found:
    """Visits every reachable state; stops at the first that breaks a promise."""
    return explore(World(), lambda world: steps(world, policy), violation)


class Told(Protocol):
    """What a search wants to know of any world: what its partner was told of the end, or ""."""

    @property
    def told(self) -> str: ...


W = TypeVar("W", bound=Told)


def explore(
    start: W, steps: Callable[[W], Iterable[tuple[str, W]]], violation: Callable[[W], str | None]
) -> Found:
    """The same of any world; what its partner is never told the end of is broken, too."""
    came_from: dict[W, tuple[W, str] | None] = {start: None}
    leads_to: dict[W, set[W]] = {}
    queue = deque([start])
    while queue:
        world = queue.popleft()
        broken = violation(world)
        if broken is not None:
            return Found(len(came_from), broken, _trace(world, came_from))
        try:
            following = list(steps(world))
        except IllegalEvent as illegal:
            return Found(len(came_from), str(illegal), _trace(world, came_from))
        leads_to[world] = {after for _, after in following}
        for label, after in following:
            if after not in came_from:
                came_from[after] = (world, label)
                queue.append(after)
    stuck = _stuck(leads_to)
    if stuck is not None:
        return Found(len(came_from), "no way to an end", _trace(stuck, came_from))
    return Found(len(came_from), None, ())


def _trace(world: W, came_from: Mapping[W, tuple[W, str] | None]) -> tuple[str, ...]:
    labels: list[str] = []
    while (before := came_from[world]) is not None:
        world, label = before
        labels.append(label)
    return tuple(reversed(labels))


def _stuck(leads_to: Mapping[W, set[W]]) -> W | None:
    """A state from which the partner is never told an end."""
    reversed_: dict[W, list[W]] = {}
    for before, afters in leads_to.items():
        for after in afters:
            reversed_.setdefault(after, []).append(before)
    ending = {world for world in leads_to if world.told}
    queue = list(ending)
    while queue:
        for before in reversed_.get(queue.pop(), []):
            if before not in ending:
                ending.add(before)
                queue.append(before)
    return next((world for world in leads_to if world not in ending), None)
