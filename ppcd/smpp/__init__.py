"""SMPP 3.4, and what 5.0 adds for an ESME: codec, text, receipts, sessions, links.

One codec for both sides. The codec, text and session parts are sans-IO: octets and times in,
values out; only `link` and `listener` know Twisted. Imports nothing else of ppcd and knows
nothing about payments.
"""

# --- codec and text: values only -----------------------------------------------------------------
# --- session, link, listener: who talks to whom --------------------------------------------------
from ppcd.smpp.backoff import Backoff as Backoff
from ppcd.smpp.batch import Batch as Batch
from ppcd.smpp.binding import LinkState as LinkState
from ppcd.smpp.body import WireQuirks as WireQuirks
from ppcd.smpp.command import BINDS as BINDS
from ppcd.smpp.command import RESPONSE_BIT as RESPONSE_BIT
from ppcd.smpp.command import Command as Command
from ppcd.smpp.command import command_name as command_name
from ppcd.smpp.command import is_response as is_response
from ppcd.smpp.decode import PDU_SIZE_MAX as PDU_SIZE_MAX
from ppcd.smpp.decode import Decoder as Decoder
from ppcd.smpp.decode import DeliverRow as DeliverRow
from ppcd.smpp.decode import DeliverRows as DeliverRows
from ppcd.smpp.decode import encode_deliver_resps as encode_deliver_resps
from ppcd.smpp.driver import Driver as Driver
from ppcd.smpp.errors import EncodeError as EncodeError
from ppcd.smpp.errors import FramingError as FramingError
from ppcd.smpp.errors import SmppError as SmppError
from ppcd.smpp.errors import TextError as TextError
from ppcd.smpp.errors import TimeError as TimeError
from ppcd.smpp.events import End as End
from ppcd.smpp.events import Oddity as Oddity
from ppcd.smpp.fields import Destination as Destination
from ppcd.smpp.fields import DistributionList as DistributionList
from ppcd.smpp.fields import Unsuccessful as Unsuccessful
from ppcd.smpp.group import LinkGroup as LinkGroup
from ppcd.smpp.link import Counts as Counts
from ppcd.smpp.link import Inbound as Inbound
from ppcd.smpp.link import Inbox as Inbox
from ppcd.smpp.link import Link as Link
from ppcd.smpp.listener import Handler as Handler
from ppcd.smpp.listener import Listener as Listener
from ppcd.smpp.listener import ListenerSettings as ListenerSettings
from ppcd.smpp.listener import Peer as Peer
from ppcd.smpp.matrix import Role as Role
from ppcd.smpp.matrix import State as State
from ppcd.smpp.octets import ESM_REPLY_PATH as ESM_REPLY_PATH
from ppcd.smpp.octets import ESM_UDHI as ESM_UDHI
from ppcd.smpp.octets import FINAL_STATES as FINAL_STATES
from ppcd.smpp.octets import MessageState as MessageState
from ppcd.smpp.octets import MessageType as MessageType
from ppcd.smpp.octets import Npi as Npi
from ppcd.smpp.octets import RegisteredDelivery as RegisteredDelivery
from ppcd.smpp.octets import Ton as Ton
from ppcd.smpp.octets import message_type as message_type
from ppcd.smpp.pdu import SEQUENCE_MAX as SEQUENCE_MAX
from ppcd.smpp.pdu import Fault as Fault
from ppcd.smpp.pdu import Pdu as Pdu
from ppcd.smpp.pdu import build as build
from ppcd.smpp.pdu import encode as encode
from ppcd.smpp.pdu import generic_nack as generic_nack
from ppcd.smpp.pdu import response_to as response_to
from ppcd.smpp.quirks import Quirks as Quirks
from ppcd.smpp.requests import INTERFACE_VERSION as INTERFACE_VERSION
from ppcd.smpp.requests import bind as bind
from ppcd.smpp.requests import deliver_sm as deliver_sm
from ppcd.smpp.requests import enquire_link as enquire_link
from ppcd.smpp.requests import submit_sm as submit_sm
from ppcd.smpp.requests import unbind as unbind
from ppcd.smpp.session import Session as Session
from ppcd.smpp.settings import BackoffSettings as BackoffSettings
from ppcd.smpp.settings import LinkSettings as LinkSettings
from ppcd.smpp.settings import SessionSettings as SessionSettings
from ppcd.smpp.settings import TlsSettings as TlsSettings
from ppcd.smpp.status import Advice as Advice
from ppcd.smpp.status import Status as Status
from ppcd.smpp.status import advice as advice
from ppcd.smpp.status import status_name as status_name
from ppcd.smpp.submission import Accepted as Accepted
from ppcd.smpp.submission import NotSent as NotSent
from ppcd.smpp.submission import Refused as Refused
from ppcd.smpp.submission import SubmitAnswer as SubmitAnswer
from ppcd.smpp.submission import Unknown as Unknown
from ppcd.smpp.timers import TimerSettings as TimerSettings
from ppcd.smpp.tlv import Tag as Tag
from ppcd.smpp.tlv import Tlvs as Tlvs
from ppcd.smpp.tlv import c_string as c_string
from ppcd.smpp.tlv import encode_tlv as encode_tlv
from ppcd.smpp.tlv import tag_name as tag_name
