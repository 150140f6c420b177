"""Which worker asks to be drained, and why another does not. Pure: the time is a parameter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.decision import is_protected
from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import format_duration
from supervisor_memkill.worded import Worded
from supervisor_memkill.workers.contract import Reading

NEAR_LIMIT = 0.9
"""A new process above this share of its limit shows that the limit is below its baseline."""
BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS = 600.0, 86400.0
"""How long such a worker is not drained again. It doubles each time in a row, up to the maximum."""
NOT_BEGUN_SECONDS, MAX_NOT_BEGUN_SECONDS = 15.0, 600.0
"""The same for a worker whose drain could not begin: other workers are drained first."""


class Hold(Worded):
    """Why a worker does not ask for a slot."""

    NO_LIMIT = "no_limit", "no limit is set"
    NOT_RUNNING = "not_running", "not running"
    UNDER_WAY = "under_way", "its drain is under way"
    MEMORY_UNKNOWN = "memory_unknown", "memory unknown"
    UNDER_LIMIT = "under_limit", "under its limit"
    STRIKES = "strikes", "over its limit, but at fewer checks in a row than strikes demands"
    MIN_UPTIME = "min_uptime", "over its limit, but up for less than min_uptime"
    BACKS_OFF = "backs_off", "over its limit, but not drained again yet"
    UNSAFE_SETTINGS = "unsafe_settings", "over its limit, but its settings in supervisord would lose jobs"
    NOT_RECOGNISED = "not_recognised", "over its limit, but not recognised by its kind"
    NOT_NOW = "not_now", "over its limit, but its kind does not allow a drain now"
    PROTECTED_JOB = "protected_job", "over its limit, but a protected job is running"
    JOBS_UNKNOWN = "jobs_unknown", "over its limit, but its running jobs are unknown and some are protected"


class BackOffCause(Worded):
    """Why a worker is not drained again at once."""

    BELOW_BASELINE = "below_baseline", "a new process needs about as much as the limit"
    AFTER_RESUME = "after_resume", "its last drain ended by on_timeout = resume"
    NOT_BEGUN = "not_begun", "the request to take no new job could not be sent"


@dataclass(frozen=True)
class BackOff:
    """A worker is not drained again before a time on the boot clock."""

    until: float
    seconds: float
    """The whole delay: the next one in a row is twice as long."""
    cause: BackOffCause
    limit_bytes: int = 0
    """It applies only while this is the limit; 0: it applies with any limit."""

    def applies(self, limit_bytes: int | None, now: float) -> bool:
        return now < self.until and self.limit_bytes in (0, limit_bytes)


@dataclass(frozen=True)
class Terms:
    """The pool settings that decide which worker asks; sizes in bytes."""

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
    """None: the process does not run."""
    draining: State | None = None
    strikes: int = 0
    """Checks in a row at which the worker was over its limit, this one included."""
    back_off: BackOff | None = None
    memory_why: str = ""
    """Why the memory is unknown."""
    refusals: tuple[str, ...] = ()
    """Its settings that would lose jobs in a drain."""


@dataclass(frozen=True)
class Verdict:
    """The result of one check of one worker."""

    hold: Hold | None
    """None: the worker asks for a slot."""
    urgency: float = 0.0
    """Memory divided by limit."""
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
        """The result as text for an operator."""
        text = self.hold.words if self.hold else "over its limit"
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
    """Why a worker over its limit does not ask. Above the hard limit, strikes and running jobs do not matter.

    Settings that would lose jobs matter even then: a person must change them, and the log says so at once.
    """
    reading = seen.reading
    if seen.refusals:
        return Hold.UNSAFE_SETTINGS, seen.refusals[0]
    if not hard and seen.strikes < terms.strikes:
        return Hold.STRIKES, f"{seen.strikes} of {terms.strikes}"
    uptime = seen.process.uptime_seconds
    if uptime < terms.min_uptime_seconds:
        return Hold.MIN_UPTIME, f"{format_duration(uptime)} of {format_duration(terms.min_uptime_seconds)}"
    back_off = seen.back_off
    if back_off is not None and back_off.applies(terms.limit_bytes, now):
        return Hold.BACKS_OFF, f"{back_off.cause.words}; {format_duration(back_off.until - now)} left"
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
    """The worker is RUNNING and settled, not quiet, not draining, and its kind sees it in service."""
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
        """Count one check. If the memory is unknown, the count stays."""
        if memory_bytes is None or limit_bytes is None:
            return
        count = self.of(process) + 1 if memory_bytes > limit_bytes else 0
        self._counts[process.worker] = (process.pid, process.start, count)

    def keep(self, workers: Iterable[str]) -> None:
        """Forget every worker but these."""
        kept = set(workers)
        self._counts = {worker: row for worker, row in self._counts.items() if worker in kept}


def is_below_baseline(memory_bytes: int, limit_bytes: int) -> bool:
    """A new process with this much memory will soon be over its limit again."""
    return memory_bytes >= limit_bytes * NEAR_LIMIT


def next_back_off(before: BackOff | None, now: float, cause: BackOffCause, limit_bytes: int = 0) -> BackOff:
    """The delay after a drain that freed no memory; `before` is the worker's last one."""
    seconds, maximum = BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS
    if cause is BackOffCause.NOT_BEGUN:
        seconds, maximum = NOT_BEGUN_SECONDS, MAX_NOT_BEGUN_SECONDS
    if before is not None and (before.cause, before.limit_bytes) == (cause, limit_bytes):
        seconds = min(before.seconds * 2, maximum)
    return BackOff(now + seconds, seconds, cause, limit_bytes)
