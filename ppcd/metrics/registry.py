"""Every metric of ppcd, defined once: the code counts into it, the reference is made from it."""

from __future__ import annotations

import platform
from typing import Any, Final

from ppcd.metrics import labels as sets
from ppcd.metrics.exposition import Exposition
from ppcd.metrics.families import Counter, Family, Gauge, Histogram, Info, Label
from ppcd.metrics.revision import revision as source_revision

__all__ = ["Metrics"]

PREFIX: Final = "ppcd_"

LINK: Final = Label("link", means="a name under `links:`")
ADAPTER: Final = Label("adapter", means="a name under `billing:`")
ROUTE: Final = Label("route", means="a path template of the HTTP API, or `other`")

#: Bounds in seconds, by what people wait for.
FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
EDGE: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SUBMIT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DEBIT: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PAID: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
PERSON: Final = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
BATCH: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """One instance a process, made by the service and handed down.

    Attributes are named like the exported metric without its prefix and without `_total`.
    Everything is counted on the reactor's thread.
    """

    def __init__(self, *, version: str = "unknown", revision: str | None = None) -> None:
        """`revision` is the source's; by default that of the checkout, if there is one."""
        self.families: list[Family[Any]] = []
        self.build_info = Info(
            f"{PREFIX}build_info",
            "What is running: its version, source revision and Python; always 1.",
            {
                "version": version,
                "revision": revision or source_revision(),
                "python": platform.python_version(),
            },
        )
        self._links()
        self._replies()
        self._charges()
        self._debits()
        self._work()
        self._edges()
        self._store()
        self._process()
        self._exposition = Exposition(self.families, self.build_info)

    def expose(self, accept: str = "") -> tuple[str, bytes]:
        """`(Content-Type, body)` in the format that an HTTP `Accept` header asks for."""
        return self._exposition.expose(accept)

    def know_link(self, name: str) -> None:
        """Start every series of a link at 0, so that its first failure is already a rise."""
        for family in (
            self.link_up,
            self.link_window_in_use,
            self.link_queue,
            self.link_last_bound_timestamp_seconds,
            self.submit_seconds,
        ):
            family.prepare(link=name)
        for status in ("ESME_ROK", "not_sent", "unknown"):
            self.submits.child(name, status)

    def know_adapter(self, name: str) -> None:
        """Start every series of a billing adapter at 0."""
        told = (self.debits, self.debit_seconds, self.debits_in_flight, self.breaker_open)
        for family in (*told, self.refund_attempts):
            family.prepare(adapter=name)

    def know_route(self, template: str) -> None:
        """Start the latency series of an HTTP route."""
        self.http_request_seconds.prepare(route=template)

    def _counter(self, name: str, help_text: str, *labels: Label) -> Counter:
        family = Counter(f"{PREFIX}{name}_total", help_text, labels)
        self.families.append(family)
        return family

    def _gauge(self, name: str, help_text: str, *labels: Label) -> Gauge:
        family = Gauge(PREFIX + name, help_text, labels)
        self.families.append(family)
        return family

    def _histogram(
        self, name: str, bounds: tuple[float, ...], help_text: str, *labels: Label
    ) -> Histogram:
        family = Histogram(PREFIX + name, help_text, labels, bounds=bounds)
        self.families.append(family)
        return family

    def _links(self) -> None:
        self.link_up = self._gauge(
            "link_up", "1 while the link is bound to its SMSC, else 0.", LINK
        )
        self.link_last_bound_timestamp_seconds = self._gauge(
            "link_last_bound_timestamp_seconds",
            "Unix time of the last successful bind; 0 before the first.",
            LINK,
        )
        self.link_window_in_use = self._gauge(
            "link_window_in_use",
            "Requests written to the SMSC and not yet answered. At the window's size, "
            "the SMSC is the bottleneck.",
            LINK,
        )
        self.link_queue = self._gauge(
            "link_queue", "Messages waiting for room in the link's window or rate.", LINK
        )
        self.submits = self._counter(
            "submits",
            "submit_sm, one for each segment, by the SMSC's answer.",
            LINK,
            Label(
                "status",
                means="the command_status by its name (`ESME_ROK`, `ESME_RTHROTTLED`, …), "
                "`not_sent`, `unknown` (no answer came), or `other`",
            ),
        )
        self.submit_seconds = self._histogram(
            "submit_seconds", SUBMIT, "From submit_sm written to submit_sm_resp read.", LINK
        )
        self.receipts = self._counter(
            "receipts", "Delivery receipts read.", Label("state", sets.RECEIPT_STATES)
        )

    def _replies(self) -> None:
        self.replies = self._counter(
            "replies", "Replies read and committed.", Label("verdict", sets.VERDICTS)
        )
        self.reply_effects = self._counter(
            "reply_effects",
            "What the replies did: confirmed or declined a charge, led to another question, came "
            "too early or too late, or meant no charge at all.",
            Label("effect", sets.REPLY_EFFECTS),
        )
        self.reply_ack_seconds = self._histogram(
            "reply_ack_seconds",
            FAST,
            "From deliver_sm read to the last deliver_sm_resp of that read written.",
        )
        self.replies_unacknowledged = self._gauge(
            "replies_unacknowledged", "deliver_sm read and not yet answered."
        )

    def _charges(self) -> None:
        self.charges = self._counter(
            "charges", "Charges that entered a state.", Label("state", sets.STATES)
        )
        self.charges_awaiting = self._gauge(
            "charges_awaiting", "Charges whose prompt may still be answered."
        )
        self.charges_in_doubt = self._gauge(
            "charges_in_doubt", "Debits whose outcome billing has not told yet."
        )
        self.charges_in_review = self._gauge(
            "charges_in_review", "Debits in doubt past their horizon: a person must decide."
        )
        self.contradictions = self._counter(
            "contradictions",
            "Facts that contradict an end state and changed nothing (denied after succeeded, say). "
            "Any is a case for reconciliation.",
        )
        self.paid_seconds = self._histogram(
            "paid_seconds", PAID, "From reply read to debit recorded, of succeeded charges."
        )
        self.prompts = self._counter(
            "prompts",
            "Texts sent to subscribers, by kind and by how that ended.",
            Label("kind", sets.PROMPT_KINDS),
            Label("outcome", sets.PROMPT_OUTCOMES),
        )
        self.no_free_address = self._counter(
            "no_free_address",
            "Charges refused because every reply address of the pool awaits that phone's answer.",
        )

        self.charges_spared = self._counter(
            "charges_spared",
            "Charges refused to spare the subscriber: who is blocked, has too many open, or was "
            "asked too often in an hour or a day; or whose partner is slowed. Rising: somebody "
            "bombs a phone, or sells to people who said STOP.",
            Label("why", sets.SPARED),
        )
        self.partners_slowed = self._gauge(
            "partners_slowed",
            "Partners slowed because too few of those whom they ask say yes. Above 0: somebody "
            "asks people who did not order anything; `ppcd status` says who.",
        )
        self.limits_hit = self._counter(
            "limits_hit",
            "Charges over a limit by sum: refused at the partner's request, or denied at the debit "
            "because others had used up the room meanwhile.",
            Label("limit", sets.SUM_LIMITS),
            Label("at", sets.LIMITS_MET),
        )

    def _debits(self) -> None:
        self.debits = self._counter(
            "debits",
            "Answers of billing to debits.",
            ADAPTER,
            Label("outcome", sets.DEBIT_OUTCOMES),
        )
        self.debit_seconds = self._histogram(
            "debit_seconds", DEBIT, "From debit written to billing's answer or timeout.", ADAPTER
        )
        self.debits_in_flight = self._gauge(
            "debits_in_flight",
            "Debits and refunds written to billing and not yet answered.",
            ADAPTER,
        )
        self.refund_attempts = self._counter(
            "refund_attempts",
            "Answers of billing to refunds.",
            ADAPTER,
            Label("outcome", sets.REFUND_OUTCOMES),
        )
        self.refunds = self._counter(
            "refunds",
            "Refunds that entered a state.",
            Label("state", sets.REFUND_STATES),
        )
        self.refunds_in_doubt = self._gauge(
            "refunds_in_doubt", "Refunds whose outcome billing has not told yet."
        )
        self.refunds_in_review = self._gauge(
            "refunds_in_review", "Refunds in doubt past their horizon: a person must decide."
        )
        self.breaker_open = self._gauge(
            "breaker_open",
            "1 while this node leaves a billing system alone that has not answered several debits "
            "in a row, but for a try now and then; else 0.",
            ADAPTER,
        )

    def _work(self) -> None:
        kind = Label("kind", sets.JOB_KINDS)
        self.jobs = self._gauge("jobs", "Work rows waiting or running, on all nodes.", kind)
        self.oldest_job_seconds = self._gauge(
            "oldest_job_seconds",
            "How long the oldest unfinished work of all nodes is waited for: since the request, "
            "the yes, the end; doubts are counted apart. 0 without any.",
            kind,
        )
        self.jobs_running = self._gauge("jobs_running", "Jobs this node runs now.", kind)
        self.jobs_taken_over = self._counter(
            "jobs_taken_over", "Overdue jobs claimed from another node or an earlier run.", kind
        )
        self.paused = self._gauge(
            "paused",
            "1 while anything of this kind is paused by `ppcd pause`, else 0.",
            Label("kind", sets.PAUSES),
        )

    def _edges(self) -> None:
        self.webhooks = self._counter(
            "webhooks",
            "Attempts to deliver a notification to a partner.",
            Label("outcome", sets.WEBHOOK_OUTCOMES),
        )
        self.webhooks_dead = self._gauge(
            "webhooks_dead",
            "Notifications given up, of all nodes: `ppcd webhook replay` tells them again.",
        )
        self.webhook_seconds = self._histogram(
            "webhook_seconds", EDGE, "From webhook written to the partner's answer or timeout."
        )
        self.http_requests = self._counter(
            "http_requests", "Requests answered.", ROUTE, Label("code", means="the HTTP status")
        )
        self.http_request_seconds = self._histogram(
            "http_request_seconds", EDGE, "From request read to answer written.", ROUTE
        )
        self.http_connections = self._gauge("http_connections", "Connections of partners now open.")

    def _store(self) -> None:
        self.store_up = self._gauge(
            "store_up", "1 if the last transaction reached the database, else 0."
        )
        self.store_commit_seconds = self._histogram(
            "store_commit_seconds", FAST, "From a transaction handed to a lane to its commit."
        )
        self.lanes = self._gauge("lanes", "Database connections this node may use at once.")
        self.lanes_busy = self._gauge("lanes_busy", "Lanes running a transaction now.")
        self.lanes_waiting = self._gauge("lanes_waiting", "Transactions waiting for a lane.")
        self.partitions_months_left = self._gauge(
            "partitions_months_left",
            "Months until charges run past the last partition made. Alarm below 2.",
        )

    def _process(self) -> None:
        self.reactor_lag_seconds = self._histogram(
            "reactor_lag_seconds", FAST, "How much later than asked the reactor ran a timer."
        )
        self.background_failures = self._counter(
            "background_failures",
            "Background tasks that ended with an unexpected error. Any is a bug.",
        )
        self.log_events = self._counter(
            "log_events", "Log events written.", Label("level", sets.LOG_LEVELS)
        )
        self.log_events_dropped = self._counter(
            "log_events_dropped",
            "Log events not written: repeats over the limit, or standard output closed or full.",
        )
        self.config_last_reload_successful = self._gauge(
            "config_last_reload_successful",
            "1 if the configuration in force is the one in the file when last read, else 0.",
        )
        self.config_last_reload_success_timestamp_seconds = self._gauge(
            "config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful load of the configuration.",
        )
