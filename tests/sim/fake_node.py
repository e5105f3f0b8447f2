"""A tiny stand-in for a ppcd node and its SMSC: enough of the partner API to try the shop."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ppcd.http.client import Client, NoAnswer, NotSent
from ppcd.sim.journal import utc_now
from ppcd.sim.timing import sleep
from ppcd.sim.web import Answer, App, Refused, Request, Response, Route, Server, json_response

PAYMENTS = "/carrier-billing/v0.5/payments"
SESSIONS = "/checkout/v1/sessions"
REASONS = {
    "insufficient": "INSUFFICIENT_FUNDS",
    "barred": "SERVICE_DENIED",
    "unknown": "USER_UNKNOWN",
}


class FakeNode:
    """Payments in a dict; `routes` is the partner address, `sim_routes` the handsets."""

    def __init__(self, reactor: Any, *, lifetime_s: float = 600.0) -> None:
        self.reactor = reactor
        self.lifetime_s = lifetime_s
        self.payments: dict[str, dict[str, Any]] = {}
        #: What was asked for, by the session's id.
        self.sessions: dict[str, dict[str, Any]] = {}
        self.messages: list[dict[str, str]] = []
        self.replies: list[dict[str, str]] = []
        self.created: list[dict[str, Any]] = []
        self.timers: list[IDelayedCall] = []
        self.client = Client(reactor)
        self.billing_url = ""
        self.webhook_url = ""
        self.secret = ""
        #: Fires when a webhook was answered.
        self.told: Deferred[int] = Deferred()
        #: Answers to give instead of creating, first to last.
        self.refusals: list[Response] = []
        self.server = Server(reactor, App(self.routes()), host="127.0.0.1", port=0)

    # What Outside needs of an SMSC

    @property
    def port(self) -> int:
        return 0

    async def start(self) -> None:
        await self.server.start()

    async def stop(self) -> None:
        for timer in self.timers:
            if timer.active():
                timer.cancel()
        await self.server.stop()
        await self.client.close()

    def sim_routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/sim/handsets/{msisdn}/messages", self._get_messages),
            Route("POST", "/sim/handsets/{msisdn}/replies", self._post_reply),
        )

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", PAYMENTS, self._create),
            Route("GET", PAYMENTS + "/{payment}", self._get),
            Route("POST", PAYMENTS + "/{payment}/cancel", self._cancel),
            Route("POST", SESSIONS, self._open_session),
            Route("GET", SESSIONS + "/{session}", self._get_session),
            Route("GET", "/openapi/carrier-billing.yaml", self._get_openapi),
        )

    async def _get_openapi(self, _request: Request) -> Answer:
        return Response(200, b"openapi: 3.0.3\n", (("Content-Type", "application/yaml"),))

    async def _create(self, request: Request) -> Answer:
        if request.header(b"authorization") != "Bearer demo-key":
            return json_response({"status": 401, "code": "UNAUTHENTICATED", "message": ""}, 401)
        if self.refusals:
            return self.refusals.pop(0)
        body = request.json()
        self.created.append(body)
        transaction: Any = body["amountTransaction"]
        for payment in self.payments.values():
            known = payment["amountTransaction"]["clientCorrelator"]
            if known == transaction["clientCorrelator"]:
                return json_response(payment, 201)
        payment_id = str(1001 + len(self.payments))
        self.payments[payment_id] = {
            "paymentId": payment_id,
            "paymentStatus": "processing",
            "contextCode": "PPCD.AWAITING_REPLY",
            "amountTransaction": transaction,
        }
        charging = transaction["paymentAmount"]["chargingInformation"]
        self.messages.append(
            {
                "msisdn": transaction["phoneNumber"].removeprefix("+"),
                "from": f"7171{len(self.payments) % 32:02}",
                "text": f"GameX: {charging['description']}, {charging['amount']},00 грн. "
                "Для подтверждения оплаты отправьте ДА в ответ. Если не Вы, ответьте НЕТ.",
                "at": utc_now().isoformat(),
                "payment": payment_id,
            }
        )
        self.timers.append(self.reactor.callLater(self.lifetime_s, self._expire, payment_id))
        return json_response(self.payments[payment_id], 201)

    def _expire(self, payment_id: str) -> None:
        if self.payments[payment_id].get("contextCode") == "PPCD.AWAITING_REPLY":
            self.end(payment_id, "CONFIRMATION_TIMEOUT")

    async def _get(self, request: Request) -> Answer:
        payment = self.payments.get(request.params["payment"])
        if payment is None:
            return json_response({"status": 404, "code": "NOT_FOUND", "message": ""}, 404)
        left_s = float(request.query.get("wait", "0"))
        while left_s > 0 and payment["paymentStatus"] == "processing":
            await sleep(self.reactor, 0.1)
            left_s -= 0.1
        return json_response(payment)

    async def _cancel(self, request: Request) -> Answer:
        payment = self.payments[request.params["payment"]]
        if payment.get("contextCode") != "PPCD.AWAITING_REPLY":
            code = "CARRIER_BILLING.PAYMENT_CONFIRMED"
            return json_response({"status": 409, "code": code, "message": ""}, 409)
        self.end(payment["paymentId"], "CANCELLED_BY_MERCHANT")
        return Response(202)

    async def _open_session(self, request: Request) -> Answer:
        if self.refusals:
            return self.refusals.pop(0)
        name = f"session{len(self.sessions)}"
        self.sessions[name] = request.json()
        url = f"http://pay.example/pay/{name}"
        return json_response({"id": name, "url": url}, 201)

    async def _get_session(self, request: Request) -> Answer:
        reference = self.sessions[request.params["session"]]["referenceCode"]
        for payment in self.payments.values():
            if payment["amountTransaction"]["referenceCode"].startswith(reference):
                answer = {"status": payment["paymentStatus"], "paymentId": payment["paymentId"]}
                return json_response(answer)
        return json_response({"status": "open"})

    async def _get_messages(self, request: Request) -> Answer:
        mine = [m for m in self.messages if m["msisdn"] == request.params["msisdn"]]
        return json_response([{k: m[k] for k in ("from", "text", "at")} for m in mine])

    async def _post_reply(self, request: Request) -> Answer:
        mine = [m for m in self.messages if m["msisdn"] == request.params["msisdn"]]
        if not mine:
            raise Refused(409, "no message to answer")
        body: Any = request.json()
        to = body.get("to", mine[-1]["from"])
        self.replies.append({"text": body["text"], "to": to})
        payment_id = next(m["payment"] for m in reversed(mine) if m["from"] == to)
        if body["text"].strip().upper() == "ДА":
            Deferred.fromCoroutine(self._debit(payment_id))
        elif body["text"].strip().upper() == "НЕТ":
            self.end(payment_id, "USER_DECLINED")
        return json_response({}, 202)

    async def _debit(self, payment_id: str) -> None:
        payment = self.payments[payment_id]
        if payment.get("contextCode") != "PPCD.AWAITING_REPLY":
            return
        payment["contextCode"] = "PPCD.DEBITING"
        transaction = payment["amountTransaction"]
        order = {
            "key": payment_id,
            "msisdn": transaction["phoneNumber"],
            "amount_minor": 100 * transaction["paymentAmount"]["chargingInformation"]["amount"],
            "currency": "UAH",
        }
        while True:
            try:
                answer = await self.client.request(
                    b"POST",
                    self.billing_url + "/billing/debits",
                    body=json.dumps(order).encode(),
                    timeout_s=5,
                )
            except (NotSent, NoAnswer):
                payment["contextCode"] = "PPCD.OUTCOME_PENDING"
                await sleep(self.reactor, 2)
                continue
            if answer.status == 200:
                break
            await sleep(self.reactor, 2)
        result = json.loads(answer.body)
        self.end(payment_id, REASONS.get(result.get("reason", "")))

    def end(self, payment_id: str, reason: str | None) -> None:
        payment = self.payments[payment_id]
        payment["paymentStatus"] = "denied" if reason else "succeeded"
        payment.pop("contextCode", None)
        if reason:
            payment["contextCode"] = "PPCD." + reason
        data = {"paymentId": payment_id, "status": "failed" if reason else "succeeded"}
        if reason:
            data["denialReason"] = reason
        kind = "payment-denied" if reason else "payment-completed"
        event = {
            "id": f"event-{payment_id}",
            "type": f"org.camaraproject.carrier-billing.v0.{kind}",
            "data": data,
        }
        if self.webhook_url:
            Deferred.fromCoroutine(self._notify(event))

    async def _notify(self, event: dict[str, Any]) -> None:
        body = json.dumps(event).encode()
        headers = signed(self.secret, event["id"], int(utc_now().timestamp()), body)
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        answer = await self.client.request(
            b"POST", self.webhook_url, headers=pairs, body=body, timeout_s=5
        )
        if not self.told.called:
            self.told.callback(answer.status)


def signed(secret: str, event_id: str, sent_at: int, body: bytes) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{event_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }
