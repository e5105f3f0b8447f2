"""A session's life: opened by a partner, paid in tries, told about at its end.

Owns that a session pays at most once and how its charges are named. A charge is asked of `flow` as
a partner would ask, with a correlator made of session and try: asked again, it is the same charge.
"""

import hashlib
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, assert_never

from ppcd.charge.money import Money, to_decimal_text
from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import State
from ppcd.checkout.offers import Offer, read_offers
from ppcd.flow import request as flow
from ppcd.flow.view import ChargeView
from ppcd.store import checkout as store
from ppcd.store.batcher import Batcher
from ppcd.store.checkout import NewSession, SessionRow, Try
from ppcd.store.lanes import Runner
from ppcd.store.limits import OverLimit
from ppcd.store.subscribers import Spared, Why

#: Charges that one session may ask for: each sends a text to somebody's phone.
TRIES_MAX: Final = 5
_ID_OCTETS: Final = 20
_OWNER_BELOW: Final = 1 << 62

#: Ends without money, after which another try may begin.
FAILED: Final = frozenset(
    {State.DENIED, State.DECLINED, State.EXPIRED, State.CANCELLED, State.UNDELIVERABLE}
)


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """A session as a page needs it. `charge` is the current try's, if it has come to one."""

    id: str
    row: SessionRow
    offers: tuple[Offer, ...]
    charge: ChargeView | None

    @property
    def partner(self) -> flow.Partner:
        row = self.row
        return flow.Partner(
            row.partner_id, row.partner, row.merchant, row.partner_language, row.webhook_url
        )

    @property
    def merchant(self) -> str:
        return self.row.brand_name or self.row.merchant

    @property
    def pending(self) -> bool:
        """A try was begun and nobody knows yet whether it made a charge."""
        row = self.row
        return row.tries > 0 and row.try_charge_id is None and row.try_refused is None

    @property
    def offer(self) -> Offer | None:
        """What the current try is for."""
        chosen = self.row.try_offer
        return None if chosen is None else self.offers[chosen]

    @property
    def may_try(self) -> bool:
        """Whether a new try may begin. The store has the last word."""
        row = self.row
        if row.expired or row.tries >= TRIES_MAX or row.try_refused == "reference_taken":
            return False
        return row.tries == 0 or row.try_refused is not None or self.failed

    @property
    def failed(self) -> bool:
        """The current try's charge ended without money."""
        return self.charge is not None and self.charge.state in FAILED

    @property
    def known(self) -> Msisdn | None:
        """The number that the partner passed."""
        return None if self.row.msisdn is None else Msisdn(self.row.msisdn)

    @property
    def tried(self) -> Msisdn | None:
        """The number of the current try."""
        return None if self.row.try_msisdn is None else Msisdn(self.row.try_msisdn)

    @property
    def reference(self) -> str:
        """The referenceCode of the current try's charge."""
        return reference_of(self.row.reference, self.row.tries)


def reference_of(reference: str, number: int) -> str:
    """The first try has the session's own reference, each later one a suffix."""
    return reference if number <= 1 else f"{reference}-{number}"


