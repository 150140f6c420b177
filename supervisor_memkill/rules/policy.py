"""Which worker asks to be drained, and why another does not. Pure: the time is a parameter."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.back_off import BackOff
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import Pause
from supervisor_memkill.rules.step import is_protected
from supervisor_memkill.units import format_duration
from supervisor_memkill.worded import Worded
from supervisor_memkill.workers.contract import Reading

URGENCY = {
    Reason.MIN_FREE_NOW: 0.95,
    Reason.MIN_FREE: 0.9,
    Reason.MAX_TOTAL_RSS: 0.75,
    Reason.RESTART: 0.5,
    Reason.MAX_AGE: 0.25,
}
"""Below 1: a worker over its own limit, whose urgency is memory divided by limit, comes first."""
AGE_SPREAD = 0.1
"""A worker asks at some age within this share below max_age: workers that began together ask one by one."""


class Hold(Worded):
    """Why a worker does not ask for a slot."""

    NO_LIMIT = "no_limit", "no limit is set"
    NOT_RUNNING = "not_running", "not running"
    UNDER_WAY = "under_way", "its drain is under way"
    MEMORY_UNKNOWN = "memory_unknown", "memory unknown"
    UNDER_LIMIT = "under_limit", "under its limit"
    STRIKES = "strikes", "too few checks in a row have found it so"
    MIN_UPTIME = "min_uptime", "up for less than min_uptime"
    BACKS_OFF = "backs_off", "not drained again yet"
    PAUSED = "paused", "a person paused the pool"
    DRAIN_HOURS = "drain_hours", "outside drain_hours"
    UNSAFE_SETTINGS = "unsafe_settings", "its settings in supervisord would lose jobs"
    NOT_RECOGNISED = "not_recognised", "not recognised by its kind"
    UNREADABLE = "unreadable", "its kind cannot tell what it is or does now"
    NOT_NOW = "not_now", "its kind does not allow a drain now"
    PROTECTED_JOB = "protected_job", "a protected job is running"
    JOBS_UNKNOWN = "jobs_unknown", "its running jobs are unknown and some are protected"

    @property
    def needs_a_person(self) -> bool:
        """It does not end by itself. A pause and a back-off have events of their own."""
        return self in (Hold.MEMORY_UNKNOWN, Hold.UNSAFE_SETTINGS, Hold.NOT_RECOGNISED)


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
    max_total_bytes: int | None = None
    """For the workers of the pool under this supervisord together; None: no limit is set."""
    warn_bytes: int | None = None
    """A worker above it is reported; None: no worker is."""
    max_age_seconds: float | None = None
    """None: no limit is set."""
    closed: str = ""
    """When the pool's drain_hours open, for an operator; empty: drains may begin now."""


