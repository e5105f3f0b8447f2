"""The demo in a real browser, on its real node: the three integrations, and the phone beside them.

What the payment page itself says to each ending is tried with that page. Screenshots are left in
build/screens for people to look at.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from tests.browser import Browser, FrameLocator, Page, a_browser, accessible, expect, photograph
from tests.node.world import free_port, wait_for

pytestmark = pytest.mark.browser

SIZES = {"desktop": (1280, 900), "phone": (320, 640)}
PAID = "Услуга оплачена"
PROMPT = "Для подтверждения оплаты, отправьте ДА в ответ"


class Demo:
    """`ppcd demo` as a process."""

    def __init__(self, data: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.local = f"http://localhost:{port}"
        log = data.with_suffix(".log")
        command = [sys.executable, "-m", "ppcd.cli", "demo", "--http", f"127.0.0.1:{port}"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--data", str(data)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        wait_for("ready", lambda: f"ready {self.url}\n" in log.read_text(), seconds=90)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(40)


class Shopper:
    """A person with the page open."""

    def __init__(self, page: Page, demo: Demo, number: str, size: str) -> None:
        self.page, self.demo, self.number, self.size = page, demo, number, size
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.add_init_script(f"localStorage.setItem('phone', '{number}')")

    @property
    def shop(self) -> FrameLocator:
        """The shop's own page."""
        return self.page.frame_locator("#shop")

    @property
    def pay(self) -> FrameLocator:
        """The payment page over it."""
        return self.shop.frame_locator("dialog iframe")

    def open(self, url: str) -> None:
        self.page.goto(url)
        expect(self.shop.locator("#buy")).to_be_enabled()
        expect(self.page.locator("#balance")).to_have_text(re.compile("грн"))

    def buys(self, way: str) -> None:
        self.shop.get_by_text(way, exact=True).click()
        self.shop.get_by_role("button", name="Оплатить").click()

    def press(self, name: str) -> None:
        """A button of the payment page."""
        self.pay.get_by_role("button", name=name, exact=True).click()

    def types(self) -> None:
        self.pay.locator("#phone").fill("0" + self.number[3:])

    def answers(self, text: str) -> None:
        self.has_message()
        self.page.get_by_role("button", name=text, exact=True).click()

    def sees(self, title: str) -> None:
        expect(self.pay.get_by_role("heading", name=title)).to_be_visible()

    def closes(self) -> None:
        # Whoever answered on the phone, below on a small screen, scrolls up again.
        self.page.evaluate("scrollTo(0, 0)")
        self.shop.get_by_role("button", name="Закрыть").click()

    def has_bought(self, what: str) -> None:
        expect(self.shop.get_by_role("heading", name=PAID)).to_be_visible()
        expect(self.shop.locator("#bought")).to_have_text(what)

    def has_message(self) -> None:
        expect(self.page.locator(".bubble:not(.mine)").last).to_contain_text("отправьте ДА")
        expect(self.page.locator("#composer .yes")).to_be_enabled()

    def picture(self, name: str) -> None:
        photograph(self.page, f"demo-{name}-{self.size}")
        for frame in self.page.frames:
            accessible(frame)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo") / "data")
    yield demo
    demo.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as browser:
        yield browser


Enter = Callable[..., Shopper]


@pytest.fixture
def enter(browser: Browser, demo: Demo, request: Any) -> Iterator[Enter]:
    """Opens the page for a phone of its own; no message on the console is part of the deal."""
    shoppers = []

    def start(size: str = "desktop", *, local: bool = False, **options: Any) -> Shopper:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, locale="ru-RU", **options
        )
        number = f"38097{crc32(request.node.nodeid.encode()) % 10**7:07}"
        shoppers.append(Shopper(context.new_page(), demo, number, size))
        shoppers[-1].open(demo.local if local else demo.url)
        return shoppers[-1]

    yield start
    for shopper in shoppers:
        shopper.page.context.close()
        assert shopper.said == []


@pytest.mark.parametrize("size", SIZES)
def test_variant_1_takes_three_steps_to_a_paid_service(enter: Enter, size: str) -> None:
    shopper = enter(size)
    shopper.picture("1-shop")
    shopper.buys("Вариант 1")
    shopper.press("Выбрать 500 gold")
    shopper.types()
    shopper.picture("2-number")
    shopper.press("Оплатить")
    shopper.sees(PROMPT)
    shopper.has_message()
    shopper.picture("3-waiting")
    shopper.answers("ДА")
    shopper.sees(PAID)
    expect(shopper.page.locator("#balance")).to_have_text(re.compile("950,00"))
    shopper.picture("4-paid")
    shopper.closes()
    shopper.has_bought("500 gold")
    shopper.picture("5-bought")
    shopper.shop.get_by_role("link", name="Купить ещё").click()
    expect(shopper.shop.locator("#buy")).to_be_enabled()


