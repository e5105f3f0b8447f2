"""What a session sells: names and prices, as they were promised when it was opened."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ppcd.charge.money import Money


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that can be chosen. `product` is the tariff's name, None for a free amount."""

    product: str | None
    money: Money
    description: str


def write_offers(offers: Iterable[Offer]) -> str:
    """Offers as the store keeps them."""
    return json.dumps(
        [
            {
                "product": offer.product,
                "amount_minor": offer.money.amount_minor,
                "currency": offer.money.currency,
                "description": offer.description,
            }
            for offer in offers
        ],
        ensure_ascii=False,
    )


def read_offers(text: str) -> tuple[Offer, ...]:
    """What `write_offers` wrote."""
    return tuple(
        Offer(
            entry["product"], Money(entry["amount_minor"], entry["currency"]), entry["description"]
        )
        for entry in json.loads(text)
    )
