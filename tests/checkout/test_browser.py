"""The payment page in a real browser, on a real node: every flow and every ending.

Screenshots are left in build/screens for people to look at; axe judges each screen.
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.node.world import World, ask, wait_for
from tests.postgres import query

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if os.environ.get("CI") != "true":
    pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("browser: chromium is not installed", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SCREENS = ROOT / "build" / "screens"
AXE = ROOT / "build" / "peers" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = [
    # Only because tests may run as root, where the sandbox can't.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
LOCALES = {"uk": "uk-UA", "ru": "ru-RU", "en": "en-GB"}
YES = {"uk": "ТАК", "ru": "ДА", "en": "YES"}
ALL = ["gold-250", "gold-500", "gold-1000"]
PHONES = count(380972000001)
PROMPTS = {
    "uk": "Для підтвердження оплати надішліть ТАК у відповідь",
    "ru": "Для подтверждения оплаты, отправьте ДА в ответ",
    "en": "To confirm the payment, reply YES to the text",
}
AXE_RUN = """axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})
    .then((found) => found.violations.map((v) =>
        v.id + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join(' | ')))"""


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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Buyer:
    """A person with the page open and a phone in the hand."""

    def __init__(self, world: World, page: Page, *, size: str, language: str, judged: bool) -> None:
        self.world, self.page, self.size, self.language = world, page, size, language
        self.number = str(next(PHONES))
        self.judged = judged
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def session(self, **wanted: Any) -> str:
        """A session's URL."""
        if "amount" not in wanted:
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

    def sees(self, title: str | re.Pattern[str], *, picture: str = "") -> None:
        heading = self.page.get_by_role("heading", name=title)
        expect(heading).to_be_visible(timeout=15_000)
        if picture:
            self.picture(picture)

    def answers(self, text: str = "") -> None:
        wait_for("the prompt", lambda: self.world.messages(self.number))
        self.world.reply(self.number, text or YES[self.language])

    def picture(self, name: str) -> None:
        """A screenshot, and axe's judgement of what is on it."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        path = SCREENS / f"pay-{name}-{self.language}-{self.size}.png"
        self.page.screenshot(path=path, full_page=True, animations="disabled")
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if not self.judged or not AXE.exists():
            return
        self.page.evaluate(AXE.read_text())
        assert self.page.evaluate(AXE_RUN) == []


Enter = Callable[..., Buyer]


@pytest.fixture
def enter(browser: Browser, world: World) -> Iterator[Enter]:
    """A browser of one's own. A word on the console, from the policy say, fails the test."""
    buyers: list[Buyer] = []

    def begin(size: str = "phone", language: str = "ru", **options: Any) -> Buyer:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, locale=LOCALES[language], **options
        )
        judged = options.get("java_script_enabled", True)
        buyers.append(Buyer(world, context.new_page(), size=size, language=language, judged=judged))
        return buyers[-1]

    yield begin
    for buyer in buyers:
        buyer.page.context.close()
        # A refused form is a 422, which the browser notes.
        assert [word for word in buyer.said if "422" not in word] == []


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
PAID = {"uk": "Послугу оплачено", "ru": "Услуга оплачена", "en": "Paid"}
KNOWN = {"uk": "Оплата з номера", "ru": "Оплата с номера", "en": "Pay from"}
DECLINED = {
    "uk": "Ви відмовилися від оплати",
    "ru": "Вы отказались от оплаты",
    "en": "You declined the payment",
}


@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("size", SIZES)
def test_variant_1_is_three_steps_to_a_paid_service(enter: Enter, size: str, language: str) -> None:
    buyer = enter(size, language)
    buyer.opens(successUrl="https://shop.example/paid", branding={"name": "GameX"})
    buyer.picture("1-choose")
    buyer.press(CHOOSE[language])
    field = buyer.page.get_by_label(NUMBER[language])
    expect(field).to_be_focused()
    buyer.types()
    number = buyer.number
    expect(field).to_have_value(f"0{number[3:5]} {number[5:8]} {number[8:10]} {number[10:]}")
    buyer.picture("2-number")
    buyer.press(PAY[language])
    buyer.sees(PROMPTS[language], picture="3-wait")
    buyer.answers()
    buyer.sees(PAID[language], picture="4-paid")
    expect(buyer.page.get_by_role("status")).to_have_text(PAID[language])
    back = buyer.page.get_by_role("link", name="GameX").get_attribute("href") or ""
    assert back.startswith("https://shop.example/paid?ppcdSession=")
    assert "ppcdStatus=succeeded" in back


