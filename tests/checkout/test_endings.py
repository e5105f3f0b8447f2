"""Every screen and every ending, in a real browser: on a phone and a desktop, in three languages.

Three browsers, one a language, have the same session open. What happens to it they learn live.
Each screen is photographed into build/screens and judged by axe, in the dark as well.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ppcd.charge.msisdn import Msisdn
from ppcd.charge.rules import END_STATES
from ppcd.checkout.phones import masked
from ppcd.checkout.wording import WORDS
from ppcd.store.failures import NotApplied
from ppcd.store.limits import SumLimits
from tests.billing.adapter_contract import Fault
from tests.browser import (
    LOCALES,
    SIZES,
    Browser,
    Page,
    a_browser,
    accessible,
    expect,
    photograph,
)
from tests.builders import Store
from tests.checkout.served import Served, served
from tests.checkout.world import World

pytestmark = pytest.mark.browser

GOLD = {"tariffs": ["gold-250"]}
#: As long as names of shops get.
MERCHANT = "Очень длинное название магазина игр"
SHOP = {
    "successUrl": "https://shop.example/paid",
    "cancelUrl": "https://shop.example/basket",
    "branding": {"name": MERCHANT, "color": "#ffd84d"},
}
PHONES = count(380975000001)


@pytest.fixture(scope="module")
def page_of() -> Iterator[dict[str, Page]]:
    """A page in each language, all in one browser."""
    with a_browser() as browser:
        yield {language: _page(browser, locale) for language, locale in LOCALES.items()}


def _page(browser: Browser, locale: str) -> Page:
    page = browser.new_context(locale=locale).new_page()
    page.set_default_timeout(15_000)
    return page


@pytest.fixture(scope="module")
def site(shared_database: Any) -> Iterator[Served]:
    world = World(Store(*shared_database))
    # One of what is sold here a day, and not two.
    world.steps.sum_limits = SumLimits(subscriber_day={"UAH": 4_999})
    with served(world) as site:
        yield site


@dataclass
class Visit:
    """Three people who look at one session."""

    site: Served
    pages: dict[str, Page]
    name: str
    session: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.site.world

    def open(self, path: str = "", *, status: int = 200) -> None:
        for page in self.pages.values():
            answer = page.goto(self.site.url + self.session + path)
            assert answer is not None
            assert answer.status == status

    def see(self, key: str, *, text: str = "", **fields: str) -> None:
        """Everybody reads that heading, and below it that text, in their language."""
        for language, page in self.pages.items():
            words = WORDS[language]
            title = words[key].format(**fields)
            expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
            if text:
                expect(page.get_by_text(words[text].format(**fields)).first).to_be_visible()

    def look(self) -> None:
        """The screen at both sizes in each language; in the dark, in one language a size."""
        dark = {"phone": "uk", "desktop": "en"}
        for language, page in self.pages.items():
            for size, (width, height) in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                photograph(page, f"pay-{self.name}-{language}-{size}")
                accessible(page)
                if dark[size] == language:
                    page.emulate_media(color_scheme="dark")
                    photograph(page, f"pay-{self.name}-{language}-{size}-dark")
                    accessible(page, colors_only=True)
                    page.emulate_media(color_scheme="light")


@pytest.fixture
def visit(
    site: Served, page_of: dict[str, Page], request: pytest.FixtureRequest
) -> Iterator[Visit]:
    """A word on the console, from the policy say, fails the test."""
    name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]").replace("_", "-")
    visit = Visit(site, page_of, name)
    with site.lock:
        site.world.phone = next(PHONES)
        site.world.steps.with_code = False

    def hear(message: Any) -> None:
        visit.said.append(str(getattr(message, "text", message)))

    for page in page_of.values():
        page.on("console", hear)
        page.on("pageerror", hear)
    yield visit
    for page in page_of.values():
        page.remove_listener("console", hear)
        page.remove_listener("pageerror", hear)
    # That a form was refused or a page is not there, browsers note by themselves.
    assert [said for said in visit.said if "the server responded with a status" not in said] == []


# -- before the text is sent


@pytest.mark.parametrize(
    ("asked", "path", "title"),
    [
        pytest.param({}, "", "choose_title", id="variant-1-tariffs"),
        pytest.param({}, "?offer=1", "number_title", id="variant-1-number"),
        pytest.param({"variant": 2}, "", "number_title", id="variant-2"),
    ],
)
def test_form(visit: Visit, asked: dict[str, Any], path: str, title: str) -> None:
    with visit.site.lock:
        visit.session = visit.world.opened(**SHOP, **asked)
    visit.open(path)
    visit.see(title)
    visit.look()


def test_known_number(visit: Visit) -> None:
    with visit.site.lock:
        visit.session = visit.world.opened(phoneNumber=f"+{visit.world.phone}", **GOLD)
    visit.open()
    visit.see("known_title", number=_masked(visit))
    visit.look()


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        pytest.param("0971", "error_number", id="wrong-format"),
        pytest.param("+48 501 234 567", "error_operator", id="other-operator"),
    ],
)
def test_number(visit: Visit, typed: str, problem: str) -> None:
    with visit.site.lock:
        visit.session = visit.world.opened(**GOLD)
    visit.open()
    for language, page in visit.pages.items():
        page.locator("#phone").press_sequentially(typed)
        page.get_by_role("button", name=WORDS[language]["pay"], exact=True).click()
    _problem(visit, problem)
    for page in visit.pages.values():
        expect(page.locator("#phone")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#phone")).to_be_focused()
    visit.look()


def test_no_tariff(visit: Visit) -> None:
    with visit.site.lock:
        visit.session = visit.world.opened(variant=2)
    visit.open()
    for language, page in visit.pages.items():
        page.evaluate("document.querySelector('input[type=radio]:checked').checked = false")
        page.locator("#phone").fill(f"+{visit.world.phone}")
        page.get_by_role("button", name=WORDS[language]["pay"], exact=True).click()
    _problem(visit, "error_offer")
    for page in visit.pages.values():
        # What was right is kept.
        expect(page.locator("#phone")).to_have_value(re.compile(r"\+380 97"))
        expect(page.locator("#phone")).not_to_have_attribute("aria-invalid", "true")
    visit.look()


def test_too_many_attempts_for_a_number(visit: Visit) -> None:
    with visit.site.lock:
        for _ in visit.world.steps.pool:
            visit.world.pay(visit.world.opened(**GOLD))
        visit.session = visit.world.opened(**GOLD)
        visit.world.pay(visit.session)
    visit.open()
    _problem(visit, "error_waiting")
    visit.look()


# -- while it goes on


@pytest.mark.parametrize(
    "with_code", [pytest.param(False, id="yes"), pytest.param(True, id="yes-and-code")]
)
def test_waiting(visit: Visit, *, with_code: bool) -> None:
    code = "_code" if with_code else ""
    with visit.site.lock:
        visit.world.steps.with_code = with_code
    _begin(visit, f"wait{code}_title")
    visit.see(f"wait{code}_title", text=f"wait{code}_text", number=_masked(visit))
    visit.look()


def test_debit_and_doubt(visit: Visit) -> None:
    _begin(visit)
    with visit.site.lock:
        gate = visit.world.steps.adapter.gate = Deferred()
        visit.world.steps.billing.faults.append(Fault.LOST_REQUEST)
        visit.world.answer()
    visit.see("debit_title", text="debit_text")
    visit.name = "debit"
    visit.look()
    with visit.site.lock:
        visit.world.steps.adapter.gate = None
        gate.callback(None)
    visit.see("doubt_title", text="doubt_text")
    visit.name = "doubt"
    visit.look()
    with visit.site.lock:
        visit.world.steps.pass_(120)
    visit.see("paid_title")


def test_not_known_whether_begun(visit: Visit) -> None:
    with visit.site.lock:
        visit.session = visit.world.opened(**GOLD)
        visit.world.steps.ids.failure = NotApplied("no ids")
        visit.world.pay(visit.session)
        visit.world.steps.ids.failure = None
    visit.open()
    visit.see("start_title", text="start_text")
    visit.look()


# -- how it ends


def _replies(text: str) -> Callable[[Visit], None]:
    return lambda visit: visit.world.answer(text)


def _too_late(visit: Visit) -> None:
    visit.world.steps.pass_(601)


def _cancels_elsewhere(visit: Visit) -> None:
    visit.world.post(visit.session + "/cancel")


def _not_delivered(visit: Visit) -> None:
    visit.world.steps.receipt(visit.world.charge())


def _refused(fault: Fault) -> Callable[[Visit], None]:
    def refuse(visit: Visit) -> None:
        visit.world.steps.billing.faults.append(fault)
        visit.world.answer()

    return refuse


def _over_our_limit(visit: Visit) -> None:
    """What was bought elsewhere meanwhile leaves too little of what a day allows."""
    steps, waiting = visit.world.steps, visit.world.charge()
    visit.world.pay(visit.world.opened(**GOLD))
    visit.world.answer()
    steps.answer(waiting, "ДА")


def _billing_away(visit: Visit) -> None:
    """Until it is too late to begin a debit."""
    steps = visit.world.steps
    steps.billing.down = True
    visit.world.answer()
    while visit.world.state() not in END_STATES:
        steps.pass_(60)
    steps.billing.down = False


@pytest.mark.parametrize(
    ("happens", "title", "text"),
    [
        pytest.param(_replies("ДА"), "paid_title", "back_shop", id="paid"),
        pytest.param(_replies("НЕТ"), "declined_title", "again", id="declined"),
        pytest.param(_too_late, "expired_title", "again", id="expired"),
        pytest.param(_cancels_elsewhere, "cancelled_title", "again", id="cancelled"),
        pytest.param(_not_delivered, "undeliverable_title", "undeliverable_text", id="undelivered"),
        pytest.param(_refused(Fault.INSUFFICIENT), "funds_title", "funds_text", id="insufficient"),
        pytest.param(_refused(Fault.BARRED), "barred_title", "barred_text", id="barred"),
        pytest.param(
            _refused(Fault.NO_SUCH_SUBSCRIBER), "unknown_title", "barred_text", id="unknown"
        ),
        pytest.param(_over_our_limit, "limit_title", "limit_text", id="limit"),
        pytest.param(_refused(Fault.OVER_LIMIT), "limit_title", "limit_text", id="billings-limit"),
        pytest.param(_refused(Fault.REJECTED), "rejected_title", "barred_text", id="rejected"),
        pytest.param(_billing_away, "unavailable_title", "unavailable_text", id="unavailable"),
    ],
)
def test_end(visit: Visit, happens: Callable[[Visit], None], title: str, text: str) -> None:
    _begin(visit)
    with visit.site.lock:
        happens(visit)
    visit.see(title, text=text, merchant=MERCHANT)
    paid = title == "paid_title"
    for language, page in visit.pages.items():
        for key in ("not_taken", "again"):
            said = page.get_by_text(WORDS[language][key], exact=True)
            expect(said).to_have_count(0 if paid else 1)
    visit.look()


# -- links that no longer lead anywhere


def test_expired_link(visit: Visit) -> None:
    with visit.site.lock:
        visit.session = visit.world.opened(**GOLD, **SHOP)
        visit.world.store.ahead(1801)
    visit.open()
    visit.see("gone_title", text="gone_text")
    visit.look()


def test_all_tries_used(visit: Visit) -> None:
    with visit.site.lock:
        visit.session = visit.world.opened(**GOLD, **SHOP)
        for after in range(5):
            visit.world.pay(visit.session, after=after)
            visit.world.answer("НЕТ")
    visit.open()
    visit.see("declined_title", text="many_text")
    visit.look()


def test_no_try_of_five_was_taken(visit: Visit) -> None:
    with visit.site.lock:
        pool, visit.world.steps.pool = visit.world.steps.pool, ()
        visit.session = visit.world.opened(**GOLD, **SHOP)
        for after in range(5):
            visit.world.pay(visit.session, after=after)
        visit.world.steps.pool = pool
    visit.open()
    visit.see("many_title", text="many_text")
    visit.look()


def test_paid_elsewhere(visit: Visit) -> None:
    with visit.site.lock:
        reference = f"order-{visit.world.phone}"
        visit.world.pay(visit.world.opened(**GOLD, referenceCode=reference))
        visit.session = visit.world.opened(**GOLD, referenceCode=reference)
        visit.world.pay(visit.session)
    visit.open()
    visit.see("taken_title", text="taken_text")
    visit.look()


def test_no_such_page(visit: Visit) -> None:
    visit.session = "/pay/nowhere"
    visit.open(status=404)
    visit.see("none_title", text="none_text")
    visit.look()


def test_store_away(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(name: str) -> None:
        raise NotApplied("the database is away")

    with visit.site.lock:
        visit.session = visit.world.opened(**GOLD)
    monkeypatch.setattr(visit.world.checkout._pages._sessions, "find", away)
    visit.open(status=503)
    visit.see("failed_title", text="error_busy")
    visit.look()


def _begin(visit: Visit, title: str = "wait_title") -> None:
    """Everybody waits for the answer to the text."""
    with visit.site.lock:
        visit.session = visit.world.opened(**GOLD, **SHOP)
        visit.world.pay(visit.session)
    visit.open()
    visit.see(title)


def _masked(visit: Visit) -> str:
    return masked(Msisdn(visit.world.phone))


def _problem(visit: Visit, key: str) -> None:
    for language, page in visit.pages.items():
        said = WORDS[language][key].format(example="067 123 45 67")
        expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible()
