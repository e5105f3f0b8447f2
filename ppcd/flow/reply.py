"""The step that reads answers: read the word, commit, then let the SMSC have its answer.

Owns that nothing is acknowledged before its commit. Refuses to know PDUs; per batch, never per
message, it touches Deferreds, logs and labelled metrics.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ppcd.charge.consequence import Effect
from ppcd.charge.reading import Reader, Reading, Verdict
from ppcd.flow.ports import LEASE_S, Ids, Mo, Offers, Said
from ppcd.metrics import Metrics
from ppcd.store import replies, second_look, subscribers
from ppcd.store.batcher import Batcher
from ppcd.store.lanes import Runner, StoreError, single
from ppcd.store.replies import Settled
from ppcd.store.rows import Evidence, NewReply, awaiting_key
from ppcd.store.sql import Cursor

log = Logger(namespace="ppcd.flow.reply")

#: Messages that are remembered with what they mean: «ДА» comes in a few dozen spellings.
UNDERSTOOD_MAX = 4096
#: Verdicts that can decide a charge at once.
CLEAR = frozenset({Verdict.YES, Verdict.NO, Verdict.STOP})

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
        self._understand = lru_cache(maxsize=UNDERSTOOD_MAX)(self._understand_anew)
        self._address_numbers = address_numbers
        self._untrusted = untrusted
        self._offers = offers
        self._metrics = metrics
        self._ids = ids
        self._confirm: Batcher[NewReply, Settled | None] = Batcher(
            confirming,
            single(partial(self._first_look)),
            size_max=2000,
            lanes_max=3,
            waiting_max=50_000,
            key=attrgetter("key"),
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

    async def receive(self, batch: Sequence[Mo]) -> list[bool]:
        """Settle a batch of answers; for each, whether it is recorded and may be acknowledged.

        False: the store could not say so in time; the SMSC must send it again.
        """
        try:
            await self._ids.ensure(len(batch))
            new, clear = self._read(batch, self._ids.take(len(batch)))
            self._count(new)
            await self._block_who_said_stop(clear)
        except StoreError as exc:
            _not_acknowledged(len(batch), exc)
            return [False] * len(batch)
        # What can't decide a charge is looked at while the clear ones are confirmed: its answers
        # go out in the same write, and must not wait for two commits where one will do.
        first = {reply.reply_id for reply in clear}
        others = [reply for reply in new if reply.reply_id not in first]
        looking = Deferred.fromCoroutine(self._settle(self._look_again, others))
        settled = await self._settle(self._confirm, clear)
        if settled is not None:
            rest = [reply for reply in clear if reply.reply_id not in settled]
            settled |= await self._settle(self._look_again, rest) or {}
        known = {**(settled or {}), **(await looking or {})}
        return [reply.reply_id in known for reply in new]

    async def _settle(
        self, batcher: Batcher[NewReply, Any], batch: Sequence[NewReply]
    ) -> dict[int, Settled] | None:
        """What was settled of these, by reply_id, and handed on; None: nobody knows in time."""
        try:
            done = await batcher.submit(batch)
        except StoreError as exc:
            _not_acknowledged(len(batch), exc)
            return None
        settled = {r.reply_id: s for r, s in zip(batch, done, strict=True) if s is not None}
        self._hand_on(settled.values())
        return settled

    def _read(
        self, batch: Sequence[Mo], ids: Sequence[int]
    ) -> tuple[list[NewReply], list[NewReply]]:
        """All of a batch, and those that may decide a charge at once."""
        rules = (self._rules().reader, self._address_numbers())
        if rules != self._understood_by:  # others are in force than when it was understood
            self._understood_by = rules
            self._understand.cache_clear()
        new, clear = [], []
        for (said, msisdn), reply_id in zip(batch, ids, strict=True):
            number, evidence, decides = self._understand(said)
            key = None if msisdn is None or number is None else awaiting_key(msisdn, number)
            reply = NewReply(reply_id, key, msisdn, evidence)
            new.append(reply)
            if decides and key is not None:
                clear.append(reply)
        return new, clear

    def _understand_anew(self, said: Said) -> tuple[int | None, Evidence, bool]:
        """The number of the address that it was sent to, its reading, and whether that decides."""
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
        )
        return number, evidence, reading.verdict in CLEAR and said.link not in self._untrusted

    def _first_look(
        self, cur: Cursor, batch: Sequence[NewReply], *, repeat: bool = False
    ) -> list[Settled | None]:
        # Jobs that this node could not begin are nobody's from the start: giving them back later
        # would cost more than the confirmation did.
        lease_s = LEASE_S if self._offers.wants_debits() else 0
        return replies.confirm(cur, batch, lease_s=lease_s, repeat=repeat)

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

    async def _block_who_said_stop(self, clear: Sequence[NewReply]) -> None:
        """Before anything is settled: what is not blocked is not acknowledged, and comes again."""
        if self._rules().stop_blocks_s <= 0:
            return
        stopped = [
            r.msisdn for r in clear if r.evidence.verdict == Verdict.STOP and r.msisdn is not None
        ]
        if stopped:
            await self._block.submit(stopped)

    def _stop(self, cur: Cursor, batch: Sequence[int]) -> list[None]:
        return subscribers.stop(cur, batch, seconds=self._rules().stop_blocks_s)

    def _count(self, new: Sequence[NewReply]) -> None:
        for verdict, count in Counter([r.evidence.verdict for r in new]).items():
            self._metrics.replies.child(verdict).add(count)

    def _hand_on(self, settled: Iterable[Settled]) -> None:
        done = list(settled)
        self._offers.debits([s.debit for s in done if s.debit is not None])
        self._offers.webhooks([s.webhook for s in done if s.webhook is not None])
        self._offers.prompts([s.prompt for s in done if s.prompt is not None])
        for effect, count in Counter(str(s.effect) for s in done).items():
            self._metrics.reply_effects.child(effect).add(count)
            if effect == Effect.CONFIRMED:
                self._metrics.charges.child("confirmed").add(count)
            elif effect in (Effect.DECLINED, Effect.CODES_USED_UP):
                self._metrics.charges.child("declined").add(count)


def _not_acknowledged(count: int, why: StoreError) -> None:
    log.warn(
        "{count} replies are not acknowledged, the SMSC is to send them again: {why}",
        count=count,
        why=str(why),
    )


def _key_of(reply: NewReply) -> int:
    # Without a key there is nothing to wait for: each is alone.
    return -reply.reply_id if reply.key is None else reply.key
