"""What no single section can see: names that must exist, pools that overlap, texts that do not fit.

Each check runs on the parts that are right, and says all it finds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ppcd.charge.money import AmountError, UnknownCurrency, from_decimal
from ppcd.charge.reading import Reader, UnreadableWord, WordsCollide
from ppcd.charge.texts import Kind, lint
from ppcd.config.bind import status_number
from ppcd.config.document import Document
from ppcd.config.links import Link
from ppcd.config.secret import Secret
from ppcd.config.sections import Route, Templates
from ppcd.config.settings import Settings
from ppcd.smpp import segment_count
from ppcd.smpp.status import Status

__all__ = ["Complaint", "check"]

#: SMPP 3.4, 4.1.1: a password is a C-octet string of at most 9 octets with its end.
SMPP_PASSWORD_LENGTH_MAX = 8
#: The keys of `limits` that are amounts.
BY_SUM = (
    "charge_max",
    "subscriber_day_max",
    "subscriber_month_max",
    "partner_day_max",
    "partner_month_max",
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something wrong at a place; `harmless` if the service can run with it."""

    loc: tuple[int | str, ...]
    message: str
    harmless: bool = False


def check(settings: Settings, document: Document, secrets: Mapping[str, Secret]) -> list[Complaint]:
    """All complaints about settings of which some sections may be missing."""
    routes = getattr(settings, "routes", {})
    links = getattr(settings, "links", {})
    found = [*_links(links, secrets), *_pools(routes), *_served(routes)]
    for name, route in routes.items():
        found += _route(name, route, links, document)
    found += _limits(settings)
    found += _texts(settings)
    found += _words(settings)
    found += _sinks(settings)
    found += _hints(settings, routes, links)
    return found


def _links(links: Mapping[str, Link], secrets: Mapping[str, Secret]) -> Iterator[Complaint]:
    for name, link in links.items():
        loc = ("links", name)
        if link.password_file is None and link.password_credential is None:
            yield Complaint(loc, "must have password_file or password_credential")
        if link.in_the_clear:
            said = "is a public address and there is no tls: passwords and subscribers' numbers "
            said += "would travel readable; add tls, or plaintext_ok: true for a VPN"
            yield Complaint((*loc, "host"), said)
        secret = secrets.get(f"links.{name}.password")
        if secret is not None and len(secret.reveal().encode()) > SMPP_PASSWORD_LENGTH_MAX:
            said = f"holds more than the {SMPP_PASSWORD_LENGTH_MAX} characters that SMPP allows"
            key = "password_file" if link.password_file else "password_credential"
            yield Complaint((*loc, key), said)
        if link.not_now_status not in Status.__members__ or link.not_now_status == "ESME_ROK":
            said = "must be the name of a command_status such as ESME_RSYSERR or ESME_RX_T_APPN"
            yield Complaint((*loc, "not_now_status"), f"{said}, got {link.not_now_status!r}")
        for key in link.advice:
            try:
                status_number(key)
            except ValueError:
                said = "must have command_status names or numbers as keys: ESME_RX_T_APPN, 0x450"
                yield Complaint((*loc, "advice", key), said)


def _sinks(settings: Settings) -> Iterator[Complaint]:
    """A sink that is taken and can never be told would fail for three days before anybody knows."""
    api = getattr(settings, "partner_api", None)
    webhooks = getattr(settings, "webhooks", None)
    if api is None or webhooks is None:
        return
    for host in sorted(set(api.http_sink_hosts) - set(webhooks.http_hosts)):
        said = f"takes sinks at {host} that webhooks.http_hosts does not let out: add it there"
        yield Complaint(("partner_api", "http_sink_hosts"), said)


def _route(
    name: str, route: Route, links: Mapping[str, Link], document: Document
) -> Iterator[Complaint]:
    loc = ("routes", name)
    unknown = False
    for index, link in enumerate(route.links):
        if not document.has(("links", link)):
            unknown = True
            yield Complaint((*loc, "links", index), f"there is no link {link!r} under links")
    if not document.has(("billing", route.billing)):
        yield Complaint((*loc, "billing"), f"there is no {route.billing!r} under billing")
    carrying = [links[link] for link in route.links if link in links]
    if not unknown and len(carrying) == len(route.links):
        if not any(link.sends for link in carrying):
            yield Complaint((*loc, "links"), "none of these links can send: all are receivers")
        if not any(link.receives and link.mo_trusted for link in carrying):
            said = "none of these links receives answers that may confirm (bind, mo_trusted)"
            yield Complaint((*loc, "links"), said)
    if route.code == "above" and not route.code_above:
        yield Complaint((*loc, "code"), "is above, so code_above must say which amounts")
    if route.code != "above" and route.code_above:
        yield Complaint((*loc, "code_above"), "counts only with code: above")
    yield from _amounts((*loc, "code_above"), route.code_above)


def _amounts(loc: tuple[int | str, ...], amounts: Mapping[str, Decimal]) -> Iterator[Complaint]:
    for currency, amount in amounts.items():
        try:
            from_decimal(amount, currency)
        except (AmountError, UnknownCurrency) as exc:
            yield Complaint((*loc, currency), str(exc))


