"""The step that reads answers: read the word, commit, then let the SMSC have its answer.

Owns that nothing is acknowledged before its commit. Refuses to know PDUs; per batch, never per
message, it touches Deferreds, logs and labelled metrics.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from operator import attrgetter
from typing import Any

from twisted.logger import Logger

from ppcd.charge.consequence import Effect
from ppcd.charge.reading import Reader, Reading, Verdict
from ppcd.flow.ports import LEASE_S, Ids, Mos, Offers, Said
from ppcd.metrics import Metrics
from ppcd.store import replies, second_look, subscribers
from ppcd.store.batcher import Batcher
from ppcd.store.lanes import Runner, StoreError, single
from ppcd.store.replies import Settled
from ppcd.store.rows import ClearReplies, Evidence, NewReply, awaiting_key
from ppcd.store.sql import Cursor

log = Logger(namespace="ppcd.flow.reply")

#: Messages that are remembered with what they mean: «ДА» comes in a few dozen spellings.
UNDERSTOOD_MAX = 4096
UNREADABLE = Reading(Verdict.UNCLEAR, None, "unreadable")
SEVERAL_PARTS = Reading(Verdict.UNCLEAR, None, "several_parts")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRules:
    """What holds for answers now."""

    reader: Reader
    reprompts_max: int
    wrong_codes_max: int
    #: How long a subscriber who said STOP is not asked again; 0: as if it were a no.
    stop_blocks_s: float = 0


class Replies:
    """Reads and settles the answers of phones, in batches."""

    def __init__(
        self,
        *,
        confirming: Runner,
        rules: Callable[[], "ReplyRules"],
        address_numbers: Callable[[], Mapping[tuple[str, str], int]],
        untrusted: frozenset[str],
        offers: Offers,
        metrics: Metrics,
        ids: Ids,
    ) -> None:
        """`confirming` are lanes with a pinned plan; `untrusted` names links not vouched for.

        `address_numbers` gives a reply address's number by (link, address): an answer counts only
        when it comes over a link of the address's route.
        """
        self._rules = rules
        self._understood_by: tuple[object, object] | None = None
        self._understood: dict[Said, _Understood] = {}
        self._address_numbers = address_numbers
        self._untrusted = untrusted
        self._offers = offers
        self._metrics = metrics
        self._ids = ids
        self._confirm: Batcher[tuple[bytes, Evidence], Settled | None] = Batcher(
            confirming,
            single(partial(self._first_look)),
            size_max=2000,
            lanes_max=3,
            # What 10 ms bring at half of what can be done must not wait for those before.
            second_lane_threshold=200,
            waiting_max=50_000,
            # Of a phone, not of a phone and an address: those are there already.
            keys_of=attrgetter("msisdns"),
            join=ClearReplies.joined,
            retry_unknown=True,
        )
        self._look_again: Batcher[NewReply, Settled] = Batcher(
            confirming,
            self._second_look,
            size_max=500,
            waiting_max=50_000,
            key=_key_of,
            retry_unknown=True,
        )
        self._block: Batcher[int, None] = Batcher(
            confirming, self._stop, size_max=500, waiting_max=50_000
        )

    async def receive(
        self, batch: Mos, early: Callable[[Sequence[int]], None] | None = None
    ) -> list[bool]:
        """Settle a batch of answers; for each, whether it is recorded and may be acknowledged.

        False: the store could not say so in time; the SMSC must send it again. `early` is called
        when some still wait for a second look, with their positions: all others are recorded.
        """
        try:
            await self._ids.ensure(len(batch))
            read = self._read(batch)
            await self._block_who_said_stop(read.clear)
        except StoreError as exc:
            _not_acknowledged(len(batch), exc)
            return [False] * len(batch)
        recorded = [True] * len(batch)
        settled = await self._settle(self._confirm, read.clear)
        # One second look, for those that can't settle a charge and for those that have not: two
        # would cost twice as much, and the later one is no sooner.
        others = read.others_at
        if settled is None:
            for position in read.clear_at:
                recorded[position] = False
        else:
            others = [*_unsettled(read, settled), *others]
            if early is not None and others:
                early(sorted(others))
        if others and await self._settle_others(batch, read, others) is None:
            for position in others:
                recorded[position] = False
        return recorded

    async def _settle_others(
        self, batch: Mos, read: "_Read", others: Sequence[int]
    ) -> list[Settled | None] | None:
        """The second look at those at these positions of the batch; None: nobody knows in time."""
        try:
            await self._ids.ensure(len(others))
        except StoreError as exc:
            _not_acknowledged(len(others), exc)
            return None
        ids = self._ids.take(len(others))
        again = [
            _reply(reply_id, batch.msisdns[at], read.understood[at].evidence)
            for reply_id, at in zip(ids, others, strict=True)
        ]
        return await self._settle(self._look_again, again)

    async def _settle(
        self, batcher: Batcher[Any, Any], batch: Sequence[Any]
    ) -> list[Settled | None] | None:
        """What was settled of these, and handed on; None: nobody knows in time."""
        try:
            settled: list[Settled | None] = await batcher.submit(batch)
        except StoreError as exc:
            _not_acknowledged(len(batch), exc)
            return None
        self._hand_on(settled)
        return settled

    def _read(self, batch: Mos) -> "_Read":
        """Take a batch apart: what may settle a charge at once, and what can't."""
        understood = self._understand(batch.said)
        for verdict, count in Counter([one.evidence.verdict for one in understood]).items():
            self._metrics.replies.child(verdict).add(count)
        counts = [one.counts for one in understood]
        if None in batch.msisdns:
            counts = [
                yes and msisdn is not None
                for yes, msisdn in zip(counts, batch.msisdns, strict=True)
            ]
        evidence = [one.evidence for one in understood]
        msisdns: list[Any] = batch.msisdns
        clear_at: Sequence[int] = range(len(counts))
        others_at: list[int] = []
        if not all(counts):  # which is rare
            others_at = [at for at, yes in enumerate(counts) if not yes]
            clear_at = list(compress(clear_at, counts))
            msisdns, evidence = list(compress(msisdns, counts)), list(compress(evidence, counts))
        clear = ClearReplies(self._ids.take_runs(len(msisdns)), msisdns, evidence)
        return _Read(understood, clear, clear_at, others_at)

    def _understand(self, said: list[Said]) -> list["_Understood"]:
        rules = (self._rules().reader, self._address_numbers())
        if rules != self._understood_by:  # others are in force than when it was understood
            self._understood_by = rules
            self._understood.clear()
        try:
            return [self._understood[one] for one in said]
        except KeyError:
            return [self._understood.get(one) or self._understand_anew(one) for one in said]

    def _understand_anew(self, said: Said) -> "_Understood":
        """The number of the address that it was sent to, its reading, and whether it counts."""
        number = self._address_numbers().get((said.link, said.address))
        if said.text is None:
            reading = UNREADABLE
        elif said.part:
            reading = SEVERAL_PARTS
        else:
            reading = self._rules().reader.read(said.text)
        evidence = Evidence(
            address=said.address,
            link=said.link,
            raw=said.raw,
            data_coding=said.data_coding,
            esm_class=said.esm_class,
            verdict=reading.verdict.value,
            number=reading.number,
            rule=reading.rule,
            address_no=number,
        )
        understood = _Understood(evidence, number is not None and said.link not in self._untrusted)
        if len(self._understood) >= UNDERSTOOD_MAX:
            self._understood.clear()
        self._understood[said] = understood
        return understood

    def _first_look(
        self, cur: Cursor, batch: ClearReplies, *, repeat: bool = False
    ) -> list[Settled | None]:
        # Jobs that this node could not begin are nobody's from the start: giving them back later
        # would cost more than the confirmation did.
        return replies.confirm(
            cur,
            batch,
            lease_s=LEASE_S if self._offers.wants_debits() else 0,
            reprompts_max=self._rules().reprompts_max,
            prompt_lease_s=LEASE_S if self._offers.wants_prompts() else 0,
            repeat=repeat,
        )

    def _second_look(
        self, cur: Cursor, batch: Sequence[NewReply], *, repeat: bool = False
    ) -> list[Settled]:
        rules = self._rules()
        return second_look.look_again(
            cur,
            batch,
            untrusted=self._untrusted,
            reprompts_max=rules.reprompts_max,
            wrong_codes_max=rules.wrong_codes_max,
            lease_s=LEASE_S if self._offers.wants_prompts() else 0,
            repeat=repeat,
        )

    async def _block_who_said_stop(self, clear: ClearReplies) -> None:
        """Before anything is settled: what is not blocked is not acknowledged, and comes again."""
        if self._rules().stop_blocks_s <= 0:
            return
        stopped = [
            int(msisdn)
            for msisdn, evidence in zip(clear.msisdns, clear.evidence, strict=True)
            if evidence.verdict == Verdict.STOP
        ]
        if stopped:
            await self._block.submit(stopped)

    def _stop(self, cur: Cursor, batch: Sequence[int]) -> list[None]:
        return subscribers.stop(cur, batch, seconds=self._rules().stop_blocks_s)

    def _hand_on(self, settled: Sequence[Settled | None]) -> None:
        # Of those that only confirmed there is nothing to hand on, and they are nearly all.
        done = [s for s in settled if s is not replies.CONFIRMED and s is not None]
        self._offers.debits([s.debit for s in done if s.debit is not None])
        self._offers.webhooks([s.webhook for s in done if s.webhook is not None])
        self._offers.prompts([s.prompt for s in done if s.prompt is not None])
        effects = Counter(str(s.effect) for s in done)
        effects[Effect.CONFIRMED] += len(settled) - len(done) - settled.count(None)
        for effect, count in effects.items():
            self._metrics.reply_effects.child(effect).add(count)
            if effect == Effect.CONFIRMED:
                self._metrics.charges.child("confirmed").add(count)
            elif effect in (Effect.DECLINED, Effect.CODES_USED_UP):
                self._metrics.charges.child("declined").add(count)


