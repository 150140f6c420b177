"""The events of workers and pools at a look, outside of a drain, and of the machine's memory."""

from __future__ import annotations

from collections.abc import Mapping

from supervisor_memkill.coordination.contract import Cause as RefusalCause
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.processes import Measure
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.policy import Hold

LEFT_BEHIND_HINT = (
    "end it with kill; so that none is left again, start the worker with exec, or set killasgroup=true"
)


@dataclass(frozen=True)
class WorkerSeen(Event):
    """The result of one look at one worker."""

    name = "worker.seen"
    level = Level.DEBUG
    worker: str
    pool: str
    pid: int | None
    rss_bytes: int | None
    busy: int | None
    quiet: bool | None
    verdict: str
    measure: Measure = "rss"
    up_seconds: float | None = None
    """How long its process has been running, by supervisord."""
    max_rss_bytes: int | None = None
    hard_max_rss_bytes: int | None = None
    state: str | None = None
    """The state of its drain, else that of supervisord."""
    is_draining: bool = False
    in_service: bool | None = None
    reason: Reason | None = None
    """Why it is to be drained, now or as soon as nothing holds it; None: there is no reason."""


@dataclass(frozen=True)
class WorkerJobs(Event):
    """The running jobs of one worker at a look, where its kind names them."""

    name = "worker.jobs"
    level = Level.DEBUG
    worker: str
    pool: str
    pid: int
    start: int
    """When supervisord started the process, in epoch seconds."""
    rss_bytes: int
    up_seconds: float
    jobs: tuple[str, ...]
    """The class of each running job."""
    runs: Mapping[str, int] | None = None
    """How many jobs of each class the process has begun; None: the framework does not count them."""
    measure: Measure = "rss"


@dataclass(frozen=True)
class PoolLooked(Event):
    """The look at a pool is complete; each of its workers was reported before, unless `unchanged`."""

    name = "pool.looked"
    level = Level.DEBUG
    pool: str
    workers: int
    readings_up: bool | None
    """The source of the readings answered; None: it was not asked."""
    failure: str | None
    """Why the look failed."""
    unchanged: bool = False
    """The last look found the same, and no worker was reported again."""


@dataclass(frozen=True)
class WorkerHeld(Event):
    """A worker waits for its drain, for this cause. Logged once per cause; a WARNING if a person must act."""

    name = "worker.held"
    once_per = ("worker",)
    compared = ("cause",)
    worker: str
    pid: int
    rss_bytes: int | None
    cause: Hold | RefusalCause | None
    why: str
    measure: Measure = "rss"
    """The log shows the memory under this name."""

    def __post_init__(self) -> None:
        if self.cause is not None and self.cause.needs_a_person:
            # This event alone: the class keeps the level of those that end by themselves.
            object.__setattr__(self, "level", Level.WARNING)


@dataclass(frozen=True)
class WorkerHeldForEver(WorkerHeld):
    """A worker over its limit is never drained: its pool has too few workers, or too few for its queues."""

    name = "worker.held_for_ever"
    level = Level.WARNING
    hint = "set min_available = 0 in its pool, or run another worker"


@dataclass(frozen=True)
class WorkerHeldLong(Event):
    """A worker that should be drained has been held for more than an hour. `cause` is the present cause."""

    name = "worker.held_long"
    worker: str
    pid: int
    pool: str
    cause: Hold | RefusalCause | None
    why: str
    held_seconds: float


@dataclass(frozen=True)
class WorkerHeldLongOver(WorkerHeldLong):
    """A worker that was held for more than an hour is drained now, or has no reason for a drain any more."""

    name = "worker.held_long_over"


@dataclass(frozen=True)
class DryRunVerdict(WorkerHeld):
    """In a dry run under supervisord: what the listener would do with a worker that should be drained."""

    name = "dry_run.verdict"


@dataclass(frozen=True)
class WorkerNearLimit(Event):
    """A worker passed warn_rss. Nothing is done to it; the event is reported once per process."""

    name = "worker.near_limit"
    level = Level.WARNING
    once_per = ("worker",)
    compared = ("pid",)
    worker: str
    pid: int
    pool: str
    rss_bytes: int
    warn_rss_bytes: int
    measure: Measure = "rss"


@dataclass(frozen=True)
class WorkerHint(Event):
    """A setting in supervisord, or the worker's command, could lose jobs. `advice` says what to change."""

    name = "worker.hint"
    level = Level.WARNING
    worker: str
    advice: str


@dataclass(frozen=True)
class WorkerUnsafe(WorkerHint):
    """A setting in supervisord would lose jobs. The worker is not drained until the setting is changed."""

    name = "worker.unsafe_settings"
    level = Level.ERROR
    hint = "change the setting, then run supervisorctl update while the worker is idle"


@dataclass(frozen=True)
class WorkerLeftBehind(Event):
    """A process of the pool's framework that nobody supervises any more goes on taking jobs."""

    name = "worker.left_behind"
    level = Level.WARNING
    hint = LEFT_BEHIND_HINT
    once_per = ("pool", "pid")
    pool: str
    pid: int
    record: str
    queues: tuple[str, ...] | None = None
    """The queues that it takes jobs from; None: unknown."""


@dataclass(frozen=True)
class MeasureUnreadable(Event):
    """The pool's measure cannot be read, so that RSS is used: it counts memory that processes share twice.

    `max_rss` is compared with the RSS: a worker is drained too early rather than too late. `hard_max_rss` is
    compared with the part that surely is not counted twice: no job is cut because of a guess.
    """

    name = "pool.measure_unreadable"
    level = Level.WARNING
    hint = (
        "give the container SYS_PTRACE (docker: --cap-add SYS_PTRACE; compose: cap_add), or run the listener "
        "as the workers' user, or set measure = rss and limits that fit it"
    )
    once_per = ("pool",)
    compared = ()
    pool: str
    measure: Measure
    why: str


@dataclass(frozen=True)
class MachineShort(Event):
    """The machine, or the container, has less memory left than `min_free`.

    The largest worker of the pools that yield is replaced, one at a time: by its drain, or by its stop if no
    time is left.
    """

    name = "machine.short"
    level = Level.WARNING
    hint = "find out what uses the memory of this machine; run fewer workers, or lower their max_rss"
    once_per = ()
    compared = ("urgent",)
    memory: str
    urgent: bool


@dataclass(frozen=True)
class MachineRecovered(Event):
    """The machine has more memory left than `min_free` again."""

    name = "machine.recovered"


@dataclass(frozen=True)
class MachineUnreadable(Event):
    """The listener cannot read how much memory the machine has left: `min_free` replaces no worker."""

    name = "machine.unreadable"
    level = Level.WARNING
    hint = "let the listener read /proc/meminfo and the files of its control groups, or remove min_free"
    once_per = ()
    compared = ()
    why: str


@dataclass(frozen=True)
class PoolNote(Event):
    """A pool matches no worker, or two pools match the same worker."""

    name = "pool.note"
    level = Level.WARNING
    once_per = ("note",)
    note: str


@dataclass(frozen=True)
class PoolUnrecognised(Event):
    """No worker of a pool is recognised: none of them is ever drained. `why` also says what is there."""

    name = "pool.unrecognised"
    level = Level.WARNING
    hint = "correct the pool's worker, redis, key_namespace or programs; see the page of its framework"
    once_per = ("pool",)
    pool: str
    workers: int
    why: str
