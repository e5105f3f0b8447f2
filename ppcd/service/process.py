"""The process around a node: its signals, its service manager, its log, its exit code.

SIGTERM and SIGINT drain, a second one leaves at once; SIGHUP reads the configuration again.
"""

import gc
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from OpenSSL.SSL import Error as TlsError
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from ppcd import __version__
from ppcd.config import ConfigurationError, Settings, changes, load
from ppcd.metrics import Metrics
from ppcd.ops.admin import SocketTaken
from ppcd.ops.lag import LagMeter
from ppcd.ops.systemd import ServiceManager, Watchdog, watchdog_interval_s
from ppcd.service.adapters import adapters_of
from ppcd.service.chance import Unpredictable
from ppcd.service.node import CannotStart, Node, World
from ppcd.worker.ticks import Tick

log = Logger(namespace="ppcd.service")

STATUS_S: Final = 5.0
EXIT_FAILED: Final = 1
#: New objects between two looks for cycles.
GC_ALLOCATIONS: Final = 50_000
#: Ctrl-C reaches a whole group of processes, and a parent then passes it on: that is one wish.
SAME_WISH_S: Final = 1.0


class Process:
    """Runs one node until it is told to stop. `exit_code` says how it went."""

    def __init__(
        self,
        config: Path,
        settings: Settings,
        *,
        reactor: Any,
        set_log_levels: Callable[[Settings], None],
        count_logs: Callable[[Metrics], None],
    ) -> None:
        self.exit_code = 0
        self._config = config
        self._settings = settings
        self._reactor = reactor
        self._set_log_levels = set_log_levels
        self._stopping = False
        self._stopping_since = 0.0
        self.metrics = Metrics(version=__version__)
        count_logs(self.metrics)
        self._systemd = ServiceManager.from_environment(now=time.monotonic)
        interval_s = watchdog_interval_s(os.environ, pid=os.getpid())
        self._watchdog = Watchdog(self._systemd, interval_s, reactor=reactor)
        self._lag = LagMeter(self.metrics.reactor_lag_seconds.child(), reactor=reactor)
        generator = Unpredictable()
        jitter = random.Random(generator.getrandbits(64))  # noqa: S311  # jitter
        wall_s = time.time  # noqa: TID251  # ids, signatures, billing's logs; never money's time
        self.node = Node(
            settings,
            world=World(
                reactor=reactor,
                random=jitter,
                random_below=generator.randrange,
                wall_s=wall_s,
            ),
            metrics=self.metrics,
            adapters=adapters_of(settings, reactor=reactor, random=jitter, wall_s=wall_s),
        )
        self._status = Tick(
            "tell the service manager",
            self._tell_status,
            clock=reactor,
            pause_s=STATUS_S,
            metrics=self.metrics,
        )

    def start(self) -> None:
        """Take over signals and start; called by the running reactor."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        self._reloaded(successfully=True)
        for warning in self._settings.warnings:
            log.warn("{warning}", warning=str(warning))
        self._watchdog.start()
        self._lag.start()
        self.node.background("start the node", self._start())

    async def _start(self) -> None:
        try:
            await self.node.edges.start_operations()
            # Ready means: configured and able to listen. What is away (database, SMSC) is waited
            # for; the status line and /health/ready say so.
            self._systemd.ready("starting")
            self._status.start()
            await self.node.start()
            _collect_less_often()
        except (CannotStart, CannotListenError, SocketTaken, OSError, ValueError) as exc:
            log.critical("cannot start: {why}", why=str(exc))
            self.exit_code = EXIT_FAILED
            await self._stop()
            return
        except BaseException:
            self.exit_code = EXIT_FAILED
            self.node.background("stop after a failed start", self._stop())
            raise

    async def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._stopping_since = self._reactor.seconds()
        self._systemd.stopping("draining")
        log.info("stopping")
        try:
            self._status.stop()
            await self.node.stop()
        except Exception:
            log.failure("the stop did not go as it should")
            self.exit_code = EXIT_FAILED
        finally:
            self._watchdog.stop()
            self._lag.stop()
            self._systemd.close()
            log.info("stopped")
            self._reactor.stop()

    def _on_stop(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._told_to_stop)

    def _told_to_stop(self) -> None:
        if self._stopping and self._reactor.seconds() - self._stopping_since < SAME_WISH_S:
            return
        if self._stopping:
            log.warn("told to stop again: leaving at once")
            self.exit_code = EXIT_FAILED
            os._exit(EXIT_FAILED)
        self.node.background("stop", self._stop())

    def _on_reload(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        self._systemd.reloading()
        try:
            settings = load(self._config)
        except ConfigurationError as exc:
            for problem in exc.problems:
                log.error("not reloaded: {problem}", problem=str(problem))
            self._reloaded(successfully=False)
            self._systemd.ready("the configuration file is bad, the old one stays in force")
            return
        applied, needs_restart = changes(self._settings, settings)
        if needs_restart:
            log.warn(
                "these keys take effect at the next start only: {keys}",
                keys=", ".join(needs_restart),
            )
        # What needs a restart stays as it is, and is named again by the next reload.
        self._settings = _merged(self._settings, settings)
        self.node.reload(self._settings)
        self._set_log_levels(self._settings)
        nothing = "nothing else" if needs_restart else "nothing has changed"
        log.info("reloaded: {keys}", keys=", ".join(applied) or nothing)
        self._reloaded(successfully=self._reload_certificates())
        self._systemd.ready(self.node.watch.one_line())

    def _reload_certificates(self) -> bool:
        try:
            self.node.edges.reload_certificates()
        except (OSError, ValueError, TlsError) as exc:
            log.error("the partners' TLS goes on with the old certificate: {why}", why=str(exc))
            return False
        return True

    def _reloaded(self, *, successfully: bool) -> None:
        self.metrics.config_last_reload_successful.child().set(successfully)
        if successfully:
            stamp = time.time()  # noqa: TID251  # for people and alerts
            self.metrics.config_last_reload_success_timestamp_seconds.child().set(stamp)

    async def _tell_status(self) -> None:
        self._systemd.status(self.node.watch.one_line())


def _collect_less_often() -> None:
    # What the modules made stays for ever, and a flood of replies is thousands of small tuples in
    # flight: looking through all of them at every 700th was a third of the node's CPU.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 10, 10)


def _merged(old: Settings, new: Settings) -> Settings:
    """`new`, with what can't change while running as it was."""
    routes = {
        name: route.model_copy(
            update={
                key: getattr(new.routes[name], key)
                for key in ("msisdn_prefixes", "code", "code_above", "quarantine_s")
            }
        )
        if name in new.routes
        else route
        for name, route in old.routes.items()
    }
    return old.model_copy(
        update={
            "charges": new.charges,
            "limits": new.limits,
            "texts": new.texts,
            "words": new.words,
            "log": new.log,
            "routes": routes,
        }
    )
