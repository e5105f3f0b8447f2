"""Answers are read in one way or not at all."""

import xmlrpc.client
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ppcd.billing.documents import DEPTH_MAX, ELEMENTS_MAX, Format, Unreadable, read_document

SOAP = b"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">
 <soapenv:Body>
  <bc:Answer xmlns:bc="urn:bc" code="7">
   <Header><ResultCode> 0 </ResultCode></Header>
   <Item>a</Item><Item>b</Item>
  </bc:Answer>
 </soapenv:Body>
</soapenv:Envelope>"""


def found(form: Format, body: bytes, path: str) -> str | None:
    return read_document(form, body)(path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("Envelope/Body/Answer/Header/ResultCode", "0"),
        ("/Envelope/*/*/Header/ResultCode", "0"),
        ("Envelope/Body/Answer@code", "7"),
        ("Envelope/Body/Answer/@code", "7"),
        ("Envelope/Body/Answer/@other", None),
        ("Envelope/Body/Answer/Header", None),
        ("Envelope/Body/Answer/Item", None),
        ("Envelope/Body/ResultCode", None),
        ("ResultCode", None),
        ("", None),
    ],
)
def test_xml_is_read_by_local_names_and_only_where_there_is_one(path: str, text: str) -> None:
    assert found("xml", SOAP, path) == text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a>",
        b"<a/><b/>",
        b"<a>&nbsp;</a>",
        b"<a><b:c/></a>",
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY x "0">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><a/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"<a>" * (DEPTH_MAX + 1) + b"</a>" * (DEPTH_MAX + 1),
        b"<a>" + b"<b/>" * ELEMENTS_MAX + b"</a>",
    ],
)
def test_xml_that_is_broken_endless_or_has_entities_is_not_read(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_document("xml", body)


def test_xml_has_the_encoding_that_it_declares() -> None:
    body = '<?xml version="1.0" encoding="windows-1251"?><a>готово</a>'.encode("cp1251")
    assert found("xml", body, "a") == "готово"


def test_xmlrpc_is_read_as_another_implementation_writes_it() -> None:
    answer = {
        "responseCode": 0,
        "text": "a < b",
        "at": xmlrpc.client.DateTime(datetime(2026, 11, 23, 9, 5, 7)),  # noqa: DTZ001
        "list": [{"id": "x"}, 5],
        "ok": True,
        "none": None,
        "empty": "",
    }
    body = xmlrpc.client.dumps((answer,), methodresponse=True, allow_none=True).encode()
    find = read_document("xmlrpc", body)
    assert find("responseCode") == "0"
    assert find("text") == "a < b"
    assert find("at") == "20261123T09:05:07"
    assert find("list.0.id") == "x"
    assert find("list.1") == "5"
    assert find("ok") == "1"
    assert find("empty") == ""
    assert [find(path) for path in ("none", "list", "list.2", "list.x", "nothing", "fault")] == [
        None
    ] * 6


def test_an_xmlrpc_fault_has_its_code() -> None:
    body = xmlrpc.client.dumps(xmlrpc.client.Fault(1001, "mandatory field missing")).encode()
    assert found("xmlrpc", body, "fault.faultCode") == "1001"
    assert found("xmlrpc", body, "responseCode") is None


@pytest.mark.parametrize(
    "body",
    [
        b"<a/>",
        b"<methodResponse/>",
        b"<methodResponse><params/></methodResponse>",
        b"<methodResponse><params><param><value><i4>1</i4><i4>2</i4></value></param></params>"
        b"</methodResponse>",
        b"<methodResponse><params><param><value><i4><x/></i4></value></param></params>"
        b"</methodResponse>",
        b"<methodResponse><params><param><value><struct><member><name>a</name></member></struct>"
        b"</value></param></params></methodResponse>",
        b"<methodResponse><params><param><value><struct>"
        b"<member><name>a</name><value>1</value></member>"
        b"<member><name>a</name><value>2</value></member>"
        b"</struct></value></param></params></methodResponse>",
    ],
)
def test_what_is_not_quite_xmlrpc_is_not_read(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_document("xmlrpc", body)


def test_json_and_form_are_read_by_path_and_name() -> None:
    assert found("json", b'{"a": {"b": [null, 17]}}', "a.b.1") == "17"
    assert found("json", b'{"a": {"b": [null, 17]}}', "a.b.2") is None
    assert found("json", b'{"a": {"b": [null, 17]}}', "a.b.0") is None
    assert found("form", b"code=0&ref=A%201\n", "ref") == "A 1"
    assert found("form", b"code=0&ref=A%201", "nothing") is None


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("form", b"OK"),
        ("form", b"a=1&a=2"),
        ("form", b"a=\xff"),
        ("form", b"&".join(b"a%d=1" % n for n in range(201))),
        ("json", b'{"a": {"b": 1, "b": 2}}'),
        ("json", b"1" * 5000),
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read(form: Format, body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_document(form, body)


@examples(deadline=None)
@given(st.sampled_from(["json", "xml", "xmlrpc", "form"]), st.binary(max_size=200))
def test_no_bytes_raise_anything_else(form: Format, body: bytes) -> None:
    try:
        find = read_document(form, body)
    except Unreadable:
        return
    assert find("a") is None or isinstance(find("a"), str)