@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("size", SIZES)
def test_variant_2_is_two_steps(enter: Enter, size: str, language: str) -> None:
    buyer = enter(size, language)
    buyer.opens(variant=2, cancelUrl="https://shop.example/basket")
    buyer.page.get_by_label("1000 gold").check()
    buyer.picture("5-variant-2")
    buyer.types()
    buyer.press(PAY[language])
    buyer.sees(PROMPTS[language])
    buyer.answers()
    buyer.sees(PAID[language])
    assert buyer.world.account(buyer.number)["balance_minor"] == 90_000


@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("size", SIZES)
def test_a_known_number_is_one_press(enter: Enter, size: str, language: str) -> None:
    buyer = enter(size, language)
    color = {"name": "Читай-город", "color": "#ffd84d"}
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}", branding=color)
    buyer.sees(re.compile(KNOWN[language]), picture="6-known")
    assert buyer.number[5:] not in buyer.page.content()
    buyer.press(PAY[language])
    buyer.sees(PROMPTS[language])
    buyer.answers("НЕТ")
    buyer.sees(DECLINED[language], picture="7-declined")


# -- the endings


@pytest.mark.parametrize(
    ("mode", "title"),
    [
        ("insufficient", "На счёте не хватает денег"),
        ("barred", "Оплата с этого номера запрещена"),
        ("unknown", "Оператор не знает этот номер"),
    ],
)
def test_billings_refusal_is_told_in_words(enter: Enter, mode: str, title: str) -> None:
    buyer = enter()
    buyer.world.account(buyer.number, mode=mode)
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.answers()
    buyer.sees(title, picture=f"8-{mode}")
    expect(buyer.page.get_by_text("Деньги не списаны.")).to_be_visible()


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
    buyer.sees(re.compile("Оплата с номера"), picture="9-again")
    before = len(buyer.world.messages(buyer.number))
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    wait_for("another prompt", lambda: len(buyer.world.messages(buyer.number)) > before)
    buyer.answers()
    buyer.sees("Услуга оплачена")


@pytest.mark.parametrize("size", SIZES)
def test_an_open_outcome_is_neither_paid_nor_failed(enter: Enter, size: str) -> None:
    buyer = enter(size)
    buyer.world.account(buyer.number, mode="timeout")
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.answers()
    buyer.sees("Списываем деньги…", picture="10-debit")
    buyer.sees("Оператор пока не ответил", picture="11-doubt")
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
    buyer.sees("Время вышло", picture="12-expired")
    buyer.page.get_by_role("link", name="Попробовать снова").click()
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])


def test_the_buyer_can_cancel_while_waiting(enter: Enter) -> None:
    buyer = enter()
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.press("Отменить")
    buyer.sees("Оплата отменена", picture="13-cancelled")


@pytest.mark.parametrize("size", SIZES)
def test_wrong_numbers_are_said_beside_the_field(enter: Enter, size: str) -> None:
    buyer = enter(size)
    buyer.opens(tariffs=["gold-250"])
    buyer.types("0971")
    buyer.press("Оплатить")
    problem = buyer.page.get_by_role("alert").filter(has_text="Проверьте номер")
    expect(problem).to_be_visible()
    expect(buyer.page.locator("#phone")).to_have_attribute("aria-invalid", "true")
    buyer.picture("14-wrong-number")
    buyer.page.locator("#phone").fill("+48 501 234 567")
    buyer.press("Оплатить")
    expect(buyer.page.get_by_text("он другого оператора")).to_be_visible()
    buyer.picture("15-other-operator")


def test_a_page_that_is_not_there_is_said(enter: Enter) -> None:
    buyer = enter()
    buyer.page.goto(f"http://127.0.0.1:{buyer.world.node.partner_port}/pay/nowhere")
    buyer.sees("Такой страницы нет", picture="16-none")
    buyer.said.clear()  # the browser notes the 404


# -- what a browser lives through


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
    buyer.sees(PROMPTS["ru"], picture="17-no-scripts")
    buyer.answers()
    buyer.sees("Услуга оплачена")


def test_a_reload_a_closed_tab_and_a_lost_network_lose_nothing(enter: Enter) -> None:
    buyer = enter()
    url = buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.page.reload()
    buyer.sees(PROMPTS["ru"])
    context = buyer.page.context
    buyer.page.close()
    buyer.page = context.new_page()
    buyer.page.goto(url)
    buyer.sees(PROMPTS["ru"])
    context.set_offline(True)
    buyer.answers()
    context.set_offline(False)
    buyer.sees("Услуга оплачена")


