"""The payment page in a real browser, on a real node: every flow, and what a browser lives through.

How each ending looks is seen in `test_endings`; here they come from the phone and from billing.
"""

import base64
import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest

from ppcd.sim.signatures import result_is_ours
from tests.browser import (
    AXE,
    LOCALES,
    SIZES,
    Browser,
    FrameLocator,
    Page,
    a_browser,
    expect,
    photograph,
)
from tests.node.world import World, ask, wait_for
from tests.postgres import query

pytestmark = pytest.mark.browser

#: What each asks for; a known number comes with it.
FLOWS: dict[str, dict[str, Any]] = {
    "variant 1": {},
    "variant 2": {"variant": 2},
    "known": {"tariffs": ["gold-500"]},
}
YES = {"uk": "ТАК", "ru": "ДА", "en": "YES"}
ALL = ["gold-250", "gold-500", "gold-1000"]
PHONES = count(380972000001)
PROMPTS = {
    "uk": "Для підтвердження оплати надішліть ТАК у відповідь",
    "ru": "Для подтверждения оплаты, отправьте ДА в ответ",
    "en": "To confirm the payment, reply YES to the text",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("checkout"), billing_timeout_s=1) as world:
        for gold, amount in ((250, "25.00"), (500, "50.00"), (1000, "100.00")):
            world.node.run_command(
                *("tariff", "add", "gamex", f"gold-{gold}", "--amount", amount),
                *("--currency", "UAH", "--description", f"{gold} gold"),
            )
        world.node.start()
        yield world


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as browser:
        yield browser


class Buyer:
    """A person with the page open and a phone in the hand."""

    def __init__(self, world: World, page: Page, *, language: str, size: str = "phone") -> None:
        self.world, self.page, self.language, self.size = world, page, language, size
        self.number = str(next(PHONES))
        self.said: list[str] = []
        #: Paths that the page asked for.
        self.asked: list[str] = []
        self._hears: list[tuple[Any, Any]] = [
            ("console", lambda message: self.said.append(message.text)),
            ("pageerror", lambda error: self.said.append(str(error))),
            ("request", lambda request: self.asked.append(urlsplit(request.url).path)),
        ]
        self._heard = page
        for event, hear in self._hears:
            page.on(event, hear)

    def session(self, **wanted: Any) -> str:
        """A session's URL."""
        wanted.setdefault("tariffs", ALL)
        headers = {"Authorization": f"Bearer {self.world.partner.key}"}
        port = self.world.node.partner_port
        got = ask(port, "POST", "/checkout/v1/sessions", wanted, headers=headers)
        assert got.status == 201, got.body
        url: str = got.json["url"]
        return url

    def opens(self, **wanted: Any) -> str:
        url = self.session(**wanted)
        self.page.goto(url)
        return url

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def types(self, number: str | None = None) -> None:
        self.page.locator("#phone").press_sequentially(number or "0" + self.number[3:])

    def sees(
        self, title: str | re.Pattern[str], *, where: Page | FrameLocator | None = None
    ) -> None:
        heading = (where or self.page).get_by_role("heading", name=title)
        expect(heading).to_be_visible()

    def buys(self, flow: str, where: Page | FrameLocator) -> None:
        """All that is asked for, up to the wait for the answer."""
        if flow == "variant 1":
            where.get_by_role("button", name=CHOOSE[self.language]).click()
        if flow == "variant 1":
            expect(where.locator("#phone")).to_be_focused()
        if flow == "variant 2":
            # Who is read to must not be put behind what there is to choose.
            expect(where.locator("#phone")).not_to_be_focused()
            where.get_by_label("500 gold").check()
        if flow != "known":
            where.locator("#phone").press_sequentially("0" + self.number[3:])
        where.get_by_role("button", name=PAY[self.language], exact=True).click()
        self.sees(PROMPTS[self.language], where=where)

    def answers(self, text: str = "") -> None:
        wait_for("the prompt", lambda: self.world.messages(self.number))
        self.world.reply(self.number, text or YES[self.language])

    def has_left(self) -> None:
        """A word on the console, from the policy say, fails the test."""
        for event, hear in self._hears:
            self._heard.remove_listener(event, hear)
        # The browser notes a refused form, and that it leaves the focus in a frame to the page.
        expected = re.compile("422|Blocked autofocusing")
        assert [word for word in self.said if not expected.search(word)] == []


Enter = Callable[..., Buyer]


