"""One charge of two steps and one billing system: everything that can happen, as in `model`.

Prepared, agreed to, reserved; then confirmed, cancelled or lapsed, by whoever comes first; then
captured or released. The charge moves by the real rules, and every answer and doubt is judged by
the real functions. Before consent only what leads past it is here: `model` has the rest.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ppcd.charge.debit import (
    Abilities,
    Debited,
    Denied,
    Doubt,
    NextStep,
    NotFound,
    QueryAnswer,
    Reserved,
    Unknown,
    judge,
)
from ppcd.charge.reservation import (
    Act,
    Decision,
    ReleaseAnswer,
    Released,
    Silence,
    judge_release,
    resolve_capture,
    resolve_reserve,
)
from ppcd.charge.rules import END_STATES, Event, IllegalEvent, State, follow
from tests.charge.model import DEBITED, REFUSED, Found, explore

ATTEMPTS_MAX = 2
RESERVED = Reserved("hold")
ACTS: Mapping[Decision, Act] = {
    Decision.CONFIRMED: Act.CAPTURE,
    Decision.CANCELLED: Act.RELEASE,
    Decision.LAPSED: Act.RELEASE,
}


class World(NamedTuple):
    """All there is to know at one moment."""

    charge: State = State.AWAITING
    agreed: bool = False
    decision: str = ""  #: the first one; what comes later is told so
    act: str = Act.RESERVE  #: what billing is to do now
    letting_go: bool = False  #: of a reserve that nobody could clear up
    #: Of this act, a flag an attempt that may have reached billing: no other could act then.
    attempts: tuple[bool, ...] = ()
    live: str = ""  #: our own newest attempt: "intent", "sent", or none that we wait for
    zombie: str = ""  #: what a paused node is about to ask for
    out: tuple[tuple[str, int], ...] = ()  #: requests that billing may still take
    answers: tuple[tuple[str, int, str], ...] = ()  #: those under way: to what, and which
    quiet: bool = False  #: every request sent has taken effect or never will
    held: int = 0
    debits: int = 0
    #: What billing remembers of the reserve, and of the capture: "", "done", "refused", "gone".
    reserve_kept: str = ""
    capture_kept: str = ""
    told: str = ""  #: "paid" or "unpaid"
    told_before: str = ""
    crashes: int = 1


@dataclass(frozen=True)
class Policy:
    """What ppcd does. The defaults are the real thing; a mutant replaces one of them."""

    abilities: Abilities
    rules: Mapping[tuple[State, Event], State] = field(default_factory=dict)
    judge: Callable[..., Event] = judge
    judge_release: Callable[[ReleaseAnswer], Event] = judge_release
    resolve_reserve: Callable[..., NextStep] = resolve_reserve
    resolve_capture: Callable[..., NextStep] = resolve_capture
    acts: Mapping[Decision, Act] = field(default_factory=lambda: ACTS)
    zombie_minds_send_by: bool = True
    late_answers_count_for_any_act: bool = False

    def follow(self, charge: State, event: Event) -> State:
        changed = self.rules.get((charge, event))
        if changed is not None:
            return changed
        try:
            return follow(charge, event).state
        except IllegalEvent:
            if self.rules:
                return charge
            raise


Step = tuple[str, World]
_DECIDES = {
    Decision.CONFIRMED: Event.CAPTURE_STARTED,
    Decision.CANCELLED: Event.CANCEL,
    Decision.LAPSED: Event.LAPSED,
}


def search(policy: Policy) -> Found:
    """Visits every reachable state; stops at the first that breaks a promise."""
    return explore(World(), lambda world: steps(world, policy), violation)


def steps(world: World, policy: Policy) -> Iterator[Step]:
    """Everything that can happen next."""
    yield from _people(world, policy)
    yield from _attempts(world, policy)
    yield from _answers(world, policy)
    yield from _billing(world, policy)
    yield from _doubt(world, policy)
    yield from _calamity(world)


def _on(world: World, policy: Policy, event: Event) -> World:
    return world._replace(charge=policy.follow(world.charge, event))


def _people(world: World, policy: Policy) -> Iterator[Step]:
    """The subscriber, the partner, and the time; on whichever node."""
    if world.charge is State.AWAITING:
        yield "yes", _on(world, policy, Event.AGREED)._replace(agreed=True)
        yield "no", _on(world, policy, Event.DECLINED)
        yield "time up", _on(world, policy, Event.TIME_UP)
    for decision, event in _DECIDES.items():
        # Of a confirmation and a lapse there is nothing before: it is the row they delete.
        by_row = event is not Event.CANCEL and (world.charge, event) not in policy.rules
        if by_row and world.charge is not State.RESERVED:
            continue
        after = policy.follow(world.charge, event)
        if after is world.charge:
            continue  # late: whoever comes second is told so
        if after not in (State.CAPTURING, State.RELEASING):
            yield f"{decision} before consent", world._replace(charge=after)
            continue
        act = policy.acts[decision]
        if act is Act.CAPTURE:
            after = State.CAPTURING
        yield (
            str(decision),
            _begun_anew(world, act)._replace(
                charge=after, decision=f"{world.decision} {decision}".strip()
            ),
        )
    status = {State.SUCCEEDED: "paid"}.get(world.charge, "unpaid")
    if world.charge in END_STATES and world.told != status:
        yield "told " + status, world._replace(told=status, told_before=world.told)


def _begun_anew(world: World, act: Act) -> World:
    """Another act: whatever was tried before is of no account to it."""
    return world._replace(act=act, attempts=(), live="", letting_go=False)


def _attempt(world: World) -> World:
    alone = world.quiet or not world.attempts
    return world._replace(attempts=(*world.attempts, alone), live="intent", quiet=False)


def _asked_for(world: World) -> str:
    return Act.RELEASE if world.letting_go else world.act


def _attempts(world: World, policy: Policy) -> Iterator[Step]:
    doubtful = bool(world.attempts)
    room = len(world.attempts) < ATTEMPTS_MAX
    if world.charge is State.CONFIRMED:
        yield "not started in time", _on(world, policy, Event.NOT_STARTED_IN_TIME)
        yield "intent", _attempt(_on(world, policy, Event.RESERVE_STARTED))
    if world.charge is State.CAPTURING and not world.live and not doubtful:
        started_not = _on(world, policy, Event.NOT_STARTED_IN_TIME)
        yield "capture not started in time", _begun_anew(started_not, Act.RELEASE)
        yield "intent", _attempt(world)
    if world.charge is State.RELEASING and not world.live and room:
        yield "intent", _attempt(world)
    if world.live == "intent":
        sent = (_asked_for(world), len(world.attempts))
        yield "sent", world._replace(live="sent", out=(*world.out, sent))
        unsent = world._replace(live="", attempts=world.attempts[:-1])
        yield "not sent", _on(unsent, policy, Event.NOT_SENT)
    if world.live == "sent":
        yield "timeout", _heard(world._replace(live=""), policy, Unknown("timeout"), alone=False)


def _heard(
    world: World, policy: Policy, answer: QueryAnswer | Released, *, alone: bool, doubt: bool = True
) -> World:
    """What ppcd makes of an answer, as `flow.weighing` does."""
    if _asked_for(world) == Act.RELEASE:
        assert not isinstance(answer, Debited | Reserved | NotFound)
        event = policy.judge_release(answer)
    else:
        assert not isinstance(answer, Released)
        repeat = len(world.attempts) > 1 or not doubt
        event = policy.judge(policy.abilities, answer, repeat=repeat, quiet_over=alone)
        if event is Event.RESERVED and world.act == Act.CAPTURE:
            event = Event.DEBIT_UNKNOWN  # held, and not taken: another attempt may be made
        if event is Event.DEBITED and world.act == Act.RESERVE:
            event = Event.NEEDS_REVIEW
    after = _on(world, policy, event)
    if after.charge is State.RESERVED:
        after = _begun_anew(after, Act.RESERVE)
    return after


def _answers(world: World, policy: Policy) -> Iterator[Step]:
    said: Mapping[str, QueryAnswer | Released] = {
        "reserved": RESERVED,
        "debited": DEBITED,
        "refused": REFUSED,
        "released": Released(),
        "garbled": Unknown("what is that?"),
    }
    for about in world.answers:
        act, attempt, word = about
        left = world._replace(answers=tuple(other for other in world.answers if other != about))
        yield f"answer to {act} {attempt} lost", left
        ours = act == _asked_for(world) and attempt == len(world.attempts) and world.live == "sent"
        answer = said[word]
        if ours:
            alone = world.attempts[-1]
            heard = _heard(left._replace(live=""), policy, answer, alone=alone)
            yield f"answer to {act} {attempt}: {word}", heard
            continue
        # A late one settles a capture, where it says that no other attempt can move the money.
        counts = policy.late_answers_count_for_any_act or act == Act.CAPTURE
        job = world.act == Act.CAPTURE and world.charge not in END_STATES
        others = len(world.attempts) > 1 or act != world.act
        if policy.late_answers_count_for_any_act:
            others = False
        if not (counts and job):
            continue
        if isinstance(answer, Debited):
            yield f"late to {act} {attempt}: {word}", _on(left, policy, Event.DEBITED)
        if isinstance(answer, Denied) and (policy.abilities.stores_refusals or not others):
            yield f"late to {act} {attempt}: {word}", _on(left, policy, Event.DENIED)


def _billing(world: World, policy: Policy) -> Iterator[Step]:
    for request in world.out:
        act, attempt = request
        taken = world._replace(out=tuple(other for other in world.out if other != request))
        yield f"{act} {attempt} lost", taken
        take = {Act.RESERVE: _reserve, Act.CAPTURE: _capture, Act.RELEASE: _release}[Act(act)]
        for word, after in take(taken, policy.abilities):
            answers = (*after.answers, (act, attempt, word))
            yield f"{act} {attempt} is {word}", after._replace(answers=answers)
    if not (world.quiet or world.out or world.live):
        stays = "" if policy.zombie_minds_send_by else world.zombie
        yield "quiet period over", world._replace(quiet=True, zombie=stays)
    if world.zombie:
        out = (*world.out, (world.zombie, 0))
        yield "zombie sends", world._replace(zombie="", out=out)


def _reserve(world: World, abilities: Abilities) -> Iterator[Step]:
    if abilities.idempotent and world.reserve_kept:
        kept = {"done": "reserved", "refused": "refused", "gone": "garbled"}
        yield kept[world.reserve_kept], world
        return
    yield "reserved", world._replace(held=world.held + 1, reserve_kept="done")
    kept_now = "refused" if abilities.stores_refusals else world.reserve_kept
    yield "refused", world._replace(reserve_kept=kept_now)


def _capture(world: World, abilities: Abilities) -> Iterator[Step]:
    if world.held:
        # It ends the reservation whatever it answers.
        ended = world._replace(held=world.held - 1)
        yield "debited", ended._replace(debits=world.debits + 1, capture_kept="done")
        yield "refused", ended._replace(capture_kept="refused")
    elif world.capture_kept == "done" and abilities.idempotent:
        yield "debited", world
    else:
        yield "refused", world


def _release(world: World, abilities: Abilities) -> Iterator[Step]:
    gone = "gone" if world.reserve_kept == "done" else world.reserve_kept
    yield "released", world._replace(held=0, reserve_kept=gone)
    if world.held:
        yield "refused", world


def _known(world: World) -> QueryAnswer:
    """What billing says that is asked about the key."""
    if world.capture_kept == "done":
        return DEBITED
    if world.held:
        return RESERVED
    return NotFound()


def _doubt(world: World, policy: Policy) -> Iterator[Step]:
    if world.live:
        return
    unknown = Unknown("crashed")
    under_way = world.charge in (State.RESERVING, State.CAPTURING) and world.attempts
    if under_way:
        yield "intent found", _heard(world, policy, unknown, alone=False)
    if world.charge is State.RELEASING and world.attempts:
        yield "horizon", _on(world, policy, Event.NEEDS_REVIEW)
    if world.charge is State.REVIEW and world.quiet:
        # What a person says was not taken is let go of first.
        said = Event.DEBITED if world.debits else Event.DENIED
        yield "reconciled", _on(world._replace(held=0), policy, said)
    if world.charge is not State.IN_DOUBT:
        return
    if world.letting_go:
        if len(world.attempts) < ATTEMPTS_MAX:
            yield "release again", _attempt(world)
        yield "horizon", _on(world, policy, Event.NEEDS_REVIEW)
        return
    if world.act == Act.CAPTURE:
        yield "horizon", _on(world, policy, Event.NEEDS_REVIEW)
    elif world.quiet:
        yield "horizon", _let_go(world)
    yield from _tried(world, policy)


def _let_go(world: World) -> World:
    return world._replace(letting_go=True, attempts=(), live="")


def _tried(world: World, policy: Policy) -> Iterator[Step]:
    """What may be done about a doubt by now."""
    quiet_s = policy.abilities.quiet_period_s if world.quiet else 0.0
    silence = Silence(age_s=0, quiet_s=quiet_s, tries=len(world.attempts))
    step = (
        policy.resolve_capture(policy.abilities, silence, still_held=False)
        if world.act == Act.CAPTURE
        else policy.resolve_reserve(policy.abilities, silence)
    )
    room = len(world.attempts) < ATTEMPTS_MAX
    # Nothing that has to wait for the quiet is done before it.
    due = world.quiet or step.in_s < policy.abilities.quiet_period_s
    match step.what:
        case Doubt.AGAIN if room:
            yield "again", _attempt(world)
        case Doubt.ASK if due:
            known = _known(world)
            yield "asked", _heard(world, policy, known, alone=world.quiet, doubt=False)
            held = known == RESERVED and world.act == Act.CAPTURE
            if held and world.quiet and room:
                again = policy.resolve_capture(policy.abilities, silence, still_held=True)
                assert again.what is Doubt.AGAIN
                yield "still held: again", _attempt(world)
        case Doubt.LET_GO if due:
            yield "let go", _let_go(world)


def _calamity(world: World) -> Iterator[Step]:
    if not world.crashes:
        return
    crashed = world._replace(crashes=world.crashes - 1)
    yield "crash", crashed._replace(live="")
    if world.live == "intent":
        yield "pause", crashed._replace(live="", zombie=_asked_for(world))


def violation(world: World) -> str | None:
    """The promise that is broken in this state, if one is."""
    if world.held + world.debits > 1:
        return "held or debited twice"
    if (world.debits or world.held) and not world.agreed:
        return "held without consent"
    if world.debits and not world.decision.startswith(Decision.CONFIRMED):
        return "debited without a confirmation"
    if " " in world.decision:
        return "decided twice"
    if world.debits and world.told == "unpaid":
        return "told unpaid, but debited"
    if not world.debits and world.told == "paid":
        return "told paid, but not debited"
    if world.told_before:
        return "told another end before"
    over = not (world.out or world.live or world.zombie)
    if world.held and over and world.charge in END_STATES:
        return "held for nothing"
    return None