def _limits(settings: Settings) -> Iterator[Complaint]:
    limits = getattr(settings, "limits", None)
    if limits is None:
        return
    for key in BY_SUM:
        yield from _amounts(("limits", key), getattr(limits, key))
    for whose in ("subscriber", "partner"):
        day, month = getattr(limits, f"{whose}_day_max"), getattr(limits, f"{whose}_month_max")
        for currency in sorted(set(day) & set(month)):
            if day[currency] > month[currency]:
                said = "is above the month's, so it never holds"
                yield Complaint(("limits", f"{whose}_day_max", currency), said, harmless=True)


def _pools(routes: Mapping[str, Route]) -> Iterator[Complaint]:
    owners: dict[str, str] = {}
    for name, route in routes.items():
        taken: dict[str, list[str]] = {}
        for address in route.pool.addresses():
            owner = owners.setdefault(address, name)
            if owner != name:
                taken.setdefault(owner, []).append(address)
        for owner, addresses in taken.items():
            said = f"{addresses[0]} to {addresses[-1]} are in the pool of route {owner!r} too"
            if len(addresses) == 1:
                said = f"{addresses[0]} is in the pool of route {owner!r} too"
            yield Complaint(("routes", name, "pool"), f"{said}: an answer would have two meanings")


def _served(routes: Mapping[str, Route]) -> Iterator[Complaint]:
    """Two routes for the same subscribers would leave the choice to chance."""
    owners: dict[str, str] = {}
    for name, route in routes.items():
        for prefix in route.msisdn_prefixes or ("",):
            owner = owners.setdefault(prefix, name)
            if owner != name:
                what = f"numbers beginning with {prefix}" if prefix else "all numbers"
                loc = ("routes", name, "msisdn_prefixes")
                yield Complaint(loc, f"route {owner!r} serves {what} too")


def _texts(settings: Settings) -> Iterator[Complaint]:
    texts = getattr(settings, "texts", None)
    if texts is None:
        return
    for language, templates in texts.by_language().items():
        yield from _templates(("texts", language), language, templates)
    for partner, by_language in texts.partners.items():
        for language, templates in by_language.items():
            loc = ("texts", "partners", partner, language)
            yield from _templates(loc, language, templates)


def _templates(loc: tuple[str, ...], language: str, templates: Templates) -> Iterator[Complaint]:
    for name, template in templates.items():
        if name not in {kind.value for kind in Kind}:
            known = ", ".join(kind.value for kind in Kind)
            yield Complaint((*loc, name), f"unknown kind of text; known are {known}")
            continue
        for problem in lint(template, Kind(name), language, segment_count):
            yield Complaint((*loc, name), problem.removesuffix("."))


def _words(settings: Settings) -> Iterator[Complaint]:
    if getattr(settings, "words", None) is None:
        return
    try:
        Reader(settings.word_table())
    except (UnreadableWord, WordsCollide) as exc:
        yield Complaint(("words",), str(exc))


def _not_found(settings: Settings) -> Iterator[Complaint]:
    """A 404 that is believed whoever answered it."""
    said = (
        "a wrong URL is answered 404 too, and each doubt then ends as not debited; leave this out "
    )
    said += "where the body says it, and describe that in not_found"
    for name, billing in getattr(settings, "billing", {}).items():
        for loc, answer in (
            (("answer",), getattr(billing, "answer", None)),
            (("query", "answer"), getattr(getattr(billing, "query", None), "answer", None)),
        ):
            if 404 in getattr(answer, "not_found_statuses", ()):
                at = ("billing", name, *loc, "not_found_statuses")
                yield Complaint(at, said, harmless=True)


def _hints(
    settings: Settings, routes: Mapping[str, Route], links: Mapping[str, Link]
) -> Iterator[Complaint]:
    """Allowed, and probably not meant."""
    carried = {link for route in routes.values() for link in route.links}
    for name in links:
        if name not in carried:
            yield Complaint(("links", name), "no route uses this link", harmless=True)
    billed = {route.billing for route in routes.values()}
    for name in getattr(settings, "billing", {}):
        if name not in billed:
            yield Complaint(("billing", name), "no route uses this billing", harmless=True)
    yield from _not_found(settings)
    charges = getattr(settings, "charges", None)
    for name, route in routes.items():
        loc = ("routes", name, "quarantine_s")
        if charges is not None and route.quarantine_s < charges.lifetime_s:
            said = "is shorter than a charge's lifetime: old answers may meet new charges"
            yield Complaint(loc, said, harmless=True)
        if route.pool.size == 1 and route.code == "never":
            said = "a pool of one without codes serves a phone once in each quarantine"
            yield Complaint(("routes", name, "code"), said, harmless=True)
    operations = getattr(settings, "operations", None)
    if operations is not None and not _is_loopback(operations.listen):
        said = "is not loopback: metrics and health are open to whoever reaches it"
        yield Complaint(("operations", "listen"), said, harmless=True)


def _is_loopback(host_port: str) -> bool:
    host = host_port.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
