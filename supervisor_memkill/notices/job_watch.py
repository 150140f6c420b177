"""Follows the running jobs and the memory of each process, and makes intervals of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from supervisor_memkill.notices.intervals import Interval, name_of
from supervisor_memkill.notices.pool_events import WorkerJobs

INTERVAL_SECONDS, INTERVAL_LOOKS = 30.0, 6
"""An interval ends after this time or after so many looks, whichever comes first."""
SHARE_OF_AGE, LONGEST_SECONDS = 1 / 60, 600.0
"""The intervals of an old process are longer: this share of its age, up to this length."""
CROWD = 20
"""With more processes all intervals are longer in proportion: the file is to hold days."""
MAX_GAP_SECONDS = 900.0
"""After a longer time without a look nothing is known of the jobs in between."""
MAX_PROCESSES = 500
"""Of more, those that were seen last are followed. One takes 1 to 3 KB."""
MAX_CLASSES = 40
"""Classes that are followed of one process."""


@dataclass
class _Process:
    """One process, and the interval that has not ended yet."""

    pid: int
    start: int
    begun_at: float
    before_bytes: int
    runs_before: Mapping[str, int] | None
    last_at: float
    last: Mapping[str, int]
    """How many jobs of each class ran at the last look."""
    looks: int = 0
    running_seconds: dict[str, float] = field(default_factory=dict)
    sightings: dict[str, int] = field(default_factory=dict)
    """How often jobs of each class were seen since the process was followed."""

    def is_of(self, event: WorkerJobs) -> bool:
        return (self.pid, self.start) == (event.pid, event.start)

    def begin(self, event: WorkerJobs, now: float) -> None:
        """The next interval begins at this look."""
        self.begun_at, self.before_bytes, self.runs_before = now, event.rss_bytes, event.runs
        self.looks = 0
        self.running_seconds = {}


class JobWatch:
    """Knows the present process of each worker, and the process that its drain began with."""

    def __init__(self) -> None:
        self._present: dict[str, _Process] = {}
        """The worker that was seen last comes last."""
        self._drained: dict[str, _Process] = {}

    def see(self, event: WorkerJobs, now: float, wall: float) -> Interval | None:
        """One look at a worker; the interval that ended with it. `now` is on the boot clock."""
        running = _counted(event.jobs)
        one = self._present.pop(event.worker, None)
        if one is None or not one.is_of(event):
            one = _Process(
                event.pid, event.start, now, event.rss_bytes, event.runs, last_at=now, last=running
            )
        self._present[event.worker] = one
        if len(self._present) > MAX_PROCESSES:
            del self._present[next(iter(self._present))]
        for name, number in running.items():
            if name in one.sightings or len(one.sightings) < MAX_CLASSES:
                one.sightings[name] = one.sightings.get(name, 0) + number
        if now - one.last_at > MAX_GAP_SECONDS:
            one.begin(event, now)
        _add(one, running, now - one.last_at if one.last_at >= one.begun_at else 0.0)
        one.last_at, one.last = now, running
        seconds = now - one.begun_at
        if not _is_long_enough(seconds, one.looks, event.up_seconds, len(self._present)):
            return None
        interval = _interval(one, event, seconds, wall)
        one.begin(event, now)
        return interval

    def drain_begins(self, worker: str, pid: int) -> None:
        """Remember this process until the end of its drain, also when another process runs."""
        one = self._present.get(worker)
        if one is not None and one.pid == pid:
            self._drained[worker] = one

    def drain_ends(self, worker: str) -> Mapping[str, int]:
        """How often jobs of each class were seen in the process that the drain began with."""
        one = self._drained.pop(worker, None)
        return one.sightings if one is not None else {}


def _counted(jobs: tuple[str, ...]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for job in jobs:
        name = name_of(job)
        counts[name] = counts.get(name, 0) + 1
    return counts


def _add(one: _Process, running: Mapping[str, int], seconds: float) -> None:
    """The time since the last look: half of it with the jobs of that look, half with those of this one."""
    if seconds <= 0:
        return
    one.looks += 1
    for jobs in (one.last, running):
        for name, number in jobs.items():
            if name in one.running_seconds or len(one.running_seconds) < MAX_CLASSES:
                one.running_seconds[name] = one.running_seconds.get(name, 0.0) + number * seconds / 2


def _is_long_enough(seconds: float, looks: int, age_seconds: float, processes: int) -> bool:
    times = max(1.0, processes / CROWD)
    is_full = seconds >= INTERVAL_SECONDS * times or looks >= INTERVAL_LOOKS * times
    return is_full and seconds >= min(LONGEST_SECONDS, age_seconds * SHARE_OF_AGE) * times


def _interval(one: _Process, event: WorkerJobs, seconds: float, wall: float) -> Interval:
    made = Interval(
        at=wall,
        pool=event.pool,
        worker=event.worker,
        pid=one.pid,
        start=one.start,
        seconds=seconds,
        before_bytes=one.before_bytes,
        after_bytes=event.rss_bytes,
        running_seconds=one.running_seconds,
    )
    if event.runs is None or one.runs_before is None:
        return made
    before = one.runs_before
    runs = {name_of(name): number - before.get(name, 0) for name, number in event.runs.items()}
    return dataclasses.replace(made, runs={name: number for name, number in runs.items() if number > 0})
