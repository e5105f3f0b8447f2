"""An ESME of smpplib that goes once through a talk: smpplib_esme.py PORT"""

import json
import sys
from typing import Any

import smpplib.client
import smpplib.exceptions


def say(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def a_client(port: int) -> Any:
    client = smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True, timeout=10)
    client.connect()
    return client


port = int(sys.argv[1])
client = a_client(port)
try:
    client.bind_transceiver(system_id="smpplib", password="wrong")
except smpplib.exceptions.PDUError as error:
    say("bound", status=error.args[1])
client.disconnect()

client = a_client(port)
delivered: list[Any] = []


def on_message(pdu: Any) -> None:
    delivered.append(pdu)
    say("deliver", text=pdu.short_message.hex(), coding=pdu.data_coding)


client.set_message_received_handler(on_message)
client.set_message_sent_handler(
    lambda pdu: say("submitted", status=pdu.status, id=pdu.message_id.decode())
)
client.bind_transceiver(system_id="smpplib", password="secret")
say("bound", status=0)
for text, coding in ((b"hello", 0), (bytes.fromhex("04140410"), 8)):
    client.send_message(
        source_addr="717100",
        destination_addr="380971234567",
        short_message=text,
        data_coding=coding,
    )
    client.read_once()
say("reading")
while len(delivered) < 3:
    client.read_once()
client.unbind()
say("unbound")
client.disconnect()
