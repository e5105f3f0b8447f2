"""What docs/checkout.md shows works as shown."""

import base64
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ppcd.checkout.result import return_url
from ppcd.checkout.wire import Branding, NewSession
from tests.builders import Store
from tests.checkout.world import SECRET, World
from tests.flow.world import now

PAGE = (Path(__file__).parents[2] / "docs/checkout.md").read_text()


def block(language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return found[number]


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def test_the_first_request_gets_an_answer_like_the_one_shown(world: World) -> None:
    request = json.loads(block("sh").split("<<'JSON'\n")[1].removesuffix("JSON\n"))
    got = world.ask("POST", "/checkout/v1/sessions", request)
    assert got.status == 201
    shown = json.loads(block("json"))
    assert got.json.keys() == shown.keys()
    assert len(got.json["id"]) == len(shown["id"])
    assert got.json["referenceCode"] == shown["referenceCode"]


def test_the_result_is_verified_as_shown(world: World) -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    session = world.opened(tariffs=["gold-250"], successUrl="https://shop.example/paid?a=b")
    world.pay(session)
    world.answer()
    found = now(world.checkout._pages._sessions.find(session.removeprefix("/pay/")))
    assert found is not None
    query = urlsplit(return_url(found) or "").query
    secret = "whsec_" + base64.b64encode(SECRET).decode()
    assert names["is_ours"](query, secret)
    assert not names["is_ours"](query.replace("succeeded", "denied"), secret)
    assert not names["is_ours"](query, "whsec_" + base64.b64encode(b"other").decode())
    assert not names["is_ours"]("a=b", secret)


def test_every_field_of_a_request_is_explained() -> None:
    for model in (NewSession, Branding):
        for field in model.model_fields.values():
            assert f"`{field.alias}`" in PAGE
