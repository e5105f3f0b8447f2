"""What a node tells those who watch it: figures refreshed on a timer, status, health.

A scrape never touches the database; the figures are as old as `REFRESH_S`, and older where counting
takes long.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from ppcd import __version__
from ppcd.store import figures, partitions
from ppcd.store.figures import Figures
from ppcd.worker.ticks import SCANS_SHARE_MAX, Tick

if TYPE_CHECKING:
    from ppcd.service.node import Node

log = Logger(namespace="ppcd.service")

REFRESH_S: Final = 5.0
NOTICE_S: Final = 1.0
LIMITS_S: Final = 2.0
PUMPING_S: Final = 15.0
PARTITIONS_S: Final = 3600.0
#: Fewer months left are an alarm: somebody must look before they run out.
PARTITIONS_FEW: Final = 2


class Watch:
    """The figures of one node, and the look at itself."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._figures: Figures | None = None
        self._store_was_there = self._store_was_away = False
        metrics, reactor = node.metrics, node.lanes.reactor
        self._ticks = [
            Tick(
                "refresh the figures",
                self._refresh,
                clock=reactor,
                pause_s=REFRESH_S,
                share_max=SCANS_SHARE_MAX,
                metrics=metrics,
            ),
            Tick(
                "watch the database",
                self._notice_store,
                clock=reactor,
                pause_s=NOTICE_S,
                metrics=metrics,
            ),
            Tick(
                "read the partners' limits",
                node.learn_limits,
                clock=reactor,
                pause_s=LIMITS_S,
                metrics=metrics,
            ),
            Tick(
                "look for partners that ask in vain",
                node.pumping.look,
                clock=reactor,
                pause_s=PUMPING_S,
                metrics=metrics,
            ),
            Tick(
                "make partitions ahead",
                self._make_partitions,
                clock=reactor,
                pause_s=PARTITIONS_S,
                metrics=metrics,
            ),
        ]
        metrics.lanes.child().follow(lambda: len(_lanes(node)))
        metrics.lanes_busy.child().follow(lambda: node.lanes.busy + node.confirming.busy)
        metrics.lanes_waiting.child().follow(lambda: node.lanes.waiting + node.confirming.waiting)
        metrics.store_up.child().follow(lambda: float(self.store_problem() is None))

    def start(self) -> None:
        for tick in self._ticks:
            tick.start()

    def stop(self) -> None:
        for tick in self._ticks:
            tick.stop()

    def store_problem(self) -> str | None:
        """What is wrong with the database; None when nothing is."""
        if self._node.lanes.connected and self._node.confirming.connected:
            return None
        return self._node.lanes.trouble or "not connected yet"

    def links_problem(self) -> str | None:
        """No link at all is bound."""
        links = self._node.links
        return None if links.up else f"0 of {len(links.all)} links are bound"

    def one_line(self) -> str:
        """For `systemctl status`."""
        links = self._node.links
        due = sum(w.count for w in self._figures.work) if self._figures else 0
        store = self.store_problem() or "database connected"
        return f"{links.up}/{len(links.all)} links up, {due} jobs, {store}"

    def status(self) -> dict[str, Any]:
        """Everything that `ppcd status` shows."""
        node, settings = self._node, self._node.in_force.settings
        seen = self._figures
        return {
            "node": settings.node.name,
            "version": __version__,
            "database": self.store_problem() or "connected",
            "links": node.links.status(),
            "jobs": self._jobs(),
            "billing": node.work.debits.status(),
            "charges": None
            if seen is None
            else {
                "awaiting": seen.awaiting,
                "in_doubt": seen.in_doubt,
                "in_review": seen.in_review,
            },
            "refunds": None
            if seen is None
            else {"in_doubt": seen.refunds_in_doubt, "in_review": seen.refunds_in_review},
            "dead_webhooks": None if seen is None else seen.dead_webhooks,
            "partitions_months_left": None if seen is None else seen.months_left,
            "paused": []
            if seen is None
            else [{**asdict(pause), "since": pause.since.isoformat()} for pause in seen.pauses],
            "slowed": node.pumping.status(),
            "partners_at": node.edges.partner_address,
            "operations_at": node.edges.operations_address,
        }

    def _jobs(self) -> list[dict[str, Any]]:
        counted = {w.kind: w for w in self._figures.work} if self._figures else {}
        return [
            {
                **job,
                "all_nodes": counted[job["kind"]].count if job["kind"] in counted else None,
                "oldest_s": counted[job["kind"]].oldest_s if job["kind"] in counted else None,
            }
            for job in self._node.work.status()
        ]

    async def _notice_store(self) -> None:
        problem = self.store_problem()
        if self._store_was_there and problem is not None:
            log.warn(
                "the database is away: charges are refused, answers are left with the SMSC; {why}",
                why=problem,
            )
            self._store_was_away = True
        elif self._store_was_away and problem is None:
            log.info("the database is back")
            self._store_was_away = False
        self._store_was_there = problem is None

    async def _refresh(self) -> None:
        seen = await self._node.lanes.run(figures.look)
        self._figures = seen
        metrics = self._node.metrics
        for work in seen.work:
            metrics.jobs.child(work.kind).set(work.count)
            metrics.oldest_job_seconds.child(work.kind).set(work.oldest_s)
        metrics.charges_awaiting.child().set(seen.awaiting)
        metrics.charges_in_doubt.child().set(seen.in_doubt)
        metrics.charges_in_review.child().set(seen.in_review)
        metrics.refunds_in_doubt.child().set(seen.refunds_in_doubt)
        metrics.refunds_in_review.child().set(seen.refunds_in_review)
        metrics.webhooks_dead.child().set(seen.dead_webhooks)
        metrics.partitions_months_left.child().set(seen.months_left)

    async def _make_partitions(self) -> None:
        """First the alarm: what can't be made now could not be made for weeks."""
        left = await self._node.lanes.run(partitions.months_left)
        if left < PARTITIONS_FEW:
            log.error(
                "there are partitions for {months} more month(s) only, then charges are refused: "
                "run `ppcd migrate` and see why this node could not make them",
                months=left,
            )
        ahead = self._node.in_force.settings.retention.months_ahead
        await self._node.lanes.run(partitions.make, months_ahead=ahead)


def _lanes(node: "Node") -> range:
    from ppcd.service.node import CONFIRMING_LANES

    return range(node.in_force.settings.database.lanes + CONFIRMING_LANES)