class Sessions:
    """The sessions of all partners."""

    def __init__(
        self, *, lanes: Runner, requests: flow.Requests, random_below: Callable[[int], int]
    ) -> None:
        """`random_below` is cryptographic: whoever knows a session's id sees its page."""
        self._lanes = lanes
        self._requests = requests
        self._random_below = random_below
        self._read: Batcher[bytes, SessionRow | None] = Batcher(lanes, store.read, size_max=200)

    def new_id(self) -> str:
        """160 random bits, in small letters and digits."""
        octets = self._random_below(1 << (8 * _ID_OCTETS)).to_bytes(_ID_OCTETS, "big")
        return b32encode(octets).decode("ascii").lower()

    async def open(self, new: NewSession) -> Any:
        """Register a session; when it expires."""
        return await self._lanes.run(store.open_session, new)

    async def find(self, session: str) -> Session | None:
        """The session of that id, with its charge."""
        [row] = await self._read.submit([store.id_hash(session)])
        return None if row is None else await self._with_charge(session, row)

    async def pay(
        self, session: Session, *, after: int, offer: int, msisdn: Msisdn, language: str
    ) -> tuple[Session, flow.CreateAnswer | None]:
        """Ask for the charge of a new try, or go on with one that is pending.

        Gives the session as it is then, and flow's answer when this call was the one to ask.
        """
        owner = 1 + self._random_below(_OWNER_BELOW)
        hashed = session.row.id_hash
        if session.pending:
            row = await self._lanes.run(store.join, hashed, number=session.row.tries)
            mine = row is not None and row.try_owner == store.SHARED
        else:
            new = Try(offer=offer, msisdn=msisdn.as_int, language=language, owner=owner)
            row = await self._lanes.run(store.begin, hashed, new, after=after, tries_max=TRIES_MAX)
            mine = row is not None and row.try_owner == owner
        assert row is not None, "a session that was there a moment ago is kept for days"
        current = Session(session.id, row, session.offers, None)
        if not (mine and current.pending):
            return await self._with_charge(session.id, row), None
        answer = await self._ask(current)
        await self._record(current, answer)
        again = await self.find(session.id)
        return again or current, answer

    async def cancel(self, session: Session) -> None:
        """End a try that nobody has answered; one that was answered goes on."""
        if session.charge is not None:
            await self._requests.cancel(session.partner, session.charge.charge_id)

    async def _with_charge(self, session: str, row: SessionRow) -> Session:
        found = Session(session, row, read_offers(row.offers), None)
        if row.try_charge_id is None:
            return found
        charge = await self._requests.get(found.partner, row.try_charge_id)
        return Session(session, row, found.offers, charge)

    async def _ask(self, session: Session) -> flow.CreateAnswer:
        order = _order(session)
        return await self._requests.create(session.partner, order)

    async def _record(self, session: Session, answer: flow.CreateAnswer) -> None:
        row = session.row
        why = ""
        match answer:
            case flow.Created(charge) | flow.Replayed(charge):
                await self._lanes.run(
                    store.made, row.id_hash, number=row.tries, charge_id=charge.charge_id
                )
            case flow.ReferenceTaken():
                why = "reference_taken"
            case flow.NoFreeAddress():
                why = "no_free_address"
            case flow.NotServed():
                why = "not_served"
            case Spared():
                # Who is blocked is not told so: anybody can type a number into a page.
                why = "not_served" if answer.why is Why.BLOCKED else "no_free_address"
            case OverLimit():
                why = "over_limit"
            case flow.Busy() | flow.CorrelatorTaken() | flow.CannotReserve():
                # The last is never said to the page's charges, which are of one step. Else nobody
                # knows; the next press goes on with this very try.
                pass
            case other:
                assert_never(other)
        if why:
            await self._lanes.run(
                store.refuse, row.id_hash, number=row.tries, owner=row.try_owner or 0, why=why
            )


def _order(session: Session) -> flow.Order:
    """What the current try asks for: the same whoever makes it."""
    row, offer, msisdn = session.row, session.offer, session.tried
    assert offer is not None
    assert msisdn is not None
    correlator = f"checkout-{row.id_hash.hex()[:40]}-{row.tries}"
    return flow.Order(
        msisdn=msisdn,
        money=offer.money,
        description=offer.description,
        reference=session.reference,
        correlator=correlator,
        merchant=row.brand_name,
        language=row.try_language,
        product_id=offer.product,
        sink=None,
        sink_token=None,
        document=_document(session, offer, msisdn, correlator),
        fingerprint=hashlib.sha256(correlator.encode()).digest(),
    )


def _document(session: Session, offer: Offer, msisdn: Msisdn, correlator: str) -> dict[str, Any]:
    """The amountTransaction that a partner would have sent for this."""
    meta = {"merchantName": session.merchant}
    if offer.product is not None:
        meta["productId"] = offer.product
    return {
        "phoneNumber": "+" + msisdn.digits,
        "clientCorrelator": correlator,
        "referenceCode": session.reference,
        "paymentAmount": {
            "chargingInformation": {
                "amount": _number(offer.money),
                "currency": offer.money.currency,
                "description": offer.description,
            },
            "chargingMetaData": meta,
        },
    }


def _number(money: Money) -> Decimal:
    return Decimal(to_decimal_text(money))
