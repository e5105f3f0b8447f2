"""Small fakes of what operators have: the simulated billing, spoken to in their languages.

Each reads requests and writes answers with another implementation than ppcd's own, and shares the
simulator's accounts, journal and bad manners.
"""

import json
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import replace
from xml.etree import ElementTree

from ppcd.sim.billing import Billing
from ppcd.sim.web import Answer, Refused, Request, Response, Route

DONE = ("debited", "refunded")


class Dialect(Billing):
    """The simulated billing with another interface; `path` is where it is."""

    path: str

    def routes(self) -> Sequence[Route]:
        return (Route("POST", self.path, self._translate), *self.sim_routes())

    async def _translate(self, request: Request) -> Answer:
        order = self.read(request)
        asked = replace(request, body=json.dumps(order).encode())
        post = self._post_refund if "debit_key" in order else self._post_debit
        return self._written(await post(asked), str(order["key"]))

    def _written(self, answer: Answer, key: str) -> Answer:
        """What is JSON in the simulator's own language, in this one."""
        if not isinstance(answer, Response) or answer.status != 200:
            return answer
        try:
            said = json.loads(answer.body)
        except ValueError:
            return answer  # garbage in any language
        return self.write(said, key)

    def read(self, request: Request) -> dict[str, object]:
        raise NotImplementedError

    def write(self, said: Mapping[str, str], key: str) -> Response:
        raise NotImplementedError


class Rest(Dialect):
    """Another JSON than the simulator's."""

    path = "/v1/debits"
    codes: Mapping[str, str] = {
        "insufficient": "NO_FUNDS",
        "barred": "BARRED",
        "unknown": "NO_SUBSCRIBER",
    }

    def routes(self) -> Sequence[Route]:
        return (
            *super().routes(),
            Route("GET", "/v1/debits/{key}", self._ask),
            Route("POST", "/v1/debits/{debit_key}/refunds", self._translate),
            Route("GET", "/v1/debits/{debit_key}/refunds/{key}", self._ask),
        )

    async def _ask(self, request: Request) -> Answer:
        get = self._get_refund if "debit_key" in request.params else self._get_debit
        answer, key = await get(request), request.params["key"]
        if isinstance(answer, Response) and answer.status == 404:
            return Response(404, json.dumps({"id": key, "status": "UNKNOWN"}).encode())
        return self._written(answer, key)

    def read(self, request: Request) -> dict[str, object]:
        asked = request.json()
        subscriber, price = asked["subscriber"], asked["price"]
        assert isinstance(subscriber, dict)
        assert isinstance(price, dict)
        if "debit_key" in request.params:
            assert asked["transaction"] == 'T"17'
        else:
            assert asked["text"] == 'GameX «Ключ» "quoted": 250 gold\\, золото'
        return {
            "key": asked["id"],
            "msisdn": subscriber["msisdn"],
            "amount_minor": price["minor"],
            "currency": price["currency"],
            **request.params,
        }

    def write(self, said: Mapping[str, str], key: str) -> Response:
        answer: dict[str, object] = {"id": key}
        if said["result"] in DONE:
            answer |= {"status": "DONE", "transaction": said["reference"]}
        else:
            answer |= {"status": "REFUSED", "error": {"code": self.codes[said["reason"]]}}
        return Response(200, json.dumps(answer).encode())


class Air(Dialect):
    """UCIP's UpdateBalanceAndDate, by the standard library's XML-RPC."""

    path = "/Air"
    codes: Mapping[str, int] = {"insufficient": 124, "barred": 103, "unknown": 102}

    def read(self, request: Request) -> dict[str, object]:
        assert request.header(b"user-agent") == "UGw Server/5.0/1.0"
        parameters, method = xmlrpc.client.loads(request.body)
        assert method == "UpdateBalanceAndDate"
        [asked] = parameters
        assert isinstance(asked, dict)
        assert isinstance(asked["originTimeStamp"], xmlrpc.client.DateTime)
        assert asked["externalData1"] == 'GameX «Ключ» "quoted"'
        relative = int(asked["adjustmentAmountRelative"])
        order: dict[str, object] = {
            "key": asked["originTransactionID"],
            "msisdn": asked["subscriberNumber"],
            "amount_minor": abs(relative),
            "currency": asked["transactionCurrency"],
        }
        if relative > 0:
            order["debit_key"] = asked["externalData2"]
        return order

    def write(self, said: Mapping[str, str], key: str) -> Response:
        code = 0 if said["result"] in DONE else self.codes[said["reason"]]
        struct = {"responseCode": code, "originTransactionID": key}
        body = xmlrpc.client.dumps((struct,), methodresponse=True).encode()
        return Response(200, body, (("Content-Type", "text/xml"),))


BCS = "{http://www.huawei.com/bme/cbsinterface/bcservices}"
BCC = "{http://www.huawei.com/bme/cbsinterface/bccommon}"
CBS = "{http://www.huawei.com/bme/cbsinterface/cbscommon}"
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"


class Cbs(Dialect):
    """FeeDeduction of Huawei's bcservices, by the standard library's ElementTree."""

    path = "/services/BcServices"
    codes: Mapping[str, str] = {
        "insufficient": "118030109",
        "barred": "118030111",
        "unknown": "102010001",
    }

    def read(self, request: Request) -> dict[str, object]:
        act = str(request.header(b"soapaction")).strip('"')
        assert request.header(b"content-type") == "text/xml; charset=utf-8"
        envelope = ElementTree.fromstring(request.body)
        message = envelope.find(f"{SOAP}Body/{BCS}{act}RequestMsg")
        assert message is not None
        password = message.findtext(f"RequestHeader/{CBS}AccessSecurity/{CBS}Password")
        if password != "pa55<&>word":
            raise Refused(401, "who is that?")
        asked = message.find(f"{act}Request")
        assert asked is not None
        if act == "FeeDeductionRollBack":
            return self._rollback(message, asked)
        merchant = asked.findtext(f"{BCS}AdditionalProperty/{BCC}Value")
        assert merchant == 'GameX «Ключ» "quoted"'
        return {
            "key": asked.findtext(f"{BCS}DeductSerialNo"),
            "msisdn": asked.findtext(f"{BCS}DeductObj/{BCS}SubAccessCode/{BCC}PrimaryIdentity"),
            "amount_minor": int(asked.findtext(f"{BCS}DeductInfo/{BCS}ChargeAmt") or 0),
            "currency": asked.findtext(f"{BCS}DeductInfo/{BCS}CurrencyId"),
        }

    def _rollback(
        self, message: ElementTree.Element, asked: ElementTree.Element
    ) -> dict[str, object]:
        """All of a deduction, by its serial number alone."""
        serial = asked.findtext(f"{BCS}DeductSerialNo") or ""
        deduction = self._accounts.record(serial)
        assert deduction is not None
        return {
            **deduction.order.asdict(),
            "key": message.findtext(f"RequestHeader/{CBS}MessageSeq"),
            "debit_key": serial,
        }

    def write(self, said: Mapping[str, str], key: str) -> Response:
        envelope = ElementTree.Element(f"{SOAP}Envelope")
        body = ElementTree.SubElement(envelope, f"{SOAP}Body")
        act = "FeeDeductionRollBack" if "debit_key" in said else "FeeDeduction"
        message = ElementTree.SubElement(body, f"{BCS}{act}ResultMsg")
        header = ElementTree.SubElement(message, "ResultHeader")
        done = said["result"] in DONE
        code = "0" if done else self.codes[said["reason"]]
        ElementTree.SubElement(header, f"{CBS}ResultCode").text = code
        if done:
            result = ElementTree.SubElement(message, f"{act}Result")
            serial = said.get("debit_key", key)
            ElementTree.SubElement(result, f"{BCS}DeductSerialNo").text = serial
        return Response(200, ElementTree.tostring(envelope), (("Content-Type", "text/xml"),))
