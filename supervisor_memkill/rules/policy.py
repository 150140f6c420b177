"""Which worker asks to be drained, and why another does not. Pure: time comes in."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.decision import is_protected
from supervisor_memkill.rules.drain import State, count, text
from supervisor_memkill.rules.drain import seconds as read_seconds
from supervisor_memkill.units import format_duration
from supervisor_memkill.workers.contract import Reading

NEAR_LIMIT = 0.9
"""A fresh worker above this share of its limit says that the limit is below its baseline."""
PAUSE_SECONDS = 600.0
PAUSE_MOST_SECONDS = 86400.0
"""How long the drains of such a worker pause: doubled at each time in a row, up to the most."""


class Hold(enum.Enum):
    """Why a worker does not ask for a slot. The text is what an operator reads."""

    NO_LIMIT = "no limit is set"
    NOT_RUNNING = "not running"
    UNDER_WAY = "its drain is under way"
    MEMORY_UNKNOWN = "memory unknown"
    UNDER_LIMIT = "under its limit"
    STRIKES = "over its limit, but not at enough checks in a row"
    MIN_UPTIME = "over its limit, but up for less than min_uptime"
    PAUSED = "over its limit, but its drains pause"
    UNSAFE_SETTINGS = "over its limit, but its settings in supervisord would lose jobs"
    NOT_RECOGNISED = "over its limit, but not recognised"
    NOT_NOW = "over its limit, but not to be drained now"
    PROTECTED_JOB = "over its limit, but a protected job runs"
    JOBS_UNKNOWN = "over its limit, but its running jobs are unknown and some are protected"


BELOW_BASELINE = "its limit is below its baseline"
AFTER_RESUME = "its last drain was given up"
NOT_BEGUN = "it could not be told to take no more jobs"


@dataclass(frozen=True)
class Pause:
    """A worker's drains wait until a time on the boot clock."""

    until: float
    seconds: float
    why: str = BELOW_BASELINE
    limit_bytes: int = 0
    """It holds for this limit only; 0: for any."""

    def holds(self, limit_bytes: int | None, now: float) -> bool:
        return now < self.until and self.limit_bytes in (0, limit_bytes)


NOT_BEGUN_PAUSE_SECONDS, NOT_BEGUN_PAUSE_MOST_SECONDS = 15.0, PAUSE_SECONDS
"""One that asks and cannot begin would keep all others waiting."""


@dataclass(frozen=True)
class Terms:
    """A pool's settings that decide who asks; sizes resolved to bytes."""

    limit_bytes: int | None
    """None: no limit is set."""
    hard_limit_bytes: int | None
    strikes: int
    min_uptime_seconds: float
    settle_seconds: float
    protect_jobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sighting:
    """One worker at one check."""

    process: ProcessInfo
    memory_bytes: int | None
    """None: unknown."""
    reading: Reading | None
    """None while it does not run."""
    draining: State | None = None
    strikes: int = 0
    """Checks in a row at which it was over its limit, this one included."""
    pause: Pause | None = None
    memory_why: str = ""
    """Why the memory is unknown."""
    refusals: tuple[str, ...] = ()
    """What in its settings would lose jobs in a drain."""


@dataclass(frozen=True)
class Verdict:
    """What one check says of one worker."""

    hold: Hold | None
    """None: it asks for a slot."""
    urgency: float = 0.0
    """Memory over limit."""
    hard: bool = False
    detail: str = ""

    @property
    def asks(self) -> bool:
        return self.hold is None

    @property
    def is_over(self) -> bool:
        """Its memory is known and above its limit."""
        return self.urgency > 1.0

    @property
    def words(self) -> str:
        """The cause, for an operator."""
        text = self.hold.value if self.hold else "over its limit"
        return f"{text} ({self.detail})" if self.detail else text


def judge(seen: Sighting, terms: Terms, now: float) -> Verdict:
    """Whether this worker asks to be drained now."""
    memory, limit = seen.memory_bytes, terms.limit_bytes
    if seen.draining is not None:
        return Verdict(Hold.UNDER_WAY, detail=seen.draining.value)
    if seen.process.state is not ProcessState.RUNNING:
        return Verdict(Hold.NOT_RUNNING, detail=seen.process.state.name)
    if limit is None:
        return Verdict(Hold.NO_LIMIT)
    if memory is None:
        return Verdict(Hold.MEMORY_UNKNOWN, detail=seen.memory_why)
    urgency = memory / limit
    if memory <= limit:
        return Verdict(Hold.UNDER_LIMIT, urgency)
    hard = terms.hard_limit_bytes is not None and memory > terms.hard_limit_bytes
    hold, detail = _held(seen, terms, now, hard)
    return Verdict(hold, urgency, hard, detail)