def test_where_events_are_kept_back_the_page_asks(enter: Enter) -> None:
    buyer = enter()
    buyer.page.route("**/events*", lambda route: route.abort())
    buyer.opens(tariffs=["gold-250"], phoneNumber=f"+{buyer.number}")
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"])
    buyer.answers()
    buyer.sees("Услуга оплачена")
    buyer.said = [word for word in buyer.said if "ERR_FAILED" not in word]


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
    buyer.answers()
    buyer.sees("Услуга оплачена")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_at_any_width_in_the_dark(enter: Enter, width: int) -> None:
    buyer = enter(color_scheme="dark")
    buyer.page.set_viewport_size({"width": width, "height": 700})
    buyer.size = f"dark-{width}"
    brand = {"name": "Очень длинное название магазина игр", "color": "#1a4d2e"}
    buyer.opens(branding=brand)
    buyer.picture("18-choose")
    buyer.press("Выбрать 250 gold")
    buyer.picture("19-number")
    buyer.types()
    buyer.press("Оплатить")
    buyer.sees(PROMPTS["ru"], picture="20-wait")
    buyer.answers("НЕТ")
    buyer.sees("Вы отказались от оплаты", picture="21-declined")


SHOP = """<!doctype html><html lang="ru"><title>Shop</title><h1>Shop</h1>
<script src="{node}/checkout/v1/checkout.js" data-session="{session}"></script>
<script>
  document.addEventListener("ppcd:status", (event) => {{ document.title = event.detail.status; }});
</script></html>"""


@pytest.fixture
def shop() -> Iterator[dict[str, Any]]:
    """A partner's own site: one page, whose text a test sets."""
    site: dict[str, Any] = {"page": ""}

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(site["page"].encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    site["url"] = f"http://127.0.0.1:{server.server_address[1]}"
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("size", SIZES)
def test_one_script_tag_pays_in_an_overlay(enter: Enter, shop: dict[str, Any], size: str) -> None:
    buyer = enter(size)
    node = buyer.world.node
    node.run_command("partner", "sites", "gamex", "--add", shop["url"])
    known = f"+{buyer.number}"
    session = buyer.session(
        tariffs=["gold-250"], phoneNumber=known, successUrl=shop["url"] + "/paid"
    )
    own = f"http://127.0.0.1:{node.partner_port}"
    shop["page"] = SHOP.format(node=own, session=session)
    buyer.page.goto(shop["url"])
    buyer.press("Оплатить")
    frame = buyer.page.frame_locator("iframe")
    frame.get_by_role("button", name="Оплатить").click()
    expect(frame.get_by_role("heading", name=PROMPTS["ru"])).to_be_visible()
    buyer.page.screenshot(path=SCREENS / f"pay-22-overlay-{size}.png")
    expect(buyer.page).to_have_title("processing")
    buyer.answers()
    expect(frame.get_by_role("heading", name="Услуга оплачена")).to_be_visible()
    expect(buyer.page).to_have_title("succeeded")
    buyer.press("Закрыть")
    buyer.page.wait_for_url(re.compile("/paid.ppcdSession=.*ppcdStatus=succeeded"))
    assert node.run_command("partner", "sites", "gamex", "--remove", shop["url"]) != ""
    buyer.said = [word for word in buyer.said if "404" not in word]


def test_a_site_that_is_not_registered_can_not_frame_the_page(
    enter: Enter, shop: dict[str, Any]
) -> None:
    buyer = enter()
    session = buyer.session(tariffs=["gold-250"])
    own = f"http://127.0.0.1:{buyer.world.node.partner_port}"
    shop["page"] = SHOP.format(node=own, session=session)
    buyer.page.goto(shop["url"])
    buyer.press("Оплатить")
    wait_for("the browser's refusal", lambda: (buyer.page.wait_for_timeout(50), buyer.said)[1])
    assert any("frame-ancestors" in word for word in buyer.said)
    buyer.said.clear()


def test_all_of_it_weighs_less_than_50_kb(enter: Enter) -> None:
    buyer = enter()
    sizes: list[int] = []
    buyer.page.on("response", lambda answer: sizes.append(len(answer.body())))
    buyer.opens(branding={"color": "#1a4d2e"})
    buyer.page.wait_for_load_state("networkidle")
    assert len(sizes) >= 4
    assert sum(sizes) < 50_000
