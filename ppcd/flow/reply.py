"""The step that reads answers: read the word, commit, then let the SMSC have its answer.

Owns that nothing is acknowledged before its commit. Refuses to know PDUs; per batch, never per
message, it touches Deferreds, logs and labelled metrics.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from twisted.logger import Logger

from ppcd.charge.consequence import Effect
from ppcd.charge.reading import Reader, Reading, Verdict
from ppcd.flow.ports import LEASE_S, Ids, Mo, Offers
from ppcd.metrics import Metrics
from ppcd.store import replies, second_look
from ppcd.store.batcher import Batcher
from ppcd.store.lanes import Runner, StoreError, single
from ppcd.store.replies import Settled
from ppcd.store.rows import NewReply, awaiting_key
from ppcd.store.sql import Cursor

log = Logger(namespace="ppcd.flow.reply")

#: Bodies whose verdict is remembered: «ДА» comes in a few dozen spellings.
READINGS_CACHED = 4096
#: Longer texts are read each time; nobody says yes in so many words.
CACHED_LENGTH_MAX = 32

UNREADABLE = Reading(Verdict.UNCLEAR, None, "unreadable")
SEVERAL_PARTS = Reading(Verdict.UNCLEAR, None, "several_parts")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRules:
    """What holds for answers now."""

    reader: Reader
    reprompts_max: int
    wrong_codes_max: int


class Replies:
    """Reads and settles the answers of phones, in batches."""

    def __init__(
        self,
        *,
        lanes: Runner,
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
        self._reader: Reader | None = None
        self._read_short: Callable[[str], Reading] = self._read_long
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
            key=_key_of,
            retry_unknown=True,
        )
        self._look_again: Batcher[NewReply, Settled] = Batcher(
            lanes,
            self._second_look,
            size_max=500,
            waiting_max=50_000,
            key=_key_of,
            retry_unknown=True,
        )

    async def receive(self, batch: Sequence[Mo]) -> list[bool]:
        """Settle a batch of answers; for each, whether it is recorded and may be acknowledged.

        False: the store could not say so in time; the SMSC must send it again.
        """
        done: dict[int, Settled] = {}
        new: list[NewReply] = []
        try:
            await self._ids.ensure(len(batch))
            ids = self._ids.take(len(batch))
            new = [self._read(mo, reply_id) for mo, reply_id in zip(batch, ids, strict=True)]
            self._count(new)
            trusted = [r for r in new if r.link not in self._untrusted]
            settled = await self._confirm.submit(trusted)
            done |= {r.reply_id: s for r, s in zip(trusted, settled, strict=True) if s is not None}
            self._hand_on(done.values())
            rest = [r for r in new if r.reply_id not in done]
            looked = await self._look_again.submit(rest)
            again = {r.reply_id: s for r, s in zip(rest, looked, strict=True)}
            self._hand_on(again.values())
            done |= again
        except StoreError as exc:
            log.warn(
                "{count} replies are not acknowledged, the SMSC is to send them again: {why}",
                count=len(batch) - len(done),
                why=str(exc),
            )
        return [r.reply_id in done for r in new] or [False] * len(batch)

    def _read(self, mo: Mo, reply_id: int) -> NewReply:
        number = self._address_numbers().get((mo.link, mo.address))
        reading = self._reading(mo)
        msisdn = None if mo.msisdn is None else int(mo.msisdn.digits)
        key = None if msisdn is None or number is None else awaiting_key(msisdn, number)
        return NewReply(
            reply_id=reply_id,
            key=key,
            msisdn=msisdn,
            address=mo.address,
            link=mo.link,
            raw=mo.raw,
            data_coding=mo.data_coding,
            esm_class=mo.esm_class,
            verdict=reading.verdict.value,
            number=reading.number,
            rule=reading.rule,
        )

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

    def _read_long(self, text: str) -> Reading:
        return self._rules().reader.read(text)

    def _reading(self, mo: Mo) -> Reading:
        if mo.text is None:
            return UNREADABLE
        if mo.part:
            return SEVERAL_PARTS
        if len(mo.text) > CACHED_LENGTH_MAX:
            return self._read_long(mo.text)
        reader = self._rules().reader
        if reader is not self._reader:  # other words are in force than the cache was filled by
            self._reader = reader
            self._read_short = lru_cache(maxsize=READINGS_CACHED)(reader.read)
        return self._read_short(mo.text)

    def _count(self, new: Sequence[NewReply]) -> None:
        for verdict, count in Counter(r.verdict for r in new).items():
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


def _key_of(reply: NewReply) -> int:
    # Without a key there is nothing to wait for: each is alone.
    return -reply.reply_id if reply.key is None else reply.key
