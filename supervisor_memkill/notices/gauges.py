"""What the gauges show: the last look at each pool. What is unknown now is absent, and never 0."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from supervisor_memkill.notices.job_growth import JobGrowth
from supervisor_memkill.notices.pool_events import WorkerSeen
from supervisor_memkill.worded import Worded

Values = dict[tuple[str, ...], float]
"""By the values of the labels."""
Samples = dict[str, Values]
"""By the name of the metric, without the prefix."""


@dataclass
class _Pool:
    looked_at: float | None = None
    readings_up: bool | None = None
    workers: tuple[WorkerSeen, ...] = ()


@dataclass
class Gauges:
    """Written by the listener's thread, read by those that answer Prometheus."""

    version: str
    host: str
    ticked_at: float | None = None
    supervisord_up: bool | None = None
    redis_up: bool | None = None
    growth: JobGrowth = field(default_factory=JobGrowth, init=False)
    _pools: dict[str, _Pool] = field(default_factory=dict, init=False)
    _seen: dict[str, list[WorkerSeen]] = field(default_factory=dict, init=False)
    _waiting: dict[str, float] = field(default_factory=dict, init=False)
    """Since when, by worker."""
    _held: dict[str, str] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def see(self, event: WorkerSeen, now: float) -> None:
        """One worker of a look that is not complete yet."""
        self._seen.setdefault(event.pool, []).append(event)
        with self._lock:
            if event.reason is None or event.is_draining:
                self._waiting.pop(event.worker, None)
                self._held.pop(event.worker, None)
            else:
                self._waiting.setdefault(event.worker, now)

    def hold(self, worker: str, cause: Worded | None) -> str | None:
        """The worker waits for this cause; its pool, if that is known."""
        with self._lock:
            if cause is not None and worker in self._waiting:
                self._held[worker] = cause.value
        return self.pool_of(worker)

    def pool_of(self, worker: str) -> str | None:
        seen = (
            one for many in (*self._seen.values(), *(p.workers for p in self._pools.values())) for one in many
        )
        return next((one.pool for one in seen if one.worker == worker), None)

    def drain_begins(self, worker: str, now: float) -> float | None:
        """How long the worker waited; None: unknown."""
        with self._lock:
            self._held.pop(worker, None)
            since = self._waiting.pop(worker, None)
        return None if since is None else max(0.0, now - since)

    def looked(self, pool: str, now: float, *, readings_up: bool | None, unchanged: bool = False) -> None:
        """The look at this pool is complete. `unchanged`: the workers of the last look are still the same."""
        workers = tuple(self._seen.pop(pool, ()))
        with self._lock:
            if unchanged and pool in self._pools:
                workers = self._pools[pool].workers
            self._pools[pool] = _Pool(now, readings_up, workers)
        self._forget_others()

    def lost(self, pool: str | None = None) -> None:
        """Nothing is known any more about the workers of this pool, or of all."""
        with self._lock:
            for name, one in self._pools.items():
                if pool in (None, name):
                    one.workers, one.readings_up = (), None
        self._seen.clear()
        self._forget_others()

    def _forget_others(self) -> None:
        """Workers that are not there any more do not wait."""
        known = {one.worker for pool in self._pools.values() for one in pool.workers}
        known |= {one.worker for many in self._seen.values() for one in many}
        with self._lock:
            for kept in (self._waiting, self._held):
                for worker in [worker for worker in kept if worker not in known]:
                    del kept[worker]

    def samples(self) -> Samples:
        """All gauges as they are now."""
        with self._lock:
            pools = {
                name: _Pool(one.looked_at, one.readings_up, one.workers) for name, one in self._pools.items()
            }
            waiting, held = dict(self._waiting), dict(self._held)
        found: Samples = {"info": {(self.version, self.host): 1.0}}
        _put(found, "last_tick_timestamp_seconds", (), self.ticked_at)
        _put(found, "supervisord_up", (), self.supervisord_up)
        _put(found, "redis_up", (), self.redis_up)
        if growth := self.growth.shown():
            found["job_class_growth_bytes"] = growth
        for name, pool in pools.items():
            _put(found, "last_look_timestamp_seconds", (name,), pool.looked_at)
            _put(found, "readings_up", (name,), pool.readings_up)
            for one in pool.workers:
                _put_worker(found, one, waiting, held)
        return found


def _put_worker(
    found: Samples, one: WorkerSeen, waiting: Mapping[str, float], held: Mapping[str, str]
) -> None:
    labels = (one.pool, one.worker)
    _put(found, "worker_memory_bytes", labels, one.rss_bytes)
    _put(found, "worker_limit_bytes", labels, one.max_rss_bytes)
    _put(found, "worker_hard_limit_bytes", labels, one.hard_max_rss_bytes)
    _put(found, "worker_busy_jobs", labels, one.busy)
    _put(found, "worker_in_service", labels, one.in_service)
    if one.state is not None:
        _put(found, "worker_state", (*labels, one.state), 1.0)
    _put(found, "worker_waiting_since_timestamp_seconds", labels, waiting.get(one.worker))
    if one.worker in held:
        _put(found, "worker_held", (*labels, held[one.worker]), 1.0)


def _put(found: Samples, name: str, labels: tuple[str, ...], value: float | None) -> None:
    if value is not None:
        found.setdefault(name, {})[labels] = float(value)
