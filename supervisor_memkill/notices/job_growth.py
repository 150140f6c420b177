"""A rough figure for each job class: how much memory came while its jobs ran. For metrics; bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from supervisor_memkill.notices.intervals import name_of
from supervisor_memkill.notices.pool_events import WorkerJobs

SHOWN_CLASSES = 10
"""Of each pool: those with the most growth."""
MAX_CLASSES = 200
"""That are followed of each pool."""
MAX_PROCESSES = 500


@dataclass
class _Process:
    pid: int
    start: int
    highest_bytes: int
    jobs: tuple[str, ...]


class JobGrowth:
    """Written by the listener's thread, read by those that answer Prometheus."""

    def __init__(self) -> None:
        self._processes: dict[str, _Process] = {}
        """By worker; the one that was seen last comes last."""
        self._bytes: dict[str, dict[str, float]] = {}
        """By pool and class."""
        self._lock = threading.Lock()

    def see(self, event: WorkerJobs) -> None:
        """One look: growth above the highest memory so far goes to the jobs of this look and the last one."""
        before = self._processes.pop(event.worker, None)
        if before is None or (before.pid, before.start) != (event.pid, event.start):
            before = _Process(event.pid, event.start, event.rss_bytes, ())
        growth = event.rss_bytes - before.highest_bytes
        if growth > 0:
            self._share(event.pool, growth, [*before.jobs, *event.jobs])
        before.highest_bytes, before.jobs = max(before.highest_bytes, event.rss_bytes), event.jobs
        self._processes[event.worker] = before
        if len(self._processes) > MAX_PROCESSES:
            del self._processes[next(iter(self._processes))]

    def _share(self, pool: str, growth: float, jobs: Iterable[str]) -> None:
        names = [name_of(job) for job in jobs]
        with self._lock:
            classes = self._bytes.setdefault(pool, {})
            for name in names:
                classes[name] = classes.get(name, 0.0) + growth / len(names)
            while len(classes) > MAX_CLASSES:
                del classes[min(classes, key=classes.__getitem__)]

    def shown(self) -> dict[tuple[str, ...], float]:
        """Bytes by pool and class, of the classes with the most."""
        with self._lock:
            return {
                (pool, name): classes[name]
                for pool, classes in self._bytes.items()
                for name in sorted(classes, key=lambda one: (-classes[one], one))[:SHOWN_CLASSES]
            }