def _held(seen: Sighting, terms: Terms, now: float, hard: bool) -> tuple[Hold | None, str]:
    """Why a worker over its limit does not ask. The hard limit waits for no strikes and no job.

    Settings that would lose jobs hold even then: they are for a person to mend, and are told of at once.
    """
    reading = seen.reading
    if seen.refusals:
        return Hold.UNSAFE_SETTINGS, seen.refusals[0]
    if not hard and seen.strikes < terms.strikes:
        return Hold.STRIKES, f"{seen.strikes} of {terms.strikes}"
    uptime = seen.process.uptime_seconds
    if uptime < terms.min_uptime_seconds:
        return Hold.MIN_UPTIME, f"{format_duration(uptime)} of {format_duration(terms.min_uptime_seconds)}"
    if seen.pause is not None and seen.pause.holds(terms.limit_bytes, now):
        return Hold.PAUSED, f"{seen.pause.why}; another {format_duration(seen.pause.until - now)}"
    if reading is None or reading.recognised is not True:
        return Hold.NOT_RECOGNISED, reading.why if reading else ""
    if reading.hold:
        return Hold.NOT_NOW, reading.hold
    if not hard and is_protected(reading, terms.protect_jobs):
        if reading.jobs is None:
            return Hold.JOBS_UNKNOWN, reading.why
        return Hold.PROTECTED_JOB, ", ".join(sorted(set(reading.jobs)))
    return None, ""


def is_in_service(seen: Sighting, settle_seconds: float) -> bool:
    """RUNNING, settled, not quiet, not draining, and its kind finds nothing wrong."""
    reading = seen.reading
    return (
        seen.process.state is ProcessState.RUNNING
        and seen.process.uptime_seconds >= settle_seconds
        and seen.draining is None
        and reading is not None
        and reading.in_service is True
        and reading.quiet is not True
    )


class Strikes:
    """Checks in a row at which each process was over its limit."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int, int]] = {}

    def of(self, process: ProcessInfo) -> int:
        pid, start, count = self._counts.get(process.worker, (0, 0, 0))
        return count if (pid, start) == (process.pid, process.start) else 0

    def count(self, process: ProcessInfo, memory_bytes: int | None, limit_bytes: int | None) -> None:
        """Count one check. Memory that is unknown says nothing: the row neither grows nor ends."""
        if memory_bytes is None or limit_bytes is None:
            return
        count = self.of(process) + 1 if memory_bytes > limit_bytes else 0
        self._counts[process.worker] = (process.pid, process.start, count)

    def keep(self, workers: Iterable[str]) -> None:
        """Forget every worker but these."""
        kept = set(workers)
        self._counts = {worker: row for worker, row in self._counts.items() if worker in kept}


def is_below_baseline(memory_bytes: int, limit_bytes: int) -> bool:
    """A fresh worker with this much memory will soon be over its limit again, jobs or not."""
    return memory_bytes >= limit_bytes * NEAR_LIMIT


def next_pause(before: Pause | None, now: float, why: str = Pause.why, limit_bytes: int = 0) -> Pause:
    """The pause after a drain that gave nothing back."""
    first, most = PAUSE_SECONDS, PAUSE_MOST_SECONDS
    if why == NOT_BEGUN:
        first, most = NOT_BEGUN_PAUSE_SECONDS, NOT_BEGUN_PAUSE_MOST_SECONDS
    seconds = first
    if before is not None and (before.why, before.limit_bytes) == (why, limit_bytes):
        seconds = min(before.seconds * 2, most)
    return Pause(now + seconds, seconds, why, limit_bytes)


def pauses_to_json(pauses: Mapping[str, Pause]) -> dict[str, list[Any]]:
    return {
        worker: [pause.until, pause.seconds, pause.why, pause.limit_bytes] for worker, pause in pauses.items()
    }


def pauses_from_json(values: Mapping[str, list[Any]]) -> dict[str, Pause]:
    """Raises ValueError or TypeError for what is none."""
    return {worker: _pause(*fields) for worker, fields in values.items()}


def _pause(until: Any, seconds: Any, why: Any = Pause.why, limit_bytes: Any = 0) -> Pause:
    return Pause(read_seconds(until), read_seconds(seconds), text(why), count(limit_bytes))
