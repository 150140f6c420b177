"""Between two checks: which worker may have grown past its hard limit.

One cheap reading per second (see probe.py) tells how much memory the machine has left. A worker is read again
only when so much memory was used since its last reading, or its own growth was so fast, that half of the way
to its hard limit may be gone. A worker that seems to be past it makes a check due; only the check decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from supervisor_memkill.clock import Clock
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener import observer
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world.memory import Gone, ProcessTable

WAY = 0.5
"""The share of the way to the hard limit after which a worker is read again."""


@dataclass
class _Watched:
    """A worker below its hard limit, and what was read of it."""

    pool: Pool
    finding: Finding
    hard_bytes: int
    more_bytes: int
    """By how much its RSS is above its memory by the pool's measure; below 0: RSS is less."""
    size_bytes: int
    read_at: float
    available_bytes: float
    """The most that the machine had left at any probe since."""
    bytes_per_second: float = 0.0
    """Its growth between the last two readings."""

    @property
    def process(self) -> ProcessInfo:
        return self.finding.seen.process

    def is_due(self, now: float, available_bytes: float) -> bool:
        """`available_bytes`: what the machine has left now; below 0: unknown."""
        way = (self.hard_bytes - self.size_bytes) * WAY
        by_itself = (now - self.read_at) * self.bytes_per_second
        self.available_bytes = max(self.available_bytes, available_bytes)
        return available_bytes < 0 or by_itself >= way or self.available_bytes - available_bytes >= way

    def read(self, rss_bytes: int, now: float, available_bytes: float) -> None:
        size = rss_bytes - self.more_bytes
        self.bytes_per_second = max(0.0, (size - self.size_bytes) / max(now - self.read_at, 0.001))
        self.size_bytes, self.read_at, self.available_bytes = size, now, available_bytes


class GrowthWatch:
    """The workers of all pools that have a hard limit and are below it."""

    def __init__(
        self,
        available_bytes: Callable[[], int],
        process_table: Callable[[], ProcessTable],
        clock: Clock,
    ) -> None:
        """`available_bytes` gives the memory that the machine can still hand out; it may raise OSError."""
        self._available_bytes = available_bytes
        self._process_table = process_table
        self._clock = clock
        self._pools: dict[str, dict[str, _Watched]] = {}
        self._starting: set[str] = set()
        """The pools of which a worker was STARTING at the last check."""

    def looked(self, survey: PoolSurvey) -> None:
        """A check measured the workers of this pool."""
        name, before = survey.pool.name, self._pools.pop(survey.pool.name, {})
        self._starting.discard(name)
        hard_bytes = survey.terms.hard_limit_bytes
        if hard_bytes is None or survey.failure is not None:
            return
        if any(one.seen.process.state is ProcessState.STARTING for one in survey.findings):
            self._starting.add(name)
        near = [one for one in survey.findings if _is_watched(one, hard_bytes)]
        self._pools[name] = {
            one.process.worker: one for one in self._read(survey.pool, near, hard_bytes, before)
        }

    def _read(
        self, pool: Pool, findings: Iterable[Finding], hard_bytes: int, before: Mapping[str, _Watched]
    ) -> Iterator[_Watched]:
        available, table, now = self._available(), self._process_table(), self._clock()
        for finding in findings:
            process, size = finding.seen.process, finding.seen.sure_bytes or 0
            former = before.get(finding.worker)
            if former is not None and former.finding is finding:
                yield former  # The look found nothing new about it.
                continue
            try:
                rss = size if pool.measure == "rss" else observer.rss_bytes(pool, process, table)
            except Unknown:
                continue
            speed = former.bytes_per_second if former is not None and former.process.pid == process.pid else 0
            yield _Watched(pool, finding, hard_bytes, rss - size, size, now, available, speed)

    @property
    def is_watching(self) -> bool:
        """A worker is watched or awaited."""
        return any(self._pools.values()) or bool(self._starting)

    def wants_check(self) -> bool:
        """Probe. True: a worker may be past its hard limit, has ended, or was STARTING."""
        if not self.is_watching:
            return False
        now, available = self._clock(), self._available()
        table, wants = self._process_table(), bool(self._starting)
        for pool in self._pools.values():
            for worker, one in list(pool.items()):
                if one.is_due(now, available):
                    try:
                        one.read(observer.rss_bytes(one.pool, one.process, table), now, available)
                    except Gone:
                        del pool[worker]  # Its next process is watched from the check on.
                        wants = True
                    except Unknown:
                        continue
                    wants = wants or one.size_bytes > one.hard_bytes
        return wants

    def _available(self) -> float:
        """Bytes; below 0: unknown. Then each worker is read at each probe."""
        try:
            return float(self._available_bytes())
        except (OSError, ValueError, RuntimeError):
            return -1.0


def _is_watched(finding: Finding, hard_bytes: int) -> bool:
    """A worker above the hard limit was judged by the check; the steps of a drain look for themselves."""
    seen = finding.seen
    size = seen.sure_bytes
    is_running = seen.process.state is ProcessState.RUNNING and seen.draining is None
    return is_running and size is not None and size <= hard_bytes
