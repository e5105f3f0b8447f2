"""The demo's shop pays like a partner would, and tells its buyer the truth."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from ppcd.sim.orders import e164
from ppcd.sim.web import Drop, json_response
from tests.sim.fake_node import signed
from tests.sim.outside import PHONE, Demo, Raw


@pytest_twisted.async_yield_fixture
async def demo(reactor: Any, tmp_path: Path) -> AsyncIterator[Demo]:
    demo = Demo(reactor, tmp_path)
    await demo.start()
    yield demo
    await demo.stop()


@pytest_twisted.ensureDeferred
async def test_a_yes_ends_in_a_paid_order_and_one_valid_webhook(demo: Demo) -> None:
    order = await demo.order("gold-500")
    assert order["progress"] == "waiting"
    await demo.reply("ДА")
    assert await demo.end(order) == ("paid", None)
    account = json.loads((await demo.ask("GET", f"/sim/billing/accounts/{PHONE}")).body)
    assert account["balance_minor"] == 95_000
    [webhook] = await demo.webhooks()
    assert webhook["signature"] == "valid"
    assert webhook["paymentId"] == "1001"
    assert webhook["status"] == "succeeded"


@pytest_twisted.ensureDeferred
async def test_the_payment_is_asked_for_as_the_public_contract_has_it(demo: Demo) -> None:
    await demo.order("gold-1000", "097 123-45-67")
    [created] = demo.node.created
    transaction = created["amountTransaction"]
    assert transaction["phoneNumber"] == "+" + PHONE
    assert transaction["referenceCode"].endswith(transaction["clientCorrelator"])
    assert transaction["paymentAmount"] == {
        "chargingInformation": {"amount": 100, "currency": "UAH", "description": "1000 gold"},
        "chargingMetaData": {"merchantName": "GameX", "productId": "gold-1000"},
    }


@pytest_twisted.ensureDeferred
async def test_a_no_is_the_buyers_own(demo: Demo) -> None:
    order = await demo.order()
    await demo.reply("НЕТ")
    assert await demo.end(order) == ("failed", "USER_DECLINED")


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("insufficient", "INSUFFICIENT_FUNDS"),
        ("barred", "SERVICE_DENIED"),
        ("unknown", "USER_UNKNOWN"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_billings_refusal_reaches_the_buyer(demo: Demo, mode: str, reason: str) -> None:
    await demo.behave(mode)
    order = await demo.order()
    await demo.reply("ДА")
    assert await demo.end(order) == ("failed", reason)


@pytest_twisted.ensureDeferred
async def test_a_cancelled_order_says_so(demo: Demo) -> None:
    order = await demo.order()
    cancelled = await demo.ask("POST", f"/shop/orders/{order['order']}/cancel", {})
    assert cancelled.status == 202
    assert await demo.end(order) == ("failed", "CANCELLED_BY_MERCHANT")


@pytest_twisted.ensureDeferred
async def test_a_cancel_that_comes_too_late_is_told_so(demo: Demo) -> None:
    order = await demo.order()
    await demo.reply("ДА")
    await demo.watch(order)
    answer = await demo.ask("POST", f"/shop/orders/{order['order']}/cancel", {})
    assert answer.status == 409
    assert json.loads(answer.body) == {"error": "CARRIER_BILLING.PAYMENT_CONFIRMED"}


@pytest_twisted.ensureDeferred
async def test_without_webhooks_the_shop_asks_and_learns_the_end(demo: Demo) -> None:
    demo.node.webhook_url = ""
    order = await demo.order()
    await demo.reply("НЕТ")
    assert await demo.end(order) == ("failed", "USER_DECLINED")
    assert await demo.webhooks() == []


@pytest_twisted.ensureDeferred
async def test_the_buyer_sees_that_the_outcome_is_not_known_yet(demo: Demo) -> None:
    order = await demo.order()
    demo.node.payments["1001"]["contextCode"] = "PPCD.OUTCOME_PENDING"
    watching = demo.ask("GET", f"/shop/orders/{order['order']}")
    while json.loads((await watching).body)["progress"] != "pending":
        watching = demo.ask("GET", f"/shop/orders/{order['order']}")
    demo.node.end("1001", None)
    assert await demo.end(order) == ("paid", None)


@pytest_twisted.ensureDeferred
async def test_a_lost_answer_to_create_is_asked_for_again_as_the_same_payment(demo: Demo) -> None:
    demo.node.refusals = [json_response({}, 500), Drop()]
    order = await demo.order()
    assert order["progress"] == "waiting"
    assert len(demo.node.payments) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "ALREADY_EXISTS"), (404, "IDENTIFIER_NOT_FOUND"), (429, "TOO_MANY_REQUESTS")],
)
@pytest_twisted.ensureDeferred
async def test_a_refused_payment_tells_the_apis_own_word(
    demo: Demo, status: int, code: str
) -> None:
    demo.node.refusals = [json_response({"status": status, "code": code, "message": "…"}, status)]
    answer = await demo.ask("POST", "/shop/orders", {"tariff": "gold-250", "phone": PHONE})
    assert answer.status == 409
    assert json.loads(answer.body) == {"error": code}


@pytest_twisted.ensureDeferred
async def test_an_operator_that_is_gone_is_told_as_unreachable(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppcd.sim.shop.RETRY_S", 0.01)
    order = await demo.order()
    await demo.node.server.stop()
    answer = await demo.ask("POST", "/shop/orders", {"tariff": "gold-250", "phone": PHONE})
    assert (answer.status, json.loads(answer.body)) == (502, {"error": "UNREACHABLE"})
    state = await demo.ask("GET", f"/shop/orders/{order['order']}")
    assert json.loads(state.body)["progress"] == "waiting"


@pytest_twisted.ensureDeferred
async def test_a_silent_stream_beats(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ppcd.sim.shop.BEAT_S", 0.01)
    order = await demo.order()
    reader = Raw(awaited=b": still here")
    endpoint = TCP4ClientEndpoint(demo.node.reactor, "127.0.0.1", demo.outside.front.port)
    await connectProtocol(endpoint, reader)
    path = f"/shop/orders/{order['order']}/events"
    reader.transport.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.seen
    reader.transport.loseConnection()
    await reader.over


@pytest_twisted.ensureDeferred
async def test_the_shop_forgets_its_oldest_orders_first(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppcd.sim.shop.ORDERS_MAX", 1)
    first, second = await demo.order(), await demo.order()
    assert (await demo.ask("GET", f"/shop/orders/{first['order']}")).status == 404
    assert (await demo.ask("GET", f"/shop/orders/{second['order']}")).status == 200


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"tariff": "gold-7", "phone": PHONE}, "NO_SUCH_TARIFF"),
        ({"tariff": "gold-250", "phone": "12"}, "INVALID_NUMBER"),
        ({"tariff": "gold-250"}, "INVALID_NUMBER"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_order_never_reaches_the_operator(
    demo: Demo, body: dict[str, str], error: str
) -> None:
    answer = await demo.ask("POST", "/shop/orders", body)
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": error}
    assert demo.node.created == []


@pytest_twisted.ensureDeferred
async def test_a_forged_webhook_changes_nothing_and_is_listed_as_invalid(demo: Demo) -> None:
    order = await demo.order()
    body = json.dumps(
        {
            "type": "org.camaraproject.carrier-billing.v0.payment-completed",
            "data": {"paymentId": "1001", "status": "succeeded"},
        }
    ).encode()
    headers = signed("whsec_" + "A" * 32, "event-9", 1, body)
    answer = await demo.client.request(
        b"POST",
        demo.outside.addresses.webhook_url,
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
        body=body,
        timeout_s=10,
    )
    assert answer.status == 401
    state = json.loads((await demo.ask("GET", f"/shop/orders/{order['order']}")).body)
    assert state["progress"] == "waiting"
    [listed] = await demo.webhooks()
    assert listed["signature"] == "invalid"


@pytest_twisted.ensureDeferred
async def test_an_unknown_order_is_404(demo: Demo) -> None:
    for path in ("/shop/orders/x", "/shop/orders/x/events"):
        assert (await demo.ask("GET", path)).status == 404
    assert (await demo.ask("POST", "/shop/orders/x/cancel", {})).status == 404


@pytest_twisted.ensureDeferred
async def test_the_tariffs_are_those_of_the_first_description(demo: Demo) -> None:
    listed = json.loads((await demo.ask("GET", "/shop/tariffs")).body)
    assert [(t["id"], t["gold"], t["amount_minor"]) for t in listed] == [
        ("gold-250", 250, 2500),
        ("gold-500", 500, 5000),
        ("gold-1000", 1000, 10_000),
    ]


@pytest.mark.parametrize(
    "typed",
    ["0971234567", "+380971234567", "380 97 123 45 67", "(097) 123-45-67", "97 123 45 67"],
)
def test_a_number_may_be_typed_in_any_usual_way(typed: str) -> None:
    assert e164(typed) == "+380971234567"


@pytest.mark.parametrize("typed", ["", "097123456", "+7 916 123 45 67", "одна", "3809712345678"])
def test_what_is_no_number_is_none(typed: str) -> None:
    assert e164(typed) is None