@pytest.fixture
def enter(browser: Browser, world: World) -> Iterator[Enter]:
    """A browser of one's own."""
    buyers: list[Buyer] = []

    def begin(size: str = "phone", language: str = "ru", **options: Any) -> Buyer:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, locale=LOCALES[language], **options
        )
        buyers.append(Buyer(world, context.new_page(), language=language))
        return buyers[-1]

    yield begin
    for buyer in buyers:
        buyer.page.context.close()
        buyer.has_left()


@pytest.fixture(scope="module")
def pages(browser: Browser) -> dict[tuple[str, str], Page]:
    """One in each language at each size."""
    return {
        (language, size): browser.new_context(
            viewport={"width": width, "height": height}, locale=locale
        ).new_page()
        for language, locale in LOCALES.items()
        for size, (width, height) in SIZES.items()
    }


@pytest.fixture
def buyers(world: World, pages: dict[tuple[str, str], Page]) -> Iterator[list[Buyer]]:
    """Somebody in each language at each size. They walk side by side: most of it is waiting."""
    buyers = [
        Buyer(world, page, language=language, size=size) for (language, size), page in pages.items()
    ]
    yield buyers
    for buyer in buyers:
        buyer.page.goto("about:blank")
        buyer.has_left()


def test_axe_is_there() -> None:
    if not AXE.exists() and os.environ.get("CI") != "true":
        pytest.skip("axe: scripts/install-peers has not put axe-core into build/peers")
    assert AXE.exists()


# -- the flows, at both sizes, in three languages

CHOOSE = {"uk": "Обрати 500 gold", "ru": "Выбрать 500 gold", "en": "Choose 500 gold"}
NUMBER = {
    "uk": "Для оплати введіть номер Вашого мобільного телефону",
    "ru": "Для оплаты введите номер Вашего мобильного телефона",
    "en": "Enter your mobile phone number to pay",
}
PAY = {"uk": "Оплатити", "ru": "Оплатить", "en": "Pay"}
CLOSE = {"uk": "Закрити", "ru": "Закрыть", "en": "Close"}
PAID = {"uk": "Послугу оплачено", "ru": "Услуга оплачена", "en": "Paid"}
KNOWN = {"uk": "Оплата з номера", "ru": "Оплата с номера", "en": "Pay from"}
DECLINED = {
    "uk": "Ви відмовилися від оплати",
    "ru": "Вы отказались от оплаты",
    "en": "You declined the payment",
}


def test_variant_1_is_three_steps_to_a_paid_service(buyers: list[Buyer]) -> None:
    for buyer in buyers:
        buyer.opens(successUrl="https://shop.example/paid", branding={"name": "GameX"})
        buyer.press(CHOOSE[buyer.language])
        field = buyer.page.get_by_label(NUMBER[buyer.language])
        expect(field).to_be_focused()
        buyer.types()
        number = buyer.number
        expect(field).to_have_value(f"0{number[3:5]} {number[5:8]} {number[8:10]} {number[10:]}")
        buyer.press(PAY[buyer.language])
    for buyer in buyers:
        buyer.sees(PROMPTS[buyer.language])
        buyer.answers()
    for buyer in buyers:
        buyer.sees(PAID[buyer.language])
        expect(buyer.page.get_by_role("status")).to_have_text(PAID[buyer.language])
        back = buyer.page.get_by_role("link", name="GameX").get_attribute("href") or ""
        assert back.startswith("https://shop.example/paid?ppcdSession=")
        assert "ppcdStatus=succeeded" in back
        # It was told, and had not to ask.
        asked = [path for path in buyer.asked if path.endswith(("/events", "/state"))]
        assert [path.rpartition("/")[2] for path in asked] == ["events"]


def test_variant_2_is_two_steps(buyers: list[Buyer]) -> None:
    for buyer in buyers:
        buyer.opens(variant=2, cancelUrl="https://shop.example/basket")
        buyer.page.get_by_label("1000 gold").check()
        buyer.types()
        buyer.press(PAY[buyer.language])
    for buyer in buyers:
        buyer.sees(PROMPTS[buyer.language])
        buyer.answers()
    for buyer in buyers:
        buyer.sees(PAID[buyer.language])
        assert buyer.world.account(buyer.number)["balance_minor"] == 90_000


def test_a_known_number_is_one_press(buyers: list[Buyer]) -> None:
    color = {"name": "Читай-город", "color": "#ffd84d"}
    for buyer in buyers:
        buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}", branding=color)
        buyer.sees(re.compile(KNOWN[buyer.language]))
        assert buyer.number[5:] not in buyer.page.content()
        buyer.press(PAY[buyer.language])
    for buyer in buyers:
        buyer.sees(PROMPTS[buyer.language])
        buyer.answers("НЕТ")
    for buyer in buyers:
        buyer.sees(DECLINED[buyer.language])


