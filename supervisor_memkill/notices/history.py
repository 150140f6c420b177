"""The history as a sink: one record for each finished drain, and for each worker that was held for long."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.notices.curves import Curves, Points
from supervisor_memkill.notices.drain_events import (
    DrainDone,
    DrainEvent,
    DrainKilled,
    DrainLetGo,
    DrainNotBegun,
    DrainState,
)
from supervisor_memkill.notices.event import Event
from supervisor_memkill.notices.pool_events import (
    PoolLooked,
    WorkerHeldLong,
    WorkerHeldLongOver,
    WorkerJobs,
    WorkerSeen,
)
from supervisor_memkill.notices.records import DrainRecord, HeldRecord, Outcome, Record

if TYPE_CHECKING:
    from supervisor_memkill.notices.intervals import Interval
    from supervisor_memkill.notices.job_watch import JobWatch

Result = DrainDone | DrainKilled | DrainLetGo
_OUTCOMES: dict[type[Result], Outcome] = {
    DrainDone: Outcome.DONE,
    DrainKilled: Outcome.KILLED,
    DrainLetGo: Outcome.LET_GO,
}


class Store(Protocol):
    """Keeps records. It handles its own errors."""

    def keep(self, record: Record) -> None: ...

    def tend(self) -> None:
        """Called again and again while the listener works."""
        ...


class IntervalStore(Protocol):
    """Keeps intervals. It handles its own errors."""

    def keep(self, interval: Interval) -> None: ...

    def tend(self) -> None:
        """Called again and again while the listener works."""
        ...


class HistorySink:
    """Makes the records from the events of the listener that holds the journal."""

    def __init__(
        self,
        store: Store,
        host: str,
        clock: Callable[[], float] = time.time,
        *,
        intervals: Callable[[], IntervalStore] | None = None,
        ticks: Clock = boot_clock,
    ) -> None:
        """`clock` gives epoch seconds. `intervals` makes their store, once a job is known; None: no store."""
        self._store = store
        self._host = host
        self._clock = clock
        self._open_intervals = intervals
        self._intervals: IntervalStore | None = None
        self._ticks = ticks
        self._curves = Curves()
        self._jobs: JobWatch | None = None
        """None: no kind has named a job yet."""
        self._begun: set[str] = set()
        """Workers whose drain entered its first state."""
        self._killed: set[str] = set()
        """Workers whose drain was recorded as killed, and that may be let go with the same drain."""

    def take(self, event: Event) -> None:
        if isinstance(event, WorkerSeen):
            self._see(event)
        elif isinstance(event, WorkerJobs):
            self._see_jobs(event)
        elif isinstance(event, PoolLooked):
            self._tend()
        elif isinstance(event, DrainState):
            self._begin(event)
        elif isinstance(event, DrainDone | DrainKilled | DrainLetGo):
            self._end(event)
        elif isinstance(event, DrainNotBegun):
            self._forget(event)
        elif isinstance(event, WorkerHeldLong):
            self._store.keep(self._held(event))

    def _see(self, event: WorkerSeen) -> None:
        if event.pid and event.rss_bytes is not None and event.up_seconds is not None:
            self._curves.add(event.worker, event.pid, event.up_seconds, event.rss_bytes)

    def _tend(self) -> None:
        self._store.tend()
        if self._intervals is not None:
            self._intervals.tend()

    def _see_jobs(self, event: WorkerJobs) -> None:
        if self._jobs is None:
            from supervisor_memkill.notices.job_watch import JobWatch

            self._jobs = JobWatch()
            self._intervals = self._open_intervals() if self._open_intervals is not None else None
        interval = self._jobs.see(event, self._ticks(), self._clock())
        if interval is not None and self._intervals is not None:
            self._intervals.keep(interval)

    def _begin(self, event: DrainState) -> None:
        if event.worker not in self._begun:
            self._begun.add(event.worker)
            self._killed.discard(event.worker)
            self._curves.drain_begins(event.worker, event.pid)
            if self._jobs is not None:
                self._jobs.drain_begins(event.worker, event.pid)

    def _end(self, event: Result) -> None:
        if isinstance(event, DrainLetGo) and event.worker in self._killed:
            self._killed.discard(event.worker)
            return  # The same drain: its record says that it was killed, and why it ended.
        curve, job_classes = self._forget(event)
        if isinstance(event, DrainKilled):
            self._killed.add(event.worker)
        self._store.keep(
            DrainRecord(
                at=self._clock(),
                host=self._host,
                pool=event.pool,
                worker=event.worker,
                reason=event.reason.value,
                outcome=_OUTCOMES[type(event)].value,
                kind=event.kind,
                pid=event.pid,
                cause=event.cause.value if event.cause is not None else None,
                before_bytes=event.before_bytes,
                after_bytes=None if isinstance(event, DrainLetGo) else event.after_bytes,
                quiet_seconds=event.quiet_seconds,
                stopped_seconds=event.stopped_seconds,
                took_seconds=event.took_seconds,
                jobs_cut=event.busy if isinstance(event, DrainKilled) else None,
                jobs=event.jobs if isinstance(event, DrainKilled) else None,
                curve=curve or None,
                evidence=event.evidence.value if event.evidence is not None else None,
                job_classes=job_classes or None,
            )
        )

    def _forget(self, event: DrainEvent) -> tuple[Points, Mapping[str, int]]:
        """The drain is over: the curve of its process, and how often jobs of each class were seen in it."""
        self._begun.discard(event.worker)
        sightings = self._jobs.drain_ends(event.worker) if self._jobs is not None else {}
        return self._curves.drain_ends(event.worker), sightings

    def _held(self, event: WorkerHeldLong) -> HeldRecord:
        cause = event.cause.value if isinstance(event.cause, enum.Enum) else None
        return HeldRecord(
            at=self._clock(),
            host=self._host,
            pool=event.pool,
            worker=event.worker,
            cause=cause,
            why=event.why,
            held_seconds=event.held_seconds,
            is_over=isinstance(event, WorkerHeldLongOver),
            pid=event.pid,
        )
