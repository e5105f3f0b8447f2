"""What the outside has answered is kept until the database takes it.

A database that was started again in between must not make a doubt of what billing said, nor a
second SMS of one that the SMSC has accepted.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ppcd.store.failures import Broken, Closing, StoreError, Violated

T = TypeVar("T")

log = Logger(namespace="ppcd.flow.keeping")

#: Pauses between tries; after so long the lease on the work is over anyhow.
PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0)


async def keep(
    record: Callable[[], Awaitable[T]],
    *,
    clock: IReactorTime,
    what: str,
    charge_id: int,
    why: StoreError | None = None,
) -> T:
    """What `record` gives, tried again while the store fails in ways that pass.

    `why` is how a first try has failed, where there was one.
    """
    for pause_s in PAUSES_S:
        if why is None:
            try:
                return await record()
            except StoreError as exc:
                why = exc
        if isinstance(why, Broken | Violated | Closing):
            raise why
        log.warn(
            "{what} about charge {charge} can't be recorded yet: {why}",
            what=what,
            charge=charge_id,
            why=str(why),
        )
        why = None
        await deferLater(clock, pause_s)
    return await record()
