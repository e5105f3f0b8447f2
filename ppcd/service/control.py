"""What the control socket can be told: show the status, press and release stop buttons."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from ppcd.ops.admin import AdminError, AdminServer, listen_admin
from ppcd.store import registers
from ppcd.store.lanes import StoreError

if TYPE_CHECKING:
    from ppcd.service.node import Node

log = Logger(namespace="ppcd.service.control")


class Control:
    """The commands of one node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._server = AdminServer(self._handle, reactor=node.lanes.reactor)
        self._port: IListeningPort | None = None

    async def start(self, path: str) -> None:
        """Listen on the socket at `path`. Raises SocketTaken."""
        self._port = listen_admin(self._node.lanes.reactor, path, self._server)

    async def stop(self) -> None:
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
            self._port = None
        self._server.close()

    async def _handle(self, command: str, arguments: Mapping[str, Any], uid: int) -> Any:
        match command:
            case "status":
                return self._node.watch.status()
            case "pause" | "resume":
                return await self._button(command, arguments, uid)
            case _:
                raise AdminError(f"there is no command {command!r}")

    async def _button(self, command: str, arguments: Mapping[str, Any], uid: int) -> Any:
        kind = str(arguments.get("kind", ""))
        partner = str(arguments.get("partner") or "")
        adapter = str(arguments.get("adapter") or "")
        self._check(kind, partner, adapter)
        press = registers.pause if command == "pause" else registers.resume
        lanes = self._node.lanes
        try:
            if partner:  # a misspelt name would stop nobody, and say that it did
                await lanes.run(registers.partner_named, partner)
            changed = await lanes.run(press, kind=kind, partner=partner, adapter=adapter)
            await self._node.work.learn_pauses()
        except registers.Unknown as exc:
            raise AdminError(
                f"there is no partner {partner!r}: `ppcd partner list` shows all"
            ) from exc
        except StoreError as exc:
            raise AdminError(f"the database does not answer: {exc}") from exc
        log.warn(
            "{command} {kind} (partner {partner}, adapter {adapter}) by user {uid}",
            command=command,
            kind=kind,
            partner=partner or "all",
            adapter=adapter or "all",
            uid=uid,
        )
        return {"changed": changed}

    def _check(self, kind: str, partner: str, adapter: str) -> None:
        if kind not in ("prompts", "debits"):
            raise AdminError(f"prompts or debits can be paused, not {kind!r}")
        if adapter and kind != "debits":
            raise AdminError("only debits go through an adapter")
        if partner and kind != "prompts":
            raise AdminError("by partner only prompts can be paused; debits by adapter")
        if adapter and adapter not in self._node.adapters:
            known = ", ".join(sorted(self._node.adapters))
            raise AdminError(f"there is no adapter {adapter!r}; there are: {known}")
