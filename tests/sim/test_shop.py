"""The demo's shop sells on the payment page as a partner would, and hands out only what is paid."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from ppcd.sim.signatures import result_is_ours
from ppcd.sim.web import json_response
from tests.sim.fake_node import signed
from tests.sim.outside import PHONE, Demo


@pytest_twisted.async_yield_fixture
async def demo(reactor: Any, tmp_path: Path) -> AsyncIterator[Demo]:
    demo = Demo(reactor, tmp_path)
    await demo.start()
    yield demo
    await demo.stop()


def result(secret: str, **parts: str) -> str:
    """A query as the payment page's return URL carries it."""
    text = urlencode(parts)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, b"ppcd-checkout-result:" + text.encode(), hashlib.sha256).digest()
    return f"{text}&ppcdSignature={base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest_twisted.ensureDeferred
async def test_a_yes_ends_in_a_paid_order_and_one_valid_webhook(demo: Demo) -> None:
    order = await demo.order()
    assert (await demo.presses(order)).status == 201
    await demo.pays(f"GX-{order}")
    await demo.reply("ДА")
    assert await demo.node.told == 204
    assert await demo.is_paid(order)
    shown = json.loads((await demo.ask("GET", f"/shop/orders/{order}")).body)
    assert shown == {"order": order, "paid": True, "bought": "250 gold"}
    account = json.loads((await demo.ask("GET", f"/sim/billing/accounts/{PHONE}")).body)
    assert account["balance_minor"] == 97_500
    [webhook] = await demo.webhooks()
    assert webhook["signature"] == "valid"
    assert webhook["paymentId"] == "1001"
    assert webhook["status"] == "succeeded"


@pytest_twisted.ensureDeferred
async def test_a_no_hands_nothing_out_and_a_later_try_does(demo: Demo) -> None:
    order = await demo.order()
    await demo.presses(order)
    await demo.pays(f"GX-{order}")
    await demo.reply("НЕТ")
    await demo.node.told
    assert not await demo.is_paid(order)
    demo.node.told = Deferred()
    await demo.pays(f"GX-{order}-2")
    await demo.reply("ДА")
    await demo.node.told
    assert await demo.is_paid(order)


@pytest.mark.parametrize(
    ("integration", "variant", "phone"), [("1", 1, None), ("2", 2, None), ("known", 2, PHONE)]
)
@pytest_twisted.ensureDeferred
async def test_each_integration_is_a_session_as_the_public_contract_has_it(
    demo: Demo, integration: str, variant: int, phone: str | None
) -> None:
    order = await demo.order(integration, phone=f"+{PHONE}")
    answer = await demo.presses(order)
    assert json.loads(answer.body) == {"url": "/pay/session0"}
    [asked] = demo.node.sessions.values()
    assert asked.pop("phoneNumber", None) == (phone and f"+{phone}")
    back = f"{demo.outside.url}/shop/back?order={order}"
    assert asked == {
        "tariffs": ["gold-250", "gold-500", "gold-1000"],
        "variant": variant,
        "referenceCode": f"GX-{order}",
        "successUrl": back,
        "cancelUrl": back,
        "language": "ru",
        "branding": {"name": "GameX", "color": "#5b2fc4"},
    }


@pytest_twisted.ensureDeferred
async def test_pressed_again_an_order_keeps_its_one_session(demo: Demo) -> None:
    order = await demo.order()
    first, second = await demo.presses(order), await demo.presses(order)
    assert first.body == second.body
    assert len(demo.node.sessions) == 1


@pytest.mark.parametrize(
    ("integration", "variant", "phone"), [("1", 1, None), ("2", 2, None), ("known", 2, f"+{PHONE}")]
)
@pytest_twisted.ensureDeferred
async def test_without_a_script_a_form_leads_to_the_page(
    demo: Demo, integration: str, variant: int, phone: str | None
) -> None:
    form = urlencode({"integration": integration, "phone": f"+{PHONE}"}).encode()
    answer = await demo.client.request(
        b"POST", demo.outside.url + "/shop/redirect", body=form, timeout_s=10
    )
    assert (answer.status, answer.header(b"location")) == (303, b"/pay/session0")
    [asked] = demo.node.sessions.values()
    assert (asked["variant"], asked.get("phoneNumber")) == (variant, phone)


@pytest_twisted.ensureDeferred
async def test_without_a_webhook_the_signed_result_makes_the_shop_ask(demo: Demo) -> None:
    secret, demo.node.webhook_url = demo.node.secret, ""
    order = await demo.order()
    await demo.presses(order)
    payment = await demo.pays(f"GX-{order}")
    back = f"/shop/back?order={order}&"
    paid = {"ppcdSession": "session0", "ppcdStatus": "succeeded"}
    # Nothing is paid yet, whatever an old or forged result says.
    assert (await demo.ask("GET", back + result(secret, **paid))).status == 303
    assert not await demo.is_paid(order)
    await demo.reply("ДА")
    assert await demo.end(payment) == "succeeded"
    for wrong in ("", result("whsec_" + "A" * 32, **paid), result(secret, ppcdSession="x")):
        await demo.ask("GET", back + wrong)
        assert not await demo.is_paid(order)
    answer = await demo.ask("GET", back + result(secret, **paid))
    assert answer.header(b"location") == f"/shop/?order={order}".encode()
    assert await demo.is_paid(order)


