"""Whether the node lives, and whether it is ready: the answers of checks that others bring.

Live is the process alone; a database or SMSC that is away must not make anybody restart us. Ready
is what a load balancer asks: should new requests come here?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["Check", "Health"]

#: None when all is well, else what is wrong, in a few words. Called at each request: as cheap as
#: a look at an attribute.
Check = Callable[[], str | None]


class Health:
    """The checks of one node."""

    def __init__(
        self, *, live: Mapping[str, Check] | None = None, ready: Mapping[str, Check] | None = None
    ) -> None:
        self._live = dict(live or {})
        self._ready = dict(ready or {})
        self._stopping = False

    def stop(self) -> None:
        """Not ready any more, whatever the checks say: the node drains."""
        self._stopping = True

    def live_problems(self) -> dict[str, str]:
        """What speaks against this process; empty when it lives."""
        return _problems(self._live)

    def ready_problems(self) -> dict[str, str]:
        """What speaks against sending requests here; empty when it is ready."""
        stopping = {"node": "stopping"} if self._stopping else {}
        return stopping | self.live_problems() | _problems(self._ready)


def _problems(checks: Mapping[str, Check]) -> dict[str, str]:
    answers = {name: check() for name, check in checks.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}
