"""Messages for tests: written by hand, and recorded from another implementation's encoder."""

from __future__ import annotations

from typing import Any

from ppcd.billing.diameter.codes import CREDIT_CONTROL, Code, Command, Flag
from ppcd.billing.diameter.octets import Cutter, Message, avp, text_avp, u32_avp
from ppcd.billing.diameter.requests import Identity, Service, money_avp
from ppcd.charge.money import Money

SESSION = "ppcd.ppcd.example;0;1001"
OURS = Identity(host="ppcd1.ppcd.example", realm="ppcd.example")
THEIRS = Identity(host="ocs.operator.example", realm="operator.example")

#: By python-diameter 0.9.0: 2001 and 25 x 10^0 UAH granted.
GRANTED = bytes.fromhex(
    "010000d8400001100000000400000001000000020000010740000020707063642e707063642e6578616d706c65"
    "3b303b313030310000010c4000000c000007d1000001080000001c6f63732e6f70657261746f722e6578616d70"
    "6c6500000128000000186f70657261746f722e6578616d706c65000001024000000c00000004000001a0400000"
    "0c000000040000019f4000000c00000000000001af400000400000019d40000038000001bd40000024000001bf"
    "400000100000000000000019000001ad4000000c00000000000001a94000000c000003d4"
)

#: By the same: 2001 outside; inside of Multiple-Services-Credit-Control the same money, and 4012.
REFUSED_INSIDE = bytes.fromhex(
    "010000ec400001100000000400000001000000020000010740000020707063642e707063642e6578616d706c65"
    "3b303b313030310000010c4000000c000007d1000001080000001c6f63732e6f70657261746f722e6578616d70"
    "6c6500000128000000186f70657261746f722e6578616d706c65000001024000000c00000004000001a0400000"
    "0c000000040000019f4000000c00000000000001c840000054000001af400000400000019d40000038000001bd"
    "40000024000001bf400000100000000000000019000001ad4000000c00000000000001a94000000c000003d400"
    "00010c4000000c00000fac"
)


def a_service(**changes: Any) -> Service:
    described: dict[str, Any] = {
        "identity": OURS,
        "session_identity": "ppcd.ppcd.example",
        "destination_realm": "operator.example",
        "destination_host": None,
        "context": "ppcd@operator.example",
        "service_identifier": None,
        "rating_group": None,
        "use_mscc": False,
    }
    return Service(**described | changes)


def cut(data: bytes) -> list[Message]:
    """All messages of a stream that has nothing else."""
    messages, fault = Cutter().feed(data)
    assert fault is None
    return messages


def origin(identity: Identity = THEIRS) -> bytes:
    return text_avp(Code.ORIGIN_HOST, identity.host) + text_avp(Code.ORIGIN_REALM, identity.realm)


def answer_to(request: Message, body: bytes, *, flags: int = 0) -> bytes:
    return Message(
        flags,
        request.command,
        request.application,
        request.hop_by_hop,
        request.end_to_end,
        body,
    ).encoded()


def a_cea(request: Message, body: bytes | None = None) -> bytes:
    ours = u32_avp(Code.RESULT_CODE, 2001) + origin()
    body = ours + u32_avp(Code.AUTH_APPLICATION_ID, CREDIT_CONTROL) if body is None else body
    return answer_to(request, body)


def a_dwa(request: Message) -> bytes:
    return answer_to(request, u32_avp(Code.RESULT_CODE, 2001) + origin())


def a_request(command: int, body: bytes = b"", *, number: int = 77) -> bytes:
    return Message(Flag.REQUEST, command, 0, number, number, origin() + body).encoded()


def a_cca(
    *parts: bytes, code: int | None = 2001, session: str | None = SESSION, flags: int = 0
) -> Message:
    head = b"" if session is None else text_avp(Code.SESSION_ID, session)
    result = b"" if code is None else u32_avp(Code.RESULT_CODE, code)
    body = head + result + b"".join(parts)
    return Message(flags, Command.CREDIT_CONTROL, CREDIT_CONTROL, 1, 2, body)


def granted(money: Money) -> bytes:
    return avp(Code.GRANTED_SERVICE_UNIT, money_avp(money))


def inside(*parts: bytes) -> bytes:
    return avp(Code.MULTIPLE_SERVICES_CREDIT_CONTROL, b"".join(parts))
