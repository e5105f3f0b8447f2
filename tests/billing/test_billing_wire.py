"""What is sent for an order, and what answers mean; everything unnamed is unknown."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ppcd.billing.settings import AnswerSettings, HttpBillingSettings
from ppcd.billing.wire import read_answer, request_body, request_headers, request_url
from ppcd.charge.debit import Debited, DenialReason, Denied, Unknown
from tests.billing.adapter_contract import an_order

URL = "http://billing/debits"


def settings(**more: Any) -> HttpBillingSettings:
    return HttpBillingSettings.model_validate({"url": URL, **more})


def answers(**more: Any) -> AnswerSettings:
    return AnswerSettings.model_validate(
        {
            "reasons": {"insufficient": "INSUFFICIENT_FUNDS"},
            "echoes": {"amount_minor": "amount_minor"},
            **more,
        }
    )


def read(answer: Any, status: int = 200, **more: Any) -> Any:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return read_answer(answers(**more), an_order(), status, body)


def test_the_plain_body_names_the_whole_order() -> None:
    assert json.loads(request_body(settings(), an_order())) == {
        "key": "1001",
        "msisdn": "380971234567",
        "amount_minor": 2500,
        "currency": "UAH",
        "description": "250 gold\\, золото",
        "merchant": 'GameX «Ключ» "quoted"',
    }


def test_the_body_has_the_operators_own_names() -> None:
    body = request_body(settings(body={"id": "key", "who": "phone", "sum": "amount"}), an_order())
    assert json.loads(body) == {"id": "1001", "who": "+380971234567", "sum": "25.00"}


def test_an_order_field_in_a_url_can_not_leave_its_place() -> None:
    url = request_url(URL + "/{key}?m={merchant}", an_order("a/../b?c=d"))
    assert url.startswith(URL + "/a%2F..%2Fb%3Fc%3Dd?m=GameX%20%C2%AB")
    assert '"' not in url


def test_an_order_field_in_a_header_can_not_break_the_line() -> None:
    order = replace(an_order(), merchant="Game\r\nX-Evil: Ы")
    chosen = settings(headers={"Idempotency-Key": "{key}", "X-Shop": "at {merchant}"})
    assert request_headers(chosen, order) == [
        (b"Idempotency-Key", b"1001"),
        (b"X-Shop", b"at Game??X-Evil: ?"),
    ]


def test_debited_has_its_reference_as_text() -> None:
    assert read({"result": "debited", "reference": "B-1"}) == Debited("B-1")
    assert read({"result": "debited", "reference": 17}) == Debited("17")
    assert read({"result": "debited"}) == Debited(None)
    assert read({"result": "debited", "reference": {}}) == Debited(None)
    assert read({"result": "debited", "reference": "x" * 500}) == Debited("x" * 128)


def test_a_refusal_has_a_known_reason_or_the_general_one() -> None:
    denied = read({"result": "refused", "reason": "insufficient"})
    assert denied == Denied(DenialReason.INSUFFICIENT_FUNDS, "insufficient")
    other = read({"result": "refused", "reason": "moon"})
    assert other == Denied(DenialReason.BILLING_REJECTED, "moon")
    assert read({"result": "refused"}) == Denied(DenialReason.BILLING_REJECTED, "refused")


def test_the_result_itself_can_be_the_reason() -> None:
    denied = read({"code": 124}, result="code", refused=["124"], reason=None)
    assert denied == Denied(DenialReason.BILLING_REJECTED, "124")


def test_members_are_found_by_path_and_compared_as_text() -> None:
    options = {"result": "status.ok", "debited": ["true"], "refused": ["false"]}
    assert read({"status": {"ok": True}}, **options) == Debited(None)
    assert isinstance(read({"status": {"ok": False}}, **options), Denied)
    assert isinstance(read({"status": "ok"}, **options), Unknown)
    assert read({"code": 0}, result="code", debited=["0"], reference=None) == Debited(None)


def test_another_amount_than_asked_is_unknown() -> None:
    assert isinstance(read({"result": "debited", "amount_minor": 2501}), Unknown)
    assert read({"result": "debited", "amount_minor": 2500}) == Debited(None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"1",
        b"{}",
        b'{"result": null}',
        b'{"result": ["debited"]}',
        b'{"result": "maybe"}',
        b'{"result": "DEBITED"}',
        b'{"result": "refused", "result": "debited"}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_understood_is_unknown(body: bytes) -> None:
    assert isinstance(read(body), Unknown)


@pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 404, 409, 500, 502, 503])
def test_an_unlisted_status_is_unknown_whatever_its_body_says(status: int) -> None:
    assert read({"result": "debited"}, status) == Unknown(f"status {status}")


@examples(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_can_make_it_raise(body: bytes) -> None:
    assert isinstance(read(body), Debited | Denied | Unknown)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@examples(deadline=None)
@given(st.dictionaries(st.sampled_from(["result", "reason", "reference", "x"]), json_values))
def test_money_is_only_believed_moved_when_billing_says_the_word(answer: Any) -> None:
    if isinstance(read(answer), Debited):
        assert answer["result"] == "debited"
