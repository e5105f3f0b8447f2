"""What the store should do, in a few dicts: charges by the domain's rules, held addresses, jobs.

Owns no SQL and no clock of its own. Every state change goes through `ppcd.charge.rules.follow`, so
that what the tables come to is what the rules say.
"""

from dataclasses import dataclass, field

from ppcd.charge.consequence import Effect, Situation, consequence
from ppcd.charge.reading import Verdict
from ppcd.charge.rules import END_STATES, Event, State, follow

LIFETIME_S = 600
QUARANTINE_S = 1000
DEBIT_START_S = 120


@dataclass
class Charge:
    """One charge, and the attempts at its debit."""

    charge_id: int
    phone: int
    address_no: int
    code: str | None
    created_at: float
    state: State = State.AWAITING
    written: bool = False
    reprompts: int = 0
    wrong_codes: int = 0
    confirmed_at: float = 0
    attempts: int = 0
    #: The newest attempt has no result.
    open: bool = False
    #: Texts whose number is taken: jobs and facts.
    texts: set[int] = field(default_factory=lambda: {0})
    prompt_job: bool = True
    #: Consent was given while a prompt was out, in time.
    consented: bool = False
    #: What billing has taken for it.
    effects: int = 0

    def on(self, event: Event) -> bool:
        """Whether the event changes the charge."""
        follows = follow(self.state, event)
        changed = follows.state is not self.state
        self.state = follows.state
        return changed

    @property
    def ended(self) -> bool:
        return self.state in END_STATES


class Model:
    """All charges, and the time."""

    def __init__(self, pool: int) -> None:
        self.pool = pool
        self.now = 0.0
        self.charges: list[Charge] = []
        #: (phone, address) -> the charge whose hold it is.
        self.holds: dict[tuple[int, int], Charge] = {}

    def place(self, phone: int) -> tuple[int, bool] | None:
        """The address that a new charge gets, and whether it asks for a code."""
        uses = [(self.holds.get((phone, number)), number) for number in range(self.pool)]
        waiting = [u for u, _ in uses if u and u.state is State.AWAITING]
        free = [
            (u.charge_id if u else 0, number)
            for u, number in uses
            if u not in waiting
            and (u is None or u.created_at + LIFETIME_S + QUARANTINE_S <= self.now)
        ]
        if free:
            return min(free)[1], False
        held = [(u.charge_id, number) for u, number in uses if u and u not in waiting]
        return (min(held)[1], True) if held else None

    def create(self, charge_id: int, phone: int, address_no: int, code: str | None) -> Charge:
        charge = Charge(charge_id, phone, address_no, code, self.now)
        self.charges.append(charge)
        self.holds[phone, address_no] = charge
        return charge

    def alive(self, charge: Charge) -> bool:
        return self.now < charge.created_at + LIFETIME_S

    def reply(
        self, phone: int, address_no: int, verdict: str, number: str | None
    ) -> tuple[Effect, Charge | None]:
        """What an answer does."""
        charge = self.holds.get((phone, address_no))
        if charge is None:
            return Effect.STRAY, None
        if charge.state is State.AWAITING and self.alive(charge):
            right = number == charge.code if charge.code else number in (None, "25")
            if verdict == "yes" and charge.written and right:
                charge.on(Event.AGREED)
                charge.consented = True
                charge.confirmed_at = self.now
                return Effect.CONFIRMED, charge
            if verdict in ("no", "stop"):
                charge.on(Event.DECLINED)
                return Effect.DECLINED, charge
        effect = consequence(
            Verdict(verdict),
            number,
            Situation(
                charge.state,
                written=charge.written,
                alive=self.alive(charge),
                code=charge.code,
                major_number="25",
                reprompts=charge.reprompts,
                wrong_codes=charge.wrong_codes,
            ),
            reprompts_max=2,
            wrong_codes_max=3,
        )
        match effect:
            case Effect.REPROMPTED:
                charge.on(Event.UNCLEAR)
                charge.reprompts += 1
            case Effect.WRONG_CODE:
                charge.on(Event.WRONG_CODE)
                charge.wrong_codes += 1
                charge.reprompts = min(2, charge.reprompts + 1)
            case Effect.CODES_USED_UP:
                charge.on(Event.CODES_SPENT)
        return effect, charge

    def expire(self) -> set[int]:
        """Those whose time is over; their ids."""
        ended = set()
        for charge in self.charges:
            if charge.state is State.AWAITING and not self.alive(charge):
                charge.on(Event.TIME_UP if charge.written else Event.PROMPT_REFUSED)
                ended.add(charge.charge_id)
        return ended
