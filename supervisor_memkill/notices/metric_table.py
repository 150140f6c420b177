"""The metrics: their names by Prometheus' conventions, and what each says. Their docs are made from this."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from supervisor_memkill.dataclass import dataclass

PREFIX = "supervisor_memkill_"
SECONDS_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


class Type(enum.Enum):
    """As Prometheus names it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric. All its labels have few values: pools, workers, enumerations of the code, job classes."""

    name: str
    """Without the prefix."""
    type: Type
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


_POOL, _WORKER = ("pool",), ("pool", "worker")
_ALL = (
    Metric("info", Type.GAUGE, "1, with the version and the host of the listener", ("version", "host")),
    Metric("last_tick_timestamp_seconds", Type.GAUGE, "when supervisord's last TICK came"),
    Metric("last_look_timestamp_seconds", Type.GAUGE, "when the pool's workers were last looked at", _POOL),
    Metric("supervisord_up", Type.GAUGE, "whether supervisord answers"),
    Metric("redis_up", Type.GAUGE, "whether the Redis that coordinates answers; absent without one"),
    Metric(
        "readings_up",
        Type.GAUGE,
        "whether the source of the pool's readings answers, such as a broker; absent for kinds without one",
        _POOL,
    ),
    Metric(
        "worker_memory_bytes", Type.GAUGE, "memory of the worker, as measure of its pool counts it", _WORKER
    ),
    Metric("worker_limit_bytes", Type.GAUGE, "max_rss of the worker's pool", _WORKER),
    Metric("worker_hard_limit_bytes", Type.GAUGE, "hard_max_rss of the worker's pool", _WORKER),
    Metric("worker_busy_jobs", Type.GAUGE, "number of running jobs", _WORKER),
    Metric("worker_in_service", Type.GAUGE, "whether the worker counts as in service", _WORKER),
    Metric(
        "worker_state",
        Type.GAUGE,
        "1 for the present state: that of the drain (quieting, draining, stopping ...), else supervisord's"
        " (RUNNING, STOPPED ...)",
        (*_WORKER, "state"),
    ),
    Metric(
        "worker_waiting_since_timestamp_seconds",
        Type.GAUGE,
        "since when the worker has had a reason for a drain that has not begun",
        _WORKER,
    ),
    Metric(
        "worker_held",
        Type.GAUGE,
        "1 while the worker waits for its drain, with the present cause",
        (*_WORKER, "cause"),
    ),
    Metric(
        "drains_total",
        Type.COUNTER,
        "finished drains; outcome: done, killed (running jobs may be lost) or let_go (not restarted)",
        ("pool", "reason", "outcome"),
    ),
    Metric(
        "drain_waiting_seconds",
        Type.HISTOGRAM,
        "from the first look that found a reason for the drain to its beginning",
        _POOL,
    ),
    Metric("drain_quiet_seconds", Type.HISTOGRAM, "how long the worker took no new job", _POOL),
    Metric("drain_stopped_seconds", Type.HISTOGRAM, "from the stop to the new process", _POOL),
    Metric("drain_seconds", Type.HISTOGRAM, "from the beginning of the drain to its end", _POOL),
    Metric(
        "refusals_total", Type.COUNTER, "drains that did not begin, by each cause in turn", ("pool", "cause")
    ),
    Metric("jobs_cut_total", Type.COUNTER, "running jobs that a kill ended, as far as known", _POOL),
    Metric(
        "job_class_growth_bytes",
        Type.GAUGE,
        "growth of the pool's workers above their highest memory so far, shared equally by the jobs that ran"
        " meanwhile; the 10 job classes with the most, since the listener started",
        ("pool", "job_class"),
    ),
    Metric("events_total", Type.COUNTER, "warnings and errors of the log, by name", ("event", "level")),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
"""By name, without the prefix."""


def series_names(metric: Metric) -> tuple[str, ...]:
    """The names that a query can use."""
    if metric.type is Type.HISTOGRAM:
        return tuple(f"{metric.full_name}_{ending}" for ending in ("bucket", "count", "sum"))
    return (metric.full_name,)
