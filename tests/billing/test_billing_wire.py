"""What is sent for an order, and what answers mean; everything unnamed is unknown."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ppcd.billing.settings import AnswerSettings, HttpBillingSettings
from ppcd.billing.template import texts_of
from ppcd.billing.wire import debit_call, query_call, read_answer
from ppcd.charge.debit import (
    Debited,
    DebitOrder,
    DenialReason,
    Denied,
    NotFound,
    NotSent,
    Unknown,
)
from tests.billing.adapter_contract import an_order

URL = "http://billing/debits"
NOW = datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)


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


def body_of(order: DebitOrder, **described: Any) -> str:
    """The body of a debit for an order."""
    values = texts_of(order, now=NOW, password='p<&"w')
    return debit_call(settings(**described)).write_body(order, values).decode()


def test_the_plain_body_names_the_whole_order() -> None:
    assert json.loads(body_of(an_order())) == {
        "key": "1001",
        "msisdn": "380971234567",
        "amount_minor": 2500,
        "currency": "UAH",
        "description": "250 gold\\, золото",
        "merchant": 'GameX «Ключ» "quoted"',
    }


def test_the_body_has_the_operators_own_names() -> None:
    body = body_of(an_order(), body={"id": "key", "who": "phone", "sum": "amount"})
    assert json.loads(body) == {"id": "1001", "who": "+380971234567", "sum": "25.00"}


def test_an_order_field_in_a_url_can_not_leave_its_place() -> None:
    call = debit_call(settings(url=URL + "/{key}?m={merchant}"))
    url = call.url_for(texts_of(an_order("a/../b?c=d")))
    assert url.startswith(URL + "/a%2F..%2Fb%3Fc%3Dd?m=GameX%20%C2%AB")
    assert '"' not in url


def test_an_order_field_in_a_header_can_not_break_the_line() -> None:
    order = replace(an_order(), merchant="Game\r\nX-Evil: Ы")
    chosen = settings(headers={"Idempotency-Key": "{key}", "X-Shop": "at {merchant}"})
    assert debit_call(chosen).headers_for(texts_of(order), body=b"{}") == (
        (b"Idempotency-Key", b"1001"),
        (b"X-Shop", b"at Game??X-Evil: ?"),
        (b"Accept", b"application/json"),
        (b"Content-Type", b"application/json"),
    )


EVIL = "Game \"X\" <b>&amp; '1' \r\n]]> \x00 кот {key}"


def test_a_json_template_keeps_every_value_in_its_place() -> None:
    template = '{"a": {"id": "{key}", "n": [{amount_minor}]}, "m": "{merchant}", "e": {}}'
    body = body_of(an_order(merchant=EVIL), template=template)
    assert json.loads(body) == {"a": {"id": "1001", "n": [2500]}, "m": EVIL, "e": {}}


def test_an_xml_template_keeps_every_value_in_its_place() -> None:
    template = "\n<?xml version='1.0'?><d m='{merchant}'><k>{key}</k><m>{merchant}</m></d>\n"
    body = body_of(an_order(merchant=EVIL), template=template, encoding="xml")
    root = ElementTree.fromstring(body)
    assert root.findtext("m") == EVIL.replace("\x00", "?")
    assert [child.tag for child in root] == ["k", "m"]
    assert root.get("m").replace("\n", " ") == EVIL.replace("\x00", "?").replace("\n", " ")


def test_a_form_keeps_every_value_in_its_place() -> None:
    template = "id={key}&sum={amount}&m={merchant}"
    body = body_of(an_order(merchant=EVIL), template=template, encoding="form")
    assert parse_qs(body) == {"id": ["1001"], "sum": ["25.00"], "m": [EVIL]}


def test_a_template_has_times_and_the_password() -> None:
    template = '{"k": "{key}", "at": "{time:%Y%m%dT%H:%M:%S+0000}", "p": "{password}"}'
    body = body_of(an_order(), template=template, password_file="/x")
    assert json.loads(body) == {"k": "1001", "at": "20261123T09:05:07+0000", "p": 'p<&"w'}


def test_each_encoding_has_its_content_type_unless_another_is_said() -> None:
    def types(**described: Any) -> list[bytes]:
        call = debit_call(settings(**described))
        headers = call.headers_for(texts_of(an_order()), body=b"x")
        return [value for name, value in headers if name == b"Content-Type"]

    assert types() == [b"application/json"]
    assert types(template="<k>{key}</k>", encoding="xml") == [b"text/xml; charset=utf-8"]
    assert types(template="k={key}", encoding="form") == [b"application/x-www-form-urlencoded"]
    soap12 = "application/soap+xml; charset=utf-8"
    assert types(template="<k>{key}</k>", encoding="xml", content_type=soap12) == [soap12.encode()]


def test_an_accept_of_ones_own_stands_alone() -> None:
    call = debit_call(settings(headers={"ACCEPT": "*/*"}))
    assert call.headers_for(texts_of(an_order()), body=b"") == ((b"ACCEPT", b"*/*"),)


def test_a_query_has_its_own_request_and_answers() -> None:
    query = {
        "url": "http://billing/ask",
        "method": "POST",
        "encoding": "xml",
        "template": "<ask>{key}</ask>",
        "headers": {"SOAPAction": '"ask"'},
        "answer": {"format": "xml", "result": "a/code"},
    }
    call = query_call(settings(query=query))
    values = texts_of(an_order())
    assert call is not None
    assert (call.method, call.url_for(values)) == (b"POST", "http://billing/ask")
    assert call.write_body(an_order(), values) == b"<ask>1001</ask>"
    assert call.headers_for(values, body=b"x")[0] == (b"SOAPAction", b'"ask"')
    assert call.answer.result == "a/code"


def test_a_query_takes_from_the_debit_what_it_does_not_say() -> None:
    call = query_call(
        settings(
            query={"url": "http://billing/ask?k={key}"},
            headers={"X-Shop": "1"},
            answer={"result": "code"},
        )
    )
    values = texts_of(an_order())
    assert call is not None
    assert call.method == b"GET"
    assert call.write_body(an_order(), values) == b""
    assert call.headers_for(values, body=b"") == (
        (b"X-Shop", b"1"),
        (b"Accept", b"application/json"),
    )
    assert call.answer.result == "code"


def test_a_billing_can_say_that_it_did_nothing_or_knows_nothing() -> None:
    options = {"not_processed": ["busy"], "not_found": ["no such debit"]}
    assert read({"result": "busy"}, **options) == NotSent("result is 'busy'")
    assert read({"result": "no such debit"}, **options) == NotFound()


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
