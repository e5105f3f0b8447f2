"""A wrong description of a billing system is refused before it costs money."""

from typing import Any

import pytest
from pydantic import ValidationError

from ppcd.billing.settings import HttpBillingSettings

URL = "https://billing.example/debits"


def a_refund(**section: Any) -> dict[str, Any]:
    return {"abilities": {"reversible": True}, "refund": {"url": URL, **section}}


def test_the_defaults_promise_nothing() -> None:
    settings = HttpBillingSettings(url=URL)
    abilities = settings.abilities.abilities()
    assert not abilities.idempotent
    assert not abilities.queryable
    assert not abilities.stores_refusals
    assert settings.answer.not_processed_statuses == ()


def test_texts_from_a_file_are_read_as_what_the_key_declares() -> None:
    settings = HttpBillingSettings.model_validate(
        {
            "url": URL,
            "timeout_s": "2.5",
            "connections_max": "4",
            "abilities": {"idempotent": "true"},
            "answer": {"not_processed_statuses": ["503", "429"]},
        }
    )
    assert settings.timeout_s == 2.5
    assert settings.connections_max == 4
    assert settings.abilities.idempotent
    assert settings.answer.not_processed_statuses == (503, 429)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "ftp://billing/"}, "http"),
        ({"url": "http://user:password@billing/"}, "without user"),
        ({"url": URL + "/{id}"}, "{id} is not a field"),
        ({"query_url": URL + "/{reference}"}, "{reference} is not a field"),
        ({"method": "GET"}, "method"),
        ({"metod": "POST"}, "metod"),
        ({"headers": {"X Y": "1"}}, "not the name of a header"),
        ({"headers": {"Authorization": "Bearer x"}}, "set by ppcd itself"),
        ({"headers": {"X-Shop": "кот"}}, "printable ASCII"),
        ({"headers": {"X-Shop": "a\r\nb"}}, "printable ASCII"),
        ({"headers": {"X-Shop": "{shop}"}}, "{shop} is not a field"),
        ({"body": {}}, "at least 1"),
        ({"body": {"sum": "amount"}}, "the key must be"),
        ({"body": {"sum": "price"}}, "body"),
        ({"timeout_s": 0}, "greater than 0"),
        ({"abilities": {"queryable": True}}, "needs a query_url or query"),
        ({"method": "PUT", "template": "{}", "body": {"k": "key"}}, "not both"),
        ({"template": '{"k": "{id}"}'}, "{id} is not a field"),
        ({"template": '{"k": 1}'}, "the key must be"),
        ({"template": '{"k": "{key}"'}, "not JSON"),
        ({"template": '{"k": "{key}", "m": {merchant}}'}, "not JSON"),
        ({"template": "<k>{key}<k>", "encoding": "xml"}, "not XML"),
        ({"template": "<k m={merchant}>{key}</k>", "encoding": "xml"}, "not XML"),
        ({"template": "<!DOCTYPE k><k>{key}</k>", "encoding": "xml"}, "DOCTYPE"),
        ({"template": "<k><![CDATA[{key}]]></k>", "encoding": "xml"}, "CDATA"),
        ({"template": "<k>{key}<!-- {merchant} --></k>", "encoding": "xml"}, "comment"),
        ({"template": "k={key}&t={time:%c}", "encoding": "form"}, "{time:%c} may hold"),
        ({"template": "k={key}&p={password}", "encoding": "form"}, "password_file"),
        ({"password_file": "p"}, "password_file"),
        ({"password_file": "p", "password_credential": "p"}, "not both"),
        ({"content_type": "text/\nxml"}, "printable ASCII"),
        ({"headers": {"Content-Type": "text/xml"}}, "set by ppcd itself"),
        ({"certificate_file": "c"}, "belong together"),
        ({"url": "http://b/", "ca_file": "c"}, "https"),
        ({"query_url": "http://b/{key}", "ca_file": "c"}, "https"),
        ({"query": {"url": URL}}, "the key must be"),
        ({"query": {"url": "ftp://b/{key}"}}, "http"),
        ({"query": {"url": URL, "template": '"{key}"'}}, "a GET has no template"),
        ({"query": {"url": URL + "/{key}", "headers": {"Host": "b"}}}, "set by ppcd itself"),
        ({"query": {"url": URL + "/{key}"}, "query_url": URL + "/{key}"}, "not both"),
        ({"answer": {"not_processed": ["refused"]}}, "both refused and not_processed"),
        ({"answer": {"format": "yaml"}}, "format"),
        ({"abilities": {"stores_refusals": True}}, "needs idempotent"),
        ({"abilities": {"reserving": True}}, "can't reserve"),
        ({"abilities": {"reversible": True}}, "reversible and refund belong together"),
        ({"refund": {"url": URL}}, "reversible and refund belong together"),
        (a_refund(url="ftp://b/"), "http"),
        (a_refund(url=URL + "/{id}"), "{id} is not a field"),
        (a_refund(body={"sum": "amount"}), "the key must be"),
        (a_refund(body={"k": "key"}, template='"{key}"'), "not both"),
        (a_refund(template='{"k": "{key}", "r": {debit_reference}}'), "not JSON"),
        (a_refund(headers={"Host": "b"}), "set by ppcd itself"),
        (a_refund(abilities={"queryable": True}), "needs a query"),
        (a_refund(abilities={"stores_refusals": True}), "needs idempotent"),
        (a_refund(query={"url": URL + "/{debit_key}"}), "the key must be"),
        (a_refund(answer={"refused": ["refunded"]}), "both refunded and refused"),
        (a_refund(url="http://b/") | {"ca_file": "c"}, "https"),
        (a_refund(template='"{key}{password}"'), "password_file"),
        ({"credentials_file": "a", "credentials_credential": "b"}, "not both"),
        ({"answer": {"refused": ["debited"]}}, "both debited and refused"),
        ({"answer": {"statuses": [200, 503], "not_processed_statuses": [503]}}, "two things"),
        ({"answer": {"statuses": [200, 404], "not_found_statuses": [404]}}, "two things"),
        ({"answer": {"reasons": {"no": "USER_DECLINED"}}}, "not a reason that billing gives"),
        ({"answer": {"other_reasons": "CONFIRMATION_TIMEOUT"}}, "not a reason that billing"),
        ({"answer": {"reasons": {"no": "BAD_LUCK"}}}, "reasons"),
    ],
)
def test_a_wrong_description_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        HttpBillingSettings.model_validate({"url": URL, **change})
    assert message in str(raised.value)


def test_the_key_may_travel_in_a_header_or_the_url() -> None:
    HttpBillingSettings(url=URL, body={"sum": "amount"}, headers={"Idempotency-Key": "{key}"})
    HttpBillingSettings(url=URL + "/{key}", method="PUT", body={"sum": "amount"})


def test_a_refund_may_name_the_debit_in_all_its_parts() -> None:
    settings = HttpBillingSettings.model_validate(
        {
            "url": URL,
            **a_refund(
                url=URL + "/{debit_key}/refunds/{key}",
                headers={"X-Debit": "{debit_reference}"},
                template='{"of": "{debit_reference}"}',
                query={"url": URL + "/{debit_key}/refunds/{key}", "headers": {"X": "{debit_key}"}},
                abilities={"queryable": True, "whole_only": True},
            ),
        }
    )
    assert settings.refund is not None
    abilities = settings.refund.abilities.abilities()
    assert abilities.reversible
    assert abilities.whole_only
    assert not abilities.idempotent