@dataclass(frozen=True, slots=True, eq=False)
class _Understood:
    """What is known of a message whoever sent it."""

    evidence: Evidence
    #: It can mean a charge of ours, and the link is vouched for.
    counts: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """A batch read, with the positions of its parts in it."""

    understood: list[_Understood]
    clear: ClearReplies
    clear_at: Sequence[int]
    others_at: list[int]


def _unsettled(read: _Read, settled: Sequence[Settled | None]) -> list[int]:
    """The positions of those that the first look has left."""
    if None not in settled:
        return []
    return [at for at, done in zip(read.clear_at, settled, strict=True) if done is None]


def _reply(reply_id: int, digits: bytes | None, evidence: Evidence) -> NewReply:
    number = evidence.address_no
    if digits is None:
        return NewReply(reply_id, None, None, evidence)
    msisdn = int(digits)
    key = None if number is None else awaiting_key(msisdn, number)
    return NewReply(reply_id, key, msisdn, evidence)


def _not_acknowledged(count: int, why: StoreError) -> None:
    log.warn(
        "{count} replies are not acknowledged, the SMSC is to send them again: {why}",
        count=count,
        why=str(why),
    )


def _key_of(reply: NewReply) -> int:
    # Without a key there is nothing to wait for: each is alone.
    return -reply.reply_id if reply.key is None else reply.key