def test_variant_2_asks_for_tariff_and_number_at_once(enter: Enter) -> None:
    shopper = enter()
    shopper.buys("Вариант 2")
    shopper.pay.get_by_label("1000 gold").check()
    shopper.types()
    shopper.picture("6-variant-2")
    shopper.press("Оплатить")
    shopper.sees(PROMPT)
    shopper.answers("ДА")
    shopper.sees(PAID)
    shopper.closes()
    shopper.has_bought("1000 gold")


def test_a_known_number_pays_by_one_press_at_any_name_of_the_machine(enter: Enter) -> None:
    shopper = enter(local=True)
    shopper.buys("Номер известен")
    expect(shopper.pay.locator("#phone")).to_have_count(0)
    shopper.picture("7-known")
    shopper.press("Оплатить")
    shopper.answers("ДА")
    shopper.sees(PAID)
    shopper.closes()
    shopper.has_bought("250 gold")


def test_the_payment_pages_way_back_leads_beside_the_phone(enter: Enter) -> None:
    shopper = enter()
    shopper.buys("Номер известен")
    shopper.press("Оплатить")
    shopper.answers("ДА")
    shopper.sees(PAID)
    shopper.pay.get_by_role("link", name="GameX").click()
    shopper.has_bought("250 gold")
    expect(shopper.page.locator("#phone")).to_be_visible()
    assert shopper.page.url == shopper.demo.url + "/"


@pytest.mark.parametrize("way", ["Вариант 1", "Вариант 2", "Номер известен"])
def test_a_redirect_leads_to_the_page_and_back(enter: Enter, way: str) -> None:
    shopper = enter()
    shopper.shop.get_by_text(way, exact=True).click()
    shopper.shop.get_by_role("button", name="Перейти на страницу оплаты").click()
    page = shopper.shop
    # The shop has an «Оплатить» of its own: it must be gone before the page's is pressed.
    expect(page.locator("main#main")).to_be_visible()
    if way == "Вариант 1":
        page.get_by_role("button", name="Выбрать 250 gold").click()
    if way != "Номер известен":
        page.locator("#phone").fill("0" + shopper.number[3:])
    page.get_by_role("button", name="Оплатить", exact=True).click()
    expect(page.get_by_role("heading", name=PROMPT)).to_be_visible()
    shopper.answers("ДА")
    page.get_by_role("link", name="GameX").click()
    shopper.has_bought("250 gold")
    # In the demo's frame the field is not given the focus, as it is on a page of its own.
    shopper.said = [word for word in shopper.said if not word.startswith("Autofocus")]


def test_a_no_hands_out_nothing_and_the_order_can_be_tried_again(enter: Enter) -> None:
    shopper = enter()
    shopper.buys("Номер известен")
    shopper.press("Оплатить")
    shopper.answers("НЕТ")
    shopper.sees("Вы отказались от оплаты")
    shopper.picture("8-declined")
    shopper.closes()
    expect(shopper.shop.locator("#paid")).to_be_hidden()
    shopper.shop.get_by_role("button", name="Оплатить").click()
    shopper.sees("Вы отказались от оплаты")


def test_an_overlay_closed_too_early_does_not_lose_what_was_paid(enter: Enter) -> None:
    shopper = enter()
    shopper.buys("Номер известен")
    shopper.press("Оплатить")
    shopper.has_message()
    shopper.closes()
    shopper.answers("ДА")
    shopper.has_bought("250 gold")


def test_a_phone_can_be_changed_and_topped_up(enter: Enter) -> None:
    shopper = enter()
    number = shopper.page.get_by_label("Номер", exact=True)
    number.fill("050 123 45 67")
    number.press("Tab")
    expect(shopper.page.get_by_text("Нужен номер 097")).to_be_visible()
    number.fill("097 765 43 21")
    number.press("Tab")
    expect(shopper.page.locator("#own-number")).to_have_text(re.compile(r"97\s765\s43\s21"))
    expect(shopper.shop.locator("#own")).to_have_text(re.compile(r"97\s765\s43\s21"))
    shopper.page.get_by_role("button", name="+100 грн").click()
    expect(shopper.page.locator("#balance")).to_have_text(re.compile(r"1\s100,00"))


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_nothing_sticks_out_at_any_width(enter: Enter, width: int) -> None:
    shopper = enter(color_scheme="dark")
    shopper.page.set_viewport_size({"width": width, "height": 844})
    for frame in shopper.page.frames:
        assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shopper.picture(f"9-dark-{width}")
