"""A real browser for tests of pages: headless Chromium, screenshots, and axe's judgement.

A module that imports it is skipped where there is no browser; with CI=true that is a failure.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if os.environ.get("CI") != "true":
    if CHROMIUM is None:
        pytest.skip("browser: chromium is not installed", allow_module_level=True)
    pytest.importorskip("playwright.sync_api")

from playwright.sync_api import (  # noqa: E402
    Browser,
    Frame,
    FrameLocator,
    Page,
    expect,
    sync_playwright,
)

__all__ = [
    "AXE",
    "LOCALES",
    "SCREENS",
    "SIZES",
    "Browser",
    "FrameLocator",
    "Page",
    "a_browser",
    "accessible",
    "expect",
    "photograph",
]

ROOT = Path(__file__).parents[1]
#: Build output: what the pages looked like, for people.
SCREENS = ROOT / "build" / "screens"
#: The smallest phone there is, and a desktop.
SIZES = {"phone": (320, 640), "desktop": (1280, 900)}
LOCALES = {"uk": "uk-UA", "ru": "ru-RU", "en": "en-GB"}
AXE = ROOT / "build" / "peers" / "node_modules" / "axe-core" / "axe.min.js"
#: On a busy machine a page is late, not wrong.
expect.set_options(timeout=15_000)
_ARGUMENTS = [
    # Only because tests may run as root, where the sandbox can't.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_RULES = "['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']"
_CONTRAST = "['color-contrast']"
#: Each frame is a document of its own, and is judged alone.
_RUN = """axe.run({iframes: false, runOnly: %s}).then((found) => found.violations.map((v) =>
    v.id + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join(' | ')))"""


@contextmanager
def a_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


def photograph(page: Page, name: str) -> None:
    """Leave a screenshot, and see that nothing sticks out."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    path = SCREENS / f"{name}.png"
    page.screenshot(path=path, full_page=True, animations="disabled")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def accessible(page: Page | Frame, *, colors_only: bool = False) -> None:
    """Axe finds nothing wrong with the page as it is."""
    if not AXE.exists():
        return  # `test_axe_is_there` says so
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(_axe())
    found = page.evaluate(_RUN % (_CONTRAST if colors_only else _RULES))
    assert not found, "\n".join(found)


@cache
def _axe() -> str:
    return AXE.read_text()