@dataclass(frozen=True, slots=True)
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
    memory_least_bytes: int | None = None
    """The least that the memory can be; None: `memory_bytes` is exact, or unknown as well."""
    memory_lost: str = ""
    """Why the pool's measure could not be read, so that `memory_bytes` is the most that the memory can be."""

    refusals: tuple[str, ...] = ()
    """Its settings that would lose jobs in a drain."""
    pause: Pause | None = None
    """The pause of its pool."""
    restart_requested: bool = False
    """A person requested the restart of this very process."""
    age_seconds: float | None = None
    """How long its process has lived, by a clock that nobody can set; None: unknown."""

    @property
    def uptime_seconds(self) -> float:
        """The age of its process; else supervisord's figure, which is wrong after its clock was set."""
        return self.process.uptime_seconds if self.age_seconds is None else self.age_seconds

    @property
    def sure_bytes(self) -> int | None:
        """What the worker surely uses; None: unknown."""
        return self.memory_bytes if self.memory_least_bytes is None else self.memory_least_bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check of one worker."""

    hold: Hold | None
    """None: the worker asks for a slot."""
    urgency: float = 0.0
    """Memory divided by limit, or the fixed urgency of another reason."""
    reason: Reason | None = None
    """Why the worker is to be drained, now or as soon as nothing holds it; None: there is no reason."""
    detail: str = ""

    @property
    def asks(self) -> bool:
        return self.hold is None

    @property
    def hard(self) -> bool:
        """It waits neither for a slot nor for running jobs."""
        return self.reason is not None and self.reason.is_hard

    @property
    def is_over(self) -> bool:
        """Its memory is known and above its limit."""
        return self.urgency > 1.0

    @property
    def words(self) -> str:
        """The result as text for an operator."""
        parts = [self.reason.asks if self.reason else "", self.hold.words if self.hold else ""]
        text = ", but ".join(filter(None, parts))
        return f"{text} ({self.detail})" if self.detail else text


def judge_all(sightings: Sequence[Sighting], terms: Terms, now: float) -> list[Verdict]:
    """Which workers of one pool under this supervisord ask to be drained now.

    Above max_total_rss the largest worker asks, or the next one while that one is held. Any drain of the pool
    that is under way comes first: it gives memory back.
    """
    verdicts = [judge(seen, terms, now) for seen in sightings]
    total = sum(seen.memory_bytes or 0 for seen in sightings)
    is_over = terms.max_total_bytes is not None and total > terms.max_total_bytes
    if not is_over or any(seen.draining is not None for seen in sightings):
        return verdicts
    for index in sorted(range(len(sightings)), key=lambda index: -(sightings[index].memory_bytes or 0)):
        verdicts[index] = judge(sightings[index], terms, now, largest_for=Reason.MAX_TOTAL_RSS)
        if verdicts[index].asks:
            break
    return verdicts


def judge(seen: Sighting, terms: Terms, now: float, *, largest_for: Reason | None = None) -> Verdict:
    """Whether this worker asks to be drained now.

    `largest_for`: it is the largest worker, and this reason takes the largest one.
    """
    memory, limit = seen.memory_bytes, terms.limit_bytes
    if seen.draining is not None:
        return Verdict(Hold.UNDER_WAY, detail=seen.draining.value)
    if seen.process.state is not ProcessState.RUNNING:
        return Verdict(Hold.NOT_RUNNING, detail=seen.process.state.name)
    verdicts = [_verdict(seen, terms, now, reason) for reason in _reasons(seen, terms, largest_for)]
    if verdicts:
        # A worker over its limit may be held by what does not hold a restart that a person requested.
        return next((verdict for verdict in verdicts if verdict.asks), verdicts[0])
    if limit is None:
        return Verdict(Hold.NO_LIMIT)
    if memory is None:
        return Verdict(Hold.MEMORY_UNKNOWN, detail=seen.memory_why)
    return Verdict(Hold.UNDER_LIMIT, memory / limit)


def _reasons(seen: Sighting, terms: Terms, largest_for: Reason | None) -> Iterator[Reason]:
    """Why the worker is to be drained, the most urgent reason first."""
    memory, limit, hard_limit = seen.memory_bytes, terms.limit_bytes, terms.hard_limit_bytes
    if largest_for is Reason.MIN_FREE_NOW:
        yield largest_for
    if memory is not None and limit is not None and memory > limit:
        is_hard = hard_limit is not None and (seen.sure_bytes or 0) > hard_limit
        yield Reason.HARD_MAX_RSS if is_hard else Reason.MAX_RSS
    if largest_for in (Reason.MIN_FREE, Reason.MAX_TOTAL_RSS) and memory is not None:
        yield largest_for
    if seen.restart_requested:
        yield Reason.RESTART
    max_age = terms.max_age_seconds
    if max_age is not None and seen.uptime_seconds > _age_limit(seen.process, max_age):
        yield Reason.MAX_AGE


def _age_limit(process: ProcessInfo, max_age_seconds: float) -> float:
    share = zlib.crc32(f"{process.worker} {process.start}".encode()) / 2**32
    return max_age_seconds * (1.0 - AGE_SPREAD * share)


def _verdict(seen: Sighting, terms: Terms, now: float, reason: Reason) -> Verdict:
    hold, detail = _held(seen, terms, now, reason)
    urgency = URGENCY.get(reason)
    if urgency is None:
        urgency = (seen.memory_bytes or 0) / (terms.limit_bytes or 1)
    return Verdict(hold, urgency, reason, detail)


def _held(seen: Sighting, terms: Terms, now: float, reason: Reason) -> tuple[Hold | None, str]:
    """Why a worker with a reason does not ask.

    Above the hard limit, strikes, hours and running jobs do not matter. Settings that would lose jobs matter
    even then: a person must change them, and the log says so at once. While the machine has hardly any memory
    left, min_uptime and the delay after a failed drain do not matter either, unless the worker gave nothing.
    """
    reading, hard, now_or_never = seen.reading, reason.is_hard, reason is Reason.MIN_FREE_NOW
    if seen.pause is not None and seen.pause.holds(hard=hard):
        until = seen.pause.until
        left = f"{format_duration(max(0.0, until - now))} left" if until is not None else "until it is ended"
        return Hold.PAUSED, left
    if seen.refusals:
        return Hold.UNSAFE_SETTINGS, seen.refusals[0]
    if terms.closed and not hard:
        return Hold.DRAIN_HOURS, terms.closed
    if reason is Reason.MAX_RSS and seen.strikes < terms.strikes:
        return Hold.STRIKES, f"{seen.strikes} of {terms.strikes}"
    uptime = seen.uptime_seconds
    waits = reason is not Reason.RESTART and not now_or_never
    if waits and uptime < terms.min_uptime_seconds:
        return Hold.MIN_UPTIME, f"{format_duration(uptime)} of {format_duration(terms.min_uptime_seconds)}"
    back_off = seen.back_off
    if back_off is not None and back_off.applies(
        reason, terms.limit_bytes, now, terms.hard_limit_bytes, seen.memory_bytes
    ):
        return Hold.BACKS_OFF, f"{back_off.cause.words}; {format_duration(back_off.until - now)} left"
    if reading is None or reading.recognised is None:
        return Hold.UNREADABLE, reading.why if reading else ""
    if not reading.recognised:
        return Hold.NOT_RECOGNISED, reading.why
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
        and seen.uptime_seconds >= settle_seconds
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
        if memory_bytes > limit_bytes:
            self._counts[process.worker] = (process.pid, process.start, self.of(process) + 1)
        else:
            self._counts.pop(process.worker, None)

    def keep(self, workers: Iterable[str]) -> None:
        """Forget every worker but these."""
        kept = set(workers)
        self._counts = {worker: row for worker, row in self._counts.items() if worker in kept}


def can_never_drain(workers: int, min_available: int) -> bool:
    """A pool of so many workers has too few of them, even if all are in service."""
    return workers - 1 < min_available