# -- the endings


def test_a_refusal_can_be_mended_and_tried_again(enter: Enter) -> None:
    buyer = enter()
    buyer.world.account(buyer.number, mode="insufficient")
    buyer.opens(tariffs=["gold-250"])
    buyer.types()
    buyer.press("Оплатить")
    buyer.answers()
    buyer.sees("На счёте не хватает денег")
    buyer.world.account(buyer.number, mode="ok")
    buyer.page.get_by_role("link", name="Попробовать снова").click()
    buyer.sees(re.compile("Оплата с номера"))
    before = len(buyer.world.messages(buyer.number))
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    wait_for("another prompt", lambda: len(buyer.world.messages(buyer.number)) > before)
    buyer.answers()
    buyer.sees("Услуга оплачена")


def test_an_open_outcome_is_neither_paid_nor_failed(enter: Enter) -> None:
    buyer = enter()
    buyer.world.account(buyer.number, mode="timeout")
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.answers()
    buyer.sees("Списываем деньги…")
    buyer.sees("Оператор пока не ответил")
    expect(buyer.page.get_by_text("Платить повторно не нужно")).to_be_visible()
    buyer.world.account(buyer.number, mode="ok")
    heading = buyer.page.get_by_role("heading", name="Услуга оплачена")
    expect(heading).to_be_visible(timeout=30_000)


def test_an_expired_prompt_can_be_tried_again(enter: Enter) -> None:
    buyer = enter()
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    later = "UPDATE business_clock SET ahead = ahead + interval '601 s'"
    query(buyer.world.postgres.dsn("ppcd"), later)
    buyer.sees("Время вышло")
    buyer.page.get_by_role("link", name="Попробовать снова").click()
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])


def test_the_buyer_can_cancel_while_waiting(enter: Enter) -> None:
    buyer = enter()
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.press("Отменить")
    buyer.sees("Оплата отменена")


# -- what a browser lives through


def test_a_number_is_spaced_while_it_is_typed_in_any_form(enter: Enter) -> None:
    buyer = enter()
    buyer.opens(tariffs=["gold-250"])
    field = buyer.page.locator("#phone")
    for typed, shown in (
        ("0971234567", "097 123 45 67"),
        ("+380971234567", "+380 97 123 45 67"),
        ("380971234567", "380 97 123 45 67"),
        ("00380971234567", "00380 97 123 45 67"),
        ("+3800971234567", "+380 97 123 45 67"),
        ("80971234567", "80 97 123 45 67"),
        ("971234567", "97 123 45 67"),
        ("+48501234567", "+48501234567"),
    ):
        field.fill("")
        field.press_sequentially(typed)
        expect(field).to_have_value(shown)
    field.fill("0971234567")
    field.press("Home")
    field.press("ArrowRight")
    field.press("Delete")
    # Inside of the number nothing jumps; the rest comes when the field is left.
    expect(field).to_have_value("07 123 45 67")
    field.press("5")
    expect(field).to_have_value("057 123 45 67")


