"""Host names to addresses, through the reactor's own resolver (the system's, in a thread)."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer


@implementer(IResolutionReceiver)
class _Collector:
    """Gathers one name's addresses, in the system's order of preference."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[str] = []
        self.found: Deferred[Sequence[str]] = Deferred(lambda _: None)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None: ...

    def addressResolved(self, address: IAddress) -> None:
        self._found.append(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        if self.found.called:
            return  # nobody waits any more: a thread's look-up can't be cancelled
        if self._found:
            self.found.callback(list(dict.fromkeys(self._found)))
        else:
            self.found.errback(DNSLookupError(f"no address for {self._name}"))


class SystemResolver:
    """What `getaddrinfo` says, without blocking the reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    async def __call__(self, name: str) -> Sequence[str]:
        collector = _Collector(name)
        self._reactor.nameResolver.resolveHostName(collector, name)
        return await collector.found
