"""The demo's page in a real browser: every ending, by mouse and keyboard, wide and narrow.

Screenshots are left in build/screens for people to look at.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from zlib import crc32

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if os.environ.get("CI") != "true":
    pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs chromium", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

pytestmark = pytest.mark.browser

SCREENS = Path(__file__).parents[2] / "build" / "screens"
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
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
PROMPT = "Для подтверждения оплаты, отправьте ДА в ответ"


class Demo:
    """A demo around the stand-in node, in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sim.fake_node", "0", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[1]

    def put_account(self, number: str, **change: object) -> None:
        url = f"{self.url}/sim/billing/accounts/{number}"
        request = Request(url, json.dumps(change).encode(), method="PUT")
        urlopen(request, timeout=10).close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=10)


class Shopper:
    """A person with the page open."""

    def __init__(self, page: Page, demo: Demo, number: str, size: str) -> None:
        self.page, self.demo, self.number, self.size = page, demo, number, size
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.add_init_script(f"localStorage.setItem('phone', '{number}')")

    def open(self) -> None:
        self.page.goto(self.demo.url)
        expect(self.page.get_by_text("250 gold")).to_be_visible()
        expect(self.page.locator("#balance")).to_have_text(re.compile("грн"))

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, gold: int) -> None:
        self.press(f"Выбрать {gold} gold")

    def pay(self) -> None:
        self.page.locator("#buyer").fill("0" + self.number[3:])
        self.press("Оплатить")

    def sees(self, title: str) -> None:
        heading = self.page.get_by_role("heading", name=title)
        expect(heading).to_be_visible(timeout=15_000)

    def has_message(self) -> None:
        expect(self.page.locator(".bubble:not(.mine)").last).to_contain_text("отправьте ДА")
        expect(self.page.locator("#composer .yes")).to_be_enabled()

    def picture(self, name: str) -> None:
        SCREENS.mkdir(parents=True, exist_ok=True)
        path = SCREENS / f"demo-{name}-{self.size}.png"
        self.page.screenshot(path=path, full_page=True, animations="disabled")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    demo = Demo()
    yield demo
    demo.stop()


@pytest.fixture
def hasty() -> Iterator[Demo]:
    """A demo whose payments wait for hardly a second."""
    demo = Demo("0.3")
    yield demo
    demo.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


Enter = Callable[..., Shopper]


@pytest.fixture
def enter(browser: Browser, demo: Demo, request: Any) -> Iterator[Enter]:
    """Opens the page for a phone of its own; no message on the console is part of the deal."""
    shoppers = []

    def start(size: str = "desktop", *, at: Demo = demo, **options: Any) -> Shopper:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, locale="ru-RU", **options
        )
        number = f"38097{crc32(request.node.nodeid.encode()) % 10**7:07}"
        shoppers.append(Shopper(context.new_page(), at, number, size))
        shoppers[-1].open()
        return shoppers[-1]

    yield start
    for shopper in shoppers:
        shopper.page.context.close()
        assert shopper.said == []


@pytest.mark.parametrize("size", SIZES)
def test_variant_1_takes_three_steps_to_a_paid_service(enter: Enter, size: str) -> None:
    shopper = enter(size)
    shopper.picture("1-tariffs")
    shopper.choose(500)
    label = "Для оплаты введите номер Вашего мобильного телефона"
    expect(shopper.page.get_by_label(label)).to_be_focused()
    shopper.picture("2-number")
    shopper.pay()
    shopper.sees(PROMPT)
    shopper.has_message()
    shopper.picture("3-waiting")
    shopper.press("ДА")
    shopper.sees("Услуга оплачена")
    expect(shopper.page.locator("#balance")).to_have_text(re.compile("950,00"))
    shopper.picture("4-paid")
    shopper.press("Купить ещё")
    expect(shopper.page.get_by_text("Сколько золота?")).to_be_visible()


@pytest.mark.parametrize("size", SIZES)
def test_variant_2_asks_for_tariff_and_number_at_once(enter: Enter, size: str) -> None:
    shopper = enter(size)
    shopper.page.locator("label", has_text="Вариант 2").click()
    shopper.page.get_by_label("1000 gold").check()
    shopper.picture("5-variant-2")
    shopper.pay()
    shopper.sees(PROMPT)
    shopper.has_message()
    expect(shopper.page.locator("#steps li")).to_have_count(2)
    shopper.press("ДА")
    shopper.sees("Услуга оплачена")
    expect(shopper.page.locator("#balance")).to_have_text(re.compile("900,00"))


def test_a_no_ends_without_money(enter: Enter) -> None:
    shopper = enter()
    shopper.choose(250)
    shopper.pay()
    shopper.has_message()
    shopper.press("НЕТ")
    shopper.sees("Вы отказались от оплаты")
    expect(shopper.page.get_by_text("Деньги не списаны.")).to_be_visible()
    shopper.picture("6-declined")


