"""What the configuration says now, in the words of the steps; replaced whole by a reload."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from ppcd.charge.money import Money, from_decimal
from ppcd.charge.reading import Reader
from ppcd.charge.texts import Kind, Texts
from ppcd.config import Settings
from ppcd.config.sections import Route
from ppcd.flow.pumping import PumpingRules
from ppcd.flow.reply import ReplyRules
from ppcd.flow.request import ChargeRules, RouteRules
from ppcd.store.limits import PartnerLimit, SumLimits
from ppcd.store.pumping import NOBODY, Slow
from ppcd.store.rows import Address
from ppcd.store.subscribers import Limits

DAY_S: Final = 86_400


class InForce:
    """Settings and what is made of them. `pools` comes from the database and stays."""

    def __init__(self, settings: Settings) -> None:
        self._pools: Mapping[str, tuple[Address, ...]] = {}
        self._own_limits: Mapping[tuple[int, str], PartnerLimit] = {}
        self._slow: Slow = NOBODY
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Put other settings in force."""
        charges, limits = settings.charges, settings.limits
        self.settings = settings
        self.charge_rules = ChargeRules(
            lifetime_s=charges.lifetime_s,
            debit_start_s=charges.debit_start_s,
            language=charges.language,
            limits=Limits(
                per_hour_max=limits.prompts_per_hour_max,
                per_day_max=limits.prompts_per_day_max,
                open_max=limits.open_max,
            ),
            sum_limits=SumLimits(
                zone=charges.time_zone,
                charge=_minor(limits.charge_max),
                subscriber_day=_minor(limits.subscriber_day_max),
                subscriber_month=_minor(limits.subscriber_month_max),
                partner_day=_minor(limits.partner_day_max),
                partner_month=_minor(limits.partner_month_max),
                partners=self._own_limits,
            ),
            slow=self._slow,
        )
        self.pumping_rules = PumpingRules(
            agreed_min=limits.agreed_min,
            window_s=limits.agreed_window_s,
            asked_min=limits.agreed_asked_min,
            per_minute=limits.slowed_per_minute_max,
        )
        self.reply_rules = ReplyRules(
            reader=Reader(settings.word_table()),
            reprompts_max=charges.reprompts_max,
            wrong_codes_max=charges.wrong_codes_max,
            stop_blocks_s=limits.stop_blocks_days * DAY_S,
        )
        self._texts = _texts(settings)
        self._make_routes()

    def use_pools(self, pools: Mapping[str, tuple[Address, ...]]) -> None:
        """The reply addresses with their numbers, as registered."""
        self._pools = pools
        self._make_routes()

    def use_partner_limits(self, own: Mapping[tuple[int, str], PartnerLimit]) -> None:
        """Limits of partners' own, as registered."""
        self._own_limits = own
        limits = replace(self.charge_rules.sum_limits, partners=own)
        self.charge_rules = replace(self.charge_rules, sum_limits=limits)

    def use_slow(self, slow: Slow) -> None:
        """Partners that ask many in vain, as found."""
        self._slow = slow
        self.charge_rules = replace(self.charge_rules, slow=slow)

    def texts(self, partner: str) -> Texts:
        """The wording for a partner's subscribers."""
        return self._texts.get(partner) or self._texts[""]

    @property
    def horizon_s(self) -> float:
        """When a doubt becomes a case for people."""
        return self.settings.charges.in_doubt_horizon_s

    @property
    def lapse_s(self) -> float:
        """How long a partner may take to decide about what is reserved."""
        return self.settings.charges.reservation_s

    @property
    def refund_start_s(self) -> float:
        """For how long a refund is tried that billing does not take."""
        return self.settings.charges.refund_start_s

    def _make_routes(self) -> None:
        self.routes = tuple(
            RouteRules(
                name=name,
                prefixes=tuple(route.msisdn_prefixes),
                pool=self._pools.get(name, ()),
                billing=route.billing,
                with_code=_CodePolicy(route),
                quarantine_s=route.quarantine_s,
                reserving=self.settings.billing[route.billing].abilities.abilities().reserving,
                by_pin=route.two_step_consent == "pin",
            )
            for name, route in self.settings.routes.items()
        )
        self.address_numbers = {
            (link, address.address): address.address_no
            for name, route in self.settings.routes.items()
            for link in route.links
            for address in self._pools.get(name, ())
        }


def _minor(amounts: Mapping[str, Decimal]) -> dict[str, int]:
    return {
        currency: from_decimal(amount, currency).amount_minor
        for currency, amount in amounts.items()
    }


class _CodePolicy:
    """Whether a charge of an amount asks for a code."""

    def __init__(self, route: Route) -> None:
        self._policy = route.code_policy
        self._above = {
            currency: from_decimal(amount, currency)
            for currency, amount in route.code_above.items()
        }

    def __call__(self, money: Money) -> bool:
        if self._policy != "above":
            return self._policy == "always"
        limit = self._above.get(money.currency)
        return limit is None or money.exceeds(limit)


def _texts(settings: Settings) -> dict[str, Texts]:
    """Wording by partner; the empty name is for all others."""
    general = _by_kind(settings.texts.by_language())
    made = {"": Texts(general)}
    for partner, own in settings.texts.partners.items():
        theirs = _by_kind({str(language): dict(kinds) for language, kinds in own.items()})
        merged = {
            language: {**general.get(language, {}), **theirs.get(language, {})}
            for language in {*general, *theirs}
        }
        made[partner] = Texts(merged)
    return made


def _by_kind(by_language: Mapping[str, Mapping[str, str]]) -> dict[str, dict[Kind, str]]:
    return {
        language: {Kind(kind): template for kind, template in kinds.items()}
        for language, kinds in by_language.items()
    }
