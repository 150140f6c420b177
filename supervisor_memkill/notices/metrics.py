"""Metrics for Prometheus, made from the events. prometheus_client is imported with this module."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import prometheus_client
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.notices.catalogue import CATALOGUE
from supervisor_memkill.notices.drain_events import (
    DrainDone,
    DrainKilled,
    DrainLetGo,
    DrainNotBegun,
    DrainState,
)
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.notices.events import (
    CoordinationAway,
    CoordinationReached,
    ListenerEnded,
    ListenerTicked,
    SupervisordAway,
    SupervisordBack,
)
from supervisor_memkill.notices.gauges import Gauges
from supervisor_memkill.notices.metric_table import METRICS, SECONDS_BUCKETS, Metric, Type
from supervisor_memkill.notices.pool_events import PoolLooked, WorkerHeld, WorkerJobs, WorkerSeen
from supervisor_memkill.notices.records import Outcome
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.policy import Hold

_NO_REFUSALS = frozenset({Hold.NO_LIMIT, Hold.UNDER_LIMIT, Cause.NO_REASON})
"""With these causes there is nothing to refuse."""
Result = DrainDone | DrainKilled | DrainLetGo
_OUTCOMES: dict[type[Result], Outcome] = {
    DrainDone: Outcome.DONE,
    DrainKilled: Outcome.KILLED,
    DrainLetGo: Outcome.LET_GO,
}


class MetricsSink:
    """Counts events and keeps what the last looks saw."""

    def __init__(
        self,
        version: str,
        host: str,
        publish: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`publish` is called when a look is complete or a drain ended; it must not take time."""
        # It has no annotations.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = prometheus_client.CollectorRegistry()
        self._gauges = Gauges(version, host)
        self.registry.register(_GaugesCollector(self._gauges))
        self._made = {
            metric.name: _make(metric, self.registry)
            for metric in METRICS.values()
            if metric.type is not Type.GAUGE
        }
        self._publish = publish
        self._wall = wall
        self._pools: set[str] = set()
        """Those whose counters have begun."""
        self._begun: set[str] = set()
        """Workers whose drain entered its first state."""
        self._killed: set[str] = set()
        """Workers whose drain was counted as killed, and that may be let go with the same drain."""
        for kind in CATALOGUE.values():
            if kind.level >= Level.WARNING:
                self._count("events_total", kind.name, kind.level.name, by=0)

    def take(self, event: Event) -> None:
        if event.level >= Level.WARNING:
            self._count("events_total", event.name, event.level.name)
        if isinstance(event, WorkerSeen):
            self._gauges.see(event, self._wall())
        elif isinstance(event, WorkerJobs):
            self._gauges.growth.see(event)
        elif isinstance(event, PoolLooked):
            self._looked(event)
        elif isinstance(event, WorkerHeld):
            self._hold(event)
        elif isinstance(event, DrainState):
            self._begin(event)
        elif isinstance(event, DrainDone | DrainKilled | DrainLetGo):
            self._end(event)
        elif isinstance(event, DrainNotBegun):
            self._begun.discard(event.worker)
        else:
            self._note(event)

    def _note(self, event: Event) -> None:
        """What answers, and whether this listener goes on."""
        if isinstance(event, ListenerTicked):
            self._gauges.ticked_at = self._wall()
        elif isinstance(event, SupervisordAway):
            self._gauges.supervisord_up = False
            self._gauges.lost()
        elif isinstance(event, SupervisordBack):
            self._gauges.supervisord_up = True
        elif isinstance(event, CoordinationAway):
            self._gauges.redis_up = False
        elif isinstance(event, CoordinationReached):
            self._gauges.redis_up = True
        elif isinstance(event, ListenerEnded):
            self._gauges.supervisord_up = self._gauges.redis_up = None
            self._gauges.lost()
        else:
            return
        self._publish()

    def _looked(self, event: PoolLooked) -> None:
        self._gauges.supervisord_up = True
        if event.pool not in self._pools:
            self._pools.add(event.pool)
            self._begin_at_zero(event.pool)
        if event.failure is None:
            self._gauges.looked(
                event.pool, self._wall(), readings_up=event.readings_up, unchanged=event.unchanged
            )
        else:
            self._gauges.lost(event.pool)
        self._publish()

    def _begin_at_zero(self, pool: str) -> None:
        """What appears with its first count would be no increase for Prometheus."""
        self._count("jobs_cut_total", pool, by=0)
        for reason in Reason:
            for outcome in Outcome:
                self._count("drains_total", pool, reason.value, outcome.value, by=0)
        for cause in (*Hold, *Cause):
            if cause not in _NO_REFUSALS:
                self._count("refusals_total", pool, cause.value, by=0)
        for metric in METRICS.values():
            if metric.type is Type.HISTOGRAM:
                self._made[metric.name].labels(pool)

    def _hold(self, event: WorkerHeld) -> None:
        pool = self._gauges.hold(event.worker, event.cause)
        if pool is not None and event.cause is not None:
            self._count("refusals_total", pool, event.cause.value)

    def _begin(self, event: DrainState) -> None:
        if event.worker in self._begun:
            return
        self._begun.add(event.worker)
        self._killed.discard(event.worker)
        self._observe(
            "drain_waiting_seconds", event.pool, self._gauges.drain_begins(event.worker, self._wall())
        )

    def _end(self, event: Result) -> None:
        self._begun.discard(event.worker)
        if isinstance(event, DrainLetGo) and event.worker in self._killed:
            self._killed.discard(event.worker)
            return
        self._count("drains_total", event.pool, event.reason.value, _OUTCOMES[type(event)].value)
        self._observe("drain_quiet_seconds", event.pool, event.quiet_seconds)
        self._observe("drain_stopped_seconds", event.pool, event.stopped_seconds)
        self._observe("drain_seconds", event.pool, event.took_seconds)
        if isinstance(event, DrainKilled):
            self._killed.add(event.worker)
            self._count("jobs_cut_total", event.pool, by=event.busy or 0)
        self._publish()

    def _count(self, name: str, *labels: str, by: int = 1) -> None:
        self._made[name].labels(*labels).inc(by)

    def _observe(self, name: str, pool: str, seconds: float | None) -> None:
        if seconds is not None:
            self._made[name].labels(pool).observe(seconds)


def _make(metric: Metric, registry: Any) -> Any:
    if metric.type is Type.COUNTER:
        return prometheus_client.Counter(metric.full_name, metric.help, metric.labels, registry=registry)
    return prometheus_client.Histogram(
        metric.full_name, metric.help, metric.labels, buckets=SECONDS_BUCKETS, registry=registry
    )


class _GaugesCollector(Collector):
    """Asked by each scrape."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def describe(self) -> Iterable[Any]:
        return ()

    def collect(self) -> Iterator[Any]:
        for name, values in self._gauges.samples().items():
            metric = METRICS[name]
            family = GaugeMetricFamily(metric.full_name, metric.help, labels=metric.labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family