def test_pasted_forms_of_a_number_are_understood(enter: Enter) -> None:
    buyer = enter()
    buyer.opens(tariffs=["gold-250"])
    number = buyer.number
    buyer.page.locator("#phone").fill(f"tel: +{number[:3]} ({number[3:5]}) {number[5:]}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.answers()
    buyer.sees("Услуга оплачена")


def test_without_scripts_it_is_paid_as_well(enter: Enter) -> None:
    buyer = enter(java_script_enabled=False)
    buyer.opens()
    buyer.press("Выбрать 250 gold")
    buyer.types(f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.answers()
    buyer.sees("Услуга оплачена")


def test_a_reload_and_a_closed_tab_lose_nothing(enter: Enter) -> None:
    buyer = enter()
    url = buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.page.reload()
    buyer.sees(PROMPTS["ru"])
    context = buyer.page.context
    buyer.page.close()
    buyer.answers()
    buyer.page = context.new_page()
    buyer.page.goto(url)
    buyer.sees("Услуга оплачена")
    assert len(buyer.world.account(buyer.number)["debits"]) == 1


def test_a_lost_network_is_said_and_loses_nothing(enter: Enter) -> None:
    buyer = enter()
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.page.context.set_offline(True)
    # As a phone's browser does when it comes back to a page that was put to sleep.
    buyer.page.evaluate("dispatchEvent(new Event('online'))")
    buyer.answers()
    expect(buyer.page.get_by_role("alert").filter(has_text="Нет связи")).to_be_visible(
        timeout=15_000
    )
    buyer.page.context.set_offline(False)
    buyer.sees("Услуга оплачена")
    expect(buyer.page.get_by_text("Нет связи")).to_be_hidden()
    buyer.said = [word for word in buyer.said if "ERR_INTERNET_DISCONNECTED" not in word]


def test_a_node_that_dies_meanwhile_loses_nothing(enter: Enter) -> None:
    buyer = enter()
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.world.node.party.kill()
    buyer.world.node.start()
    buyer.answers()
    buyer.sees("Услуга оплачена")
    buyer.said = [word for word in buyer.said if "net::ERR_" not in word]


def test_where_events_are_kept_back_the_page_asks(enter: Enter) -> None:
    buyer = enter()
    buyer.page.route("**/events*", lambda route: route.abort())
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.answers()
    buyer.sees("Услуга оплачена")
    buyer.said = [word for word in buyer.said if "ERR_FAILED" not in word]


def test_where_a_proxy_keeps_events_to_itself_the_page_asks_after_a_while(enter: Enter) -> None:
    buyer = enter()
    buyer.page.clock.install()
    buyer.page.route("**/events*", lambda route: None)  # neither an answer nor an error
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.answers()
    with buyer.page.expect_request("**/state*"):
        buyer.page.clock.fast_forward(4000)
    buyer.sees("Услуга оплачена")


def test_two_tabs_show_one_payment(enter: Enter) -> None:
    buyer = enter()
    url = buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    other = buyer.page.context.new_page()
    other.goto(url)
    buyer.press("Оплатить")
    other.get_by_role("button", name="Оплатить").click()
    for page in (buyer.page, other):
        expect(page.get_by_role("heading", name=PROMPTS["ru"])).to_be_visible()
    buyer.answers()
    for page in (buyer.page, other):
        expect(page.get_by_role("heading", name="Услуга оплачена")).to_be_visible()
    assert len(buyer.world.messages(buyer.number)) <= 2  # the prompt, and the receipt if any
    assert len(buyer.world.account(buyer.number)["debits"]) == 1


def test_the_whole_way_can_be_walked_by_keyboard(enter: Enter) -> None:
    buyer = enter("desktop")
    buyer.opens()
    keyboard = buyer.page.keyboard
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(buyer.page.locator("#phone")).to_be_focused()
    keyboard.type("0" + buyer.number[3:])
    keyboard.press("Enter")
    buyer.sees(PROMPTS["ru"])
    buyer.answers("НЕТ")
    buyer.sees("Вы отказались от оплаты")
    # What was pressed is gone with its screen; the next stop is the new screen's first.
    keyboard.press("Tab")
    expect(buyer.page.get_by_role("link", name="Попробовать снова")).to_be_focused()
    keyboard.press("Enter")
    buyer.sees(re.compile("Оплата с номера"))
    _tabs_to(buyer, "Оплатить")
    keyboard.press("Enter")
    buyer.sees(PROMPTS["ru"])
    _tabs_to(buyer, "Отменить")
    keyboard.press("Enter")
    buyer.sees("Оплата отменена")


def test_by_keyboard_a_tariff_is_chosen_with_arrows(enter: Enter) -> None:
    buyer = enter("desktop")
    buyer.opens(variant=2)
    keyboard = buyer.page.keyboard
    keyboard.press("Tab")
    expect(buyer.page.get_by_label("250 gold")).to_be_focused()
    keyboard.press("ArrowDown")
    expect(buyer.page.get_by_label("500 gold")).to_be_checked()
    keyboard.press("Tab")
    keyboard.type("0" + buyer.number[3:])
    keyboard.press("Enter")
    buyer.sees(PROMPTS["ru"])
    expect(buyer.page.get_by_text("500 gold")).to_be_visible()


def _tabs_to(buyer: Buyer, name: str) -> None:
    button = buyer.page.get_by_role("button", name=name, exact=True)
    for _ in range(10):
        buyer.page.keyboard.press("Tab")
        if button.evaluate("(found) => found === document.activeElement"):
            return
    raise AssertionError(f"{name} is not to be reached by Tab")


SHOP = """<!doctype html><html lang="{language}"><title>Shop</title><h1>Shop</h1>
<script src="{node}/checkout/v1/checkout.js" data-session="{session}" data-mode="{mode}"></script>
<script>
  document.addEventListener("ppcd:status", (event) => {{ document.title = event.detail.status; }});
</script></html>"""


class Shop:
    """A partner's own site: a page for each buyer, and one for all that come back."""

    def __init__(self) -> None:
        shop = self
        self.pages: dict[str, str] = {}

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                page = shop.pages.get(self.path, "<!doctype html><title>Shop</title>")
                self.wfile.write(page.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def sells(self, buyer: Buyer, flow: str, *, mode: str) -> None:
        """A session on the page, and the buyer in front of it."""
        number = {"phoneNumber": f"+{buyer.number}"} if flow == "known" else {}
        session = buyer.session(successUrl=self.url + "/paid", **number, **FLOWS[flow])
        node = f"http://127.0.0.1:{buyer.world.node.partner_port}"
        language = buyer.language
        self.pages[f"/{buyer.number}"] = SHOP.format(
            node=node, session=session, mode=mode, language=language
        )
        buyer.page.goto(f"{self.url}/{buyer.number}")

    def is_returned_to(self, buyer: Buyer) -> None:
        """With a signed result. The webhook, which is the proof, has come or comes."""
        buyer.page.wait_for_url(re.compile("/paid.ppcdSession=.*ppcdStatus=succeeded"))
        secret = "whsec_" + base64.b64encode(buyer.world.partner.secret).decode()
        assert result_is_ours(urlsplit(buyer.page.url).query, secret=secret)
        # Its page has no icon, which the browser notes.
        buyer.said = [word for word in buyer.said if "404" not in word]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.server.serve_forever, args=[0.05])
    thread.start()
    yield shop
    shop.server.shutdown()
    thread.join()
    shop.server.server_close()


@pytest.fixture(scope="module")
def registered(world: World, shop: Shop) -> str:
    """The shop is a site of the partner's."""
    return world.node.run_command("partner", "sites", "gamex", "--add", shop.url)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("flow", FLOWS)
def test_one_script_tag_pays_in_an_overlay(buyers: list[Buyer], shop: Shop, flow: str) -> None:
    frames = [buyer.page.frame_locator("iframe") for buyer in buyers]
    for buyer, frame in zip(buyers, frames, strict=True):
        shop.sells(buyer, flow, mode="overlay")
        buyer.press(PAY[buyer.language])
        buyer.buys(flow, frame)
        name = flow.replace(" ", "-")
        photograph(buyer.page, f"pay-overlay-{name}-{buyer.language}-{buyer.size}")
        expect(buyer.page).to_have_title("processing")
    for buyer in buyers:
        buyer.answers()
    for buyer, frame in zip(buyers, frames, strict=True):
        buyer.sees(PAID[buyer.language], where=frame)
        expect(buyer.page).to_have_title("succeeded")
        buyer.press(CLOSE[buyer.language])
        shop.is_returned_to(buyer)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("flow", FLOWS)
def test_a_redirect_pays_and_comes_back(buyers: list[Buyer], shop: Shop, flow: str) -> None:
    for buyer in buyers:
        shop.sells(buyer, flow, mode="redirect")
        buyer.press(PAY[buyer.language])
        buyer.page.wait_for_url("**/pay/*")
        buyer.buys(flow, buyer.page)
    for buyer in buyers:
        buyer.answers()
    for buyer in buyers:
        buyer.sees(PAID[buyer.language])
        buyer.page.get_by_role("link", name="GameX").click()
        shop.is_returned_to(buyer)


def test_a_site_that_is_not_registered_can_not_frame_the_page(enter: Enter, shop: Shop) -> None:
    buyer = enter()
    shop.sells(buyer, "variant 1", mode="overlay")
    # The same shop by another name is another site.
    buyer.page.goto(buyer.page.url.replace("127.0.0.1", "localhost"))
    buyer.press("Оплатить")
    wait_for("the browser's refusal", lambda: (buyer.page.wait_for_timeout(50), buyer.said)[1])
    assert any("frame-ancestors" in word for word in buyer.said)
    buyer.said.clear()


def test_all_of_it_weighs_less_than_50_kb_and_is_ours(enter: Enter) -> None:
    buyer = enter()
    sizes: dict[str, int] = {}
    buyer.page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    url = buyer.opens(branding={"color": "#1a4d2e"})
    buyer.page.wait_for_load_state("networkidle")
    assert len(sizes) >= 4
    assert sum(sizes.values()) < 50_000
    assert {urlsplit(got).netloc for got in sizes} == {urlsplit(url).netloc}
    buyer.press("Выбрать 250 gold")
    buyer.types()
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    assert buyer.page.context.cookies() == []
    assert buyer.page.evaluate("localStorage.length + sessionStorage.length") == 0
