"""The simulated operator's SMSC: takes messages to its phones, brings their answers and receipts.

Owns who may bind, what a submit is answered, ids, and what is written down before any answer
leaves; phones are `handsets`, bringing is `delivery`, what is wrong at present is `faults`. With
its journal a restart forgets nothing. Knows nothing of ppcd but SMPP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from ppcd.sim.delivery import RETRIED, Delivery, Item, RetryOptions
from ppcd.sim.faults import Faults
from ppcd.sim.handsets import Handsets, Message
from ppcd.sim.journal import Journal, read_journal, utc_now
from ppcd.sim.magic import ANSWER_S, Owners
from ppcd.sim.smsc_web import smsc_routes
from ppcd.sim.web import Reactor, Route
from ppcd.smpp import (
    Command,
    End,
    Listener,
    ListenerSettings,
    MessageState,
    MessageType,
    Npi,
    Pdu,
    Peer,
    RegisteredDelivery,
    SessionSettings,
    Status,
    Tag,
    TimerSettings,
    TlsSettings,
    Ton,
    build_receipt_text,
    c_string,
    command_name,
    deliver_sm,
    split,
)

_TEXTS: Final = frozenset[int]({Command.SUBMIT_SM, Command.DATA_SM})
_ITEMS: Final = ("mo", "receipt")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmscOptions:
    host: str = "127.0.0.1"
    #: 0: any free one.
    port: int = 0
    #: Who may bind, with which password; empty: anybody.
    accounts: Mapping[str, str] = field(default_factory=dict)
    #: Numbers that are phones of this operator.
    prefix: str = "38097"
    #: Where the journal smsc.jsonl is kept; messages survive a restart with it, and only with it.
    data_dir: Path | None = None
    fsync: bool = False
    receipt_delay_s: float = 0.2
    #: Messages of phones that may be with one ESME unanswered.
    window_max: int = 100
    mo_answer_timeout_s: float = 10.0
    retry: RetryOptions = field(default_factory=RetryOptions)
    tls: TlsSettings | None = None
    #: The people with the phones, where somebody plays them: else a phone answers when told to.
    owners: Owners | None = None


class Smsc:
    """`start` listens, `sim_routes` are for mounting in an HTTP server."""

    def __init__(
        self,
        reactor: Reactor,
        options: SmscOptions,
        *,
        now: Callable[[], datetime] = utc_now,
        random: Random | None = None,
    ) -> None:
        self.faults = Faults()
        self._reactor = reactor
        self._options = options
        self._now = now
        self._random = random or Random()  # noqa: S311  # duplicates and jitter, no secrets
        self._handsets = Handsets(options.prefix)
        path = options.data_dir and options.data_dir / "smsc.jsonl"
        earlier = read_journal(path) if path else []
        self._journal = Journal(path, fsync=options.fsync, now=now)
        self._delivery = Delivery(
            reactor,
            self._journal,
            options.retry,
            peers=lambda: self._listener.peers,
            acknowledged=self._acknowledged,
        )
        self._listener = Listener(
            _listening(options), reactor=reactor, handler=self, random=self._random.random
        )
        self._hooks: list[Callable[[Message], None]] = []
        self._timers: set[IDelayedCall] = set()
        self._messages = 0
        self._replies = 0
        self._references = 0
        self._second = 0.0
        self._taken = 0
        self._replay(earlier)

    @property
    def port(self) -> int:
        return self._listener.port

    async def start(self) -> None:
        await self._listener.start()
        self._journal.write("started", port=self.port)

    async def stop(self) -> None:
        self._delivery.stop()
        for timer in tuple(self._timers):
            timer.cancel()
        self._timers.clear()
        await self._listener.stop()
        self._journal.close()

    def on_message(self, hook: Callable[[Message], None]) -> None:
        """`hook` hears of each message that a phone receives."""
        self._hooks.append(hook)

    @property
    def peers(self) -> Sequence[Peer]:
        """The connections, bound or not."""
        return self._listener.peers

    @property
    def handsets(self) -> Handsets:
        return self._handsets

    def messages(self, msisdn: str) -> list[Message]:
        """What that phone received, oldest first."""
        return self._handsets.messages(msisdn)

    def drop_links(self) -> None:
        """Abort every connection, now."""
        self._journal.write("links_dropped", links=len(self._listener.peers))
        self._listener.drop_all()

    def reply(self, msisdn: str, text: str, to: str | None = None) -> str:
        """The phone sends `text`, without `to` to whoever wrote last; gives the reply's id.

        LookupError when there is nobody to answer, TextError for what no phone could write.
        """
        to = to or self._handsets.last_sender(msisdn)
        if to is None:
            raise LookupError(f"{msisdn} has received nothing to answer")
        self._references += 1
        parts = split(text, reference=self._references)
        self._replies += 1
        key = f"mo-{self._replies}"
        for number, part in enumerate(parts, 1):
            pdu = _from_phone(msisdn, to, part._asdict())
            one = key if len(parts) == 1 else f"{key}/{number}"
            self._journal.write(
                "mo_given", id=one, msisdn=msisdn, to=to, text=text, pdu=pdu.body.hex()
            )
            self._delivery.give(Item("mo", one, pdu, self._reactor.seconds()))
        return key

    # What ESMEs ask

    def bind_requested(self, peer: Peer, pdu: Pdu) -> int:
        status = self._bind_verdict(pdu)
        system_id = peer.system_id
        kind = command_name(pdu.command)
        self._journal.write("bind", link=peer.number, system_id=system_id, kind=kind, status=status)
        return status

    def bound(self, peer: Peer) -> None:
        self._delivery.pump()

    def received(self, peer: Peer, pdus: list[Pdu]) -> None:
        for pdu in pdus:
            if pdu.command in _TEXTS:
                self._submitted(peer, pdu)
            elif pdu.command == Command.QUERY_SM:
                state = MessageState.DELIVERED
                peer.answer(pdu, message_id=pdu.message_id, message_state=state)
            else:
                # Nothing waits here to be replaced or cancelled.
                peer.answer(pdu, Status.ESME_RINVMSGID)

    def ended(self, peer: Peer, end: End) -> None:
        self._journal.write("ended", link=peer.number, why=end.value)

    def _bind_verdict(self, pdu: Pdu) -> int:
        if self.faults.refuse_binds is not None:
            return self.faults.refuse_binds
        accounts = self._options.accounts
        system_id = pdu.system_id.decode("latin-1")
        if accounts and system_id not in accounts:
            return Status.ESME_RINVSYSID
        if accounts and accounts[system_id] != pdu.password.decode("latin-1"):
            return Status.ESME_RINVPASWD
        return Status.ESME_ROK

    def _submitted(self, peer: Peer, pdu: Pdu) -> None:
        to = pdu.destination_addr.decode("latin-1").removeprefix("+")
        sender = pdu.source_addr.decode("latin-1")
        status = self._submit_verdict(to)
        message_id = ""
        if status == Status.ESME_ROK:
            self._messages += 1
            message_id = f"{self._messages:010}"
        self._journal.write(
            "submit",
            id=message_id,
            link=peer.number,
            sender=sender,
            to=to,
            status=status,
            sequence=pdu.sequence,
            data_coding=pdu.data_coding,
            esm_class=pdu.esm_class,
            registered_delivery=pdu.registered_delivery,
            octets=pdu.message.hex(),
        )
        if status == Status.ESME_ROK:
            self._carry_out(pdu, message_id, to, sender)
        delay_s = self.faults.answer_delay_s
        if self.faults.silent:
            return
        if delay_s:
            self._later(delay_s, lambda: self._answer(peer, pdu, status, message_id))
        else:
            self._answer(peer, pdu, status, message_id)

    def _submit_verdict(self, to: str) -> int:
        faults = self.faults
        if faults.throttle_per_s is not None:
            now = self._reactor.seconds()
            if now - self._second >= 1.0:
                self._second, self._taken = now, 0
            if self._taken >= faults.throttle_per_s:
                return Status.ESME_RTHROTTLED
            self._taken += 1
        if faults.refuse and to in faults.refuse:
            return faults.refuse[to]
        return Status.ESME_ROK if self._handsets.exists(to) else Status.ESME_RINVDSTADR

    def _answer(self, peer: Peer, pdu: Pdu, status: int, message_id: str) -> None:
        self._journal.write("resp", id=message_id, link=peer.number, status=status)
        if status == Status.ESME_ROK:
            peer.answer(pdu, message_id=message_id.encode())
        else:
            peer.answer(pdu, status)

    # What becomes of a message

    def _carry_out(self, pdu: Pdu, message_id: str, to: str, sender: str) -> None:
        owners = self._options.owners
        reached = to not in self.faults.undeliverable and (owners is None or owners.reached(to))
        if reached:
            text = self._handsets.read(pdu, self._reactor.seconds())
            if text is not None:
                at = self._journal.write("message", sender=sender, to=to, text=text)
                self._show(Message(to, sender, text, at))
        wanted = pdu.registered_delivery & 3
        if wanted == RegisteredDelivery.ALWAYS or (
            wanted == RegisteredDelivery.ON_FAILURE and not reached
        ):
            state = MessageState.DELIVERED if reached else MessageState.UNDELIVERABLE
            receipt = self._receipt(pdu, message_id, state)
            self._journal.write(
                "receipt_given", id=message_id, state=state.name, pdu=receipt.body.hex()
            )
            item = Item("receipt", message_id, receipt, self._reactor.seconds())
            self._later(self._options.receipt_delay_s, lambda: self._delivery.give(item))

    def _show(self, message: Message) -> None:
        self._handsets.put(message)
        for hook in self._hooks:
            hook(message)
        owners = self._options.owners
        said = owners and owners.answer(message.to, message.sender, message.text)
        if said:
            self._later(ANSWER_S, lambda: self._say(message, said))

    def _say(self, message: Message, text: str) -> None:
        self.reply(message.to, text, message.sender)

    def _receipt(self, pdu: Pdu, message_id: str, state: MessageState) -> Pdu:
        now = self._now()
        error = "000" if state is MessageState.DELIVERED else "001"
        text = build_receipt_text(message_id, state, submitted_at=now, done_at=now, error=error)
        return deliver_sm(
            source_addr=pdu.destination_addr,
            source_addr_ton=pdu.dest_addr_ton,
            source_addr_npi=pdu.dest_addr_npi,
            destination_addr=pdu.source_addr,
            dest_addr_ton=pdu.source_addr_ton,
            dest_addr_npi=pdu.source_addr_npi,
            esm_class=MessageType.RECEIPT,
            short_message=text,
            tlvs=[
                (Tag.RECEIPTED_MESSAGE_ID, c_string(Tag.RECEIPTED_MESSAGE_ID, message_id.encode())),
                (Tag.MESSAGE_STATE, int(state)),
            ],
        )

    def _acknowledged(self, item: Item, status: int) -> None:
        doubled = self._random.random() * 100 < self.faults.duplicate_percent
        if item.what == "mo" and status == Status.ESME_ROK and doubled and item.first:
            self._journal.write("mo_duplicated", id=item.key)
            again = Item("mo", item.key, item.pdu, self._reactor.seconds(), first=False)
            self._later(0.0, lambda: self._delivery.give(again))

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        def due() -> None:
            self._timers.discard(timer)
            act()

        timer = self._reactor.callLater(delay_s, due)
        self._timers.add(timer)

    def _replay(self, entries: Sequence[dict[str, object]]) -> None:
        """What an earlier process wrote: phones keep their messages, what is open is brought."""
        items: dict[tuple[str, str], Item] = {}
        for entry in entries:
            kind, key = str(entry["entry"]), str(entry.get("id", ""))
            what, _, step = kind.partition("_")
            if kind == "message":
                texts = (str(entry[name]) for name in ("to", "sender", "text", "at"))
                self._handsets.put(Message(*texts))
            elif kind == "submit" and key:
                self._messages = int(key)
            elif what in _ITEMS and step == "given":
                pdu = Pdu(Command.DELIVER_SM, body=bytes.fromhex(str(entry["pdu"])))
                items[what, key] = Item(what, key, pdu, self._reactor.seconds())
                if what == "mo":
                    self._replies = int(key.removeprefix("mo-").partition("/")[0])
            elif what in _ITEMS and (step == "given_up" or _is_final(entry)):
                items.pop((what, key), None)
        for item in items.values():
            self._delivery.give(item)

    def turn(self, wanted: Mapping[str, object]) -> None:
        """Change faults, as JSON has them; ValueError names the one that can't be."""
        self.faults = self.faults.changed(wanted)
        self._journal.write("faults", **self.faults.asdict())

    def sim_routes(self) -> Sequence[Route]:
        return smsc_routes(self)


def _listening(options: SmscOptions) -> ListenerSettings:
    # Leaving is quick: what is not acknowledged by then is brought again, which ESMEs must bear.
    timers = TimerSettings(drain_s=1.0, unbind_s=1.0)
    session = SessionSettings(
        window_max=options.window_max,
        queue_max=options.window_max,
        response_timeout_s=options.mo_answer_timeout_s,
        throttle_retries_max=0,
        pdu_size_max=70_000,
        timers=timers,
    )
    return ListenerSettings(
        host=options.host, port=options.port, system_id="SIMSC", tls=options.tls, session=session
    )


def _from_phone(msisdn: str, to: str, part: dict[str, object]) -> Pdu:
    return deliver_sm(
        source_addr=msisdn.encode(),
        source_addr_ton=Ton.INTERNATIONAL,
        source_addr_npi=Npi.ISDN,
        destination_addr=to.encode(),
        **part,  # type: ignore[arg-type]
    )


def _is_final(entry: Mapping[str, object]) -> bool:
    acked = str(entry["entry"]).endswith("_acked")
    return acked and entry["status"] not in RETRIED