@pytest.mark.parametrize(
    ("mode", "title"),
    [
        ("insufficient", "На счёте не хватает денег"),
        ("barred", "Оплата с этого номера запрещена"),
        ("unknown", "Оператор не знает этот номер"),
    ],
)
def test_billings_refusal_is_told_in_words(enter: Enter, mode: str, title: str) -> None:
    shopper = enter()
    shopper.page.get_by_label("Биллинг").select_option(mode)
    shopper.choose(250)
    shopper.pay()
    shopper.has_message()
    shopper.press("ДА")
    shopper.sees(title)
    shopper.picture(f"7-{mode}")
    expect(shopper.page.get_by_label("Биллинг")).to_have_value(mode)


def test_an_open_outcome_is_neither_paid_nor_failed(enter: Enter, demo: Demo) -> None:
    shopper = enter()
    demo.put_account(shopper.number, mode="timeout")
    shopper.choose(250)
    shopper.pay()
    shopper.has_message()
    shopper.press("ДА")
    shopper.sees("Оператор пока не ответил")
    expect(shopper.page.get_by_text("Платить повторно не нужно")).to_be_visible()
    shopper.picture("8-pending")
    demo.put_account(shopper.number, mode="ok")
    shopper.sees("Услуга оплачена")


def test_a_slow_billing_is_shown_as_debiting(enter: Enter, demo: Demo) -> None:
    shopper = enter()
    demo.put_account(shopper.number, mode="slow")
    shopper.choose(250)
    shopper.pay()
    shopper.has_message()
    shopper.press("ДА")
    shopper.sees("Списываем деньги…")
    shopper.sees("Услуга оплачена")


def test_the_buyer_can_cancel_while_waiting(enter: Enter) -> None:
    shopper = enter()
    shopper.choose(250)
    shopper.pay()
    shopper.sees(PROMPT)
    shopper.press("Отменить")
    shopper.sees("Оплата отменена")


def test_an_expired_payment_can_be_tried_again(hasty: Demo, enter: Enter) -> None:
    shopper = enter(at=hasty)
    shopper.choose(250)
    shopper.pay()
    shopper.sees("Время вышло")
    shopper.press("Попробовать снова")
    expect(shopper.page.get_by_text("Сколько золота?")).to_be_visible()


def test_a_wrong_number_is_said_beside_the_field(enter: Enter) -> None:
    shopper = enter()
    shopper.choose(250)
    shopper.page.locator("#buyer").fill("12")
    shopper.press("Оплатить")
    problem = shopper.page.get_by_text("Проверьте номер: нужны 10 цифр")
    expect(problem).to_be_visible()
    expect(shopper.page.locator("#buyer")).to_have_attribute("aria-invalid", "true")
    shopper.press("Подставить номер из демонстрации")
    expect(problem).not_to_be_visible()
    shopper.press("Оплатить")
    shopper.sees(PROMPT)


def test_a_reload_finds_the_payment_and_the_messages_again(enter: Enter) -> None:
    shopper = enter()
    shopper.choose(250)
    shopper.pay()
    shopper.has_message()
    shopper.page.reload()
    shopper.sees(PROMPT)
    shopper.has_message()
    shopper.page.get_by_label("Свой ответ").fill("да")
    shopper.page.keyboard.press("Enter")
    shopper.sees("Услуга оплачена")
    shopper.page.reload()
    shopper.sees("Услуга оплачена")
    expect(shopper.page.locator(".bubble.mine")).to_have_text(re.compile("да"))


def test_the_whole_way_can_be_walked_by_keyboard(enter: Enter) -> None:
    shopper = enter()
    keyboard = shopper.page.keyboard
    shopper.page.get_by_role("button", name="Выбрать 250 gold").focus()
    keyboard.press("Enter")
    keyboard.type("0" + shopper.number[3:])
    keyboard.press("Enter")
    shopper.sees(PROMPT)
    shopper.has_message()
    shopper.page.get_by_role("button", name="ДА", exact=True).focus()
    keyboard.press("Space")
    shopper.sees("Услуга оплачена")


def test_a_phone_can_be_changed_and_topped_up(enter: Enter) -> None:
    shopper = enter()
    number = shopper.page.get_by_label("Номер", exact=True)
    number.fill("050 123 45 67")
    number.press("Tab")
    expect(shopper.page.get_by_text("Нужен номер 097")).to_be_visible()
    number.fill("097 765 43 21")
    number.press("Tab")
    expect(shopper.page.locator("#own-number")).to_have_text(re.compile(r"97\s765\s43\s21"))
    shopper.press("+100 грн")
    expect(shopper.page.locator("#balance")).to_have_text(re.compile(r"1\s100,00"))


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_at_any_width(enter: Enter, width: int) -> None:
    shopper = enter(color_scheme="dark")
    shopper.page.set_viewport_size({"width": width, "height": 844})
    for variant in ("Вариант 1", "Вариант 2"):
        shopper.page.locator("label", has_text=variant).click()
        inside = "document.documentElement.scrollWidth <= innerWidth"
        assert shopper.page.evaluate(inside)
        cards = """[...document.querySelectorAll('.shop *')].every(
            (e) => e.getBoundingClientRect().right <= innerWidth - 1)"""
        assert shopper.page.evaluate(cards)
    shopper.picture(f"9-dark-{width}")