def test_a_result_is_ours_only_as_it_was_signed() -> None:
    secret = "whsec_" + base64.b64encode(b"secret").decode()
    query = result(secret, ppcdSession="a", ppcdStatus="denied")
    assert result_is_ours("order=7&" + query, secret=secret)
    assert not result_is_ours(query.replace("denied", "succeeded"), secret=secret)
    assert not result_is_ours("order=7", secret=secret)


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        (404, "IDENTIFIER_NOT_FOUND", 409),
        (429, "TOO_MANY_REQUESTS", 409),
        (503, "UNAVAILABLE", 502),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_refused_session_tells_the_apis_own_word(
    demo: Demo, status: int, code: str, shown: int
) -> None:
    demo.node.refusals = [json_response({"status": status, "code": code, "message": "…"}, status)]
    answer = await demo.presses(await demo.order())
    assert (answer.status, json.loads(answer.body)) == (shown, {"error": code})


@pytest_twisted.ensureDeferred
async def test_an_operator_that_is_gone_is_told_as_unreachable(demo: Demo) -> None:
    order = await demo.order()
    await demo.node.server.stop()
    answer = await demo.presses(order)
    assert (answer.status, json.loads(answer.body)) == (502, {"error": "UNREACHABLE"})
    demo.outside.shop._api = None
    assert (await demo.presses(order)).status == 502


@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_no_json_is_told_by_its_status(demo: Demo) -> None:
    from ppcd.sim.web import Response

    demo.node.refusals = [Response(504, b"<html>")]
    answer = await demo.presses(await demo.order())
    assert (answer.status, json.loads(answer.body)) == (502, {"error": "STATUS_504"})


@pytest_twisted.ensureDeferred
async def test_a_webhook_that_can_not_be_looked_up_is_to_come_again(demo: Demo) -> None:
    answer = await _tell(demo, demo.node.secret)
    assert answer.status >= 400  # the node knows no such payment


@pytest_twisted.ensureDeferred
async def test_a_forged_webhook_changes_nothing_and_is_listed_as_invalid(demo: Demo) -> None:
    order = await demo.order()
    await demo.pays(f"GX-{order}")
    assert (await _tell(demo, "whsec_" + "A" * 32)).status == 401
    assert not await demo.is_paid(order)
    [listed] = await demo.webhooks()
    assert listed["signature"] == "invalid"


@pytest_twisted.ensureDeferred
async def test_a_webhook_alone_pays_nothing_that_ppcd_does_not_call_paid(demo: Demo) -> None:
    order = await demo.order()
    await demo.pays(f"GX-{order}")
    body, headers = _event(demo.node.secret)
    assert (await _post(demo, headers, body)).status == 204
    assert not await demo.is_paid(order)


@pytest_twisted.ensureDeferred
async def test_a_payment_under_a_foreign_reference_pays_no_order(demo: Demo) -> None:
    order = await demo.order()
    await demo.pays(order)
    await demo.reply("ДА")
    assert await demo.node.told == 204
    assert not await demo.is_paid(order)


@pytest_twisted.ensureDeferred
async def test_the_shop_forgets_its_oldest_orders_first(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppcd.sim.shop.ORDERS_MAX", 1)
    first, second = await demo.order(), await demo.order()
    assert (await demo.ask("GET", f"/shop/orders/{first}")).status == 404
    assert (await demo.ask("GET", f"/shop/orders/{second}")).status == 200


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"integration": "3"}, "NO_SUCH_INTEGRATION"),
        ({}, "NO_SUCH_INTEGRATION"),
        ({"integration": "known"}, "INVALID_NUMBER"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_order_never_reaches_the_operator(
    demo: Demo, body: dict[str, str], error: str
) -> None:
    answer = await demo.ask("POST", "/shop/orders", body)
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": error}


@pytest_twisted.ensureDeferred
async def test_an_unknown_order_is_404(demo: Demo) -> None:
    assert (await demo.ask("GET", "/shop/orders/x")).status == 404
    assert (await demo.presses("x")).status == 404
    assert (await demo.ask("GET", "/shop/back?order=x")).status == 404


def _event(secret: str) -> tuple[bytes, dict[str, str]]:
    from ppcd.sim.journal import utc_now

    event = {
        "type": "org.camaraproject.carrier-billing.v0.payment-completed",
        "data": {"paymentId": "1001", "status": "succeeded"},
    }
    body = json.dumps(event).encode()
    return body, signed(secret, "event-9", int(utc_now().timestamp()), body)


async def _tell(demo: Demo, secret: str) -> Any:
    body, headers = _event(secret)
    return await _post(demo, headers, body)


async def _post(demo: Demo, headers: dict[str, str], body: bytes) -> Any:
    return await demo.client.request(
        b"POST",
        demo.outside.addresses.webhook_url,
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
        body=body,
        timeout_s=10,
    )
