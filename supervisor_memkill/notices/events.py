"""The events of the listener and of workers that are not drained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from supervisor_memkill.coordination.contract import Cause as RefusalCause
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.processes import Measure
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.policy import Hold
from supervisor_memkill.rules.requests import Act

LEFT_BEHIND_HINT = (
    "end it with kill; so that none is left again, start the worker with exec, or set killasgroup=true"
)

# --- the listener ------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListenerStarted(Event):
    """The listener started, with these pools, from these files, and with this journal."""

    name = "listener.started"
    version: str
    pools: tuple[str, ...]
    files: tuple[Path, ...]
    host: str
    journal: Path
    dry_run: bool
    coordination: str


@dataclass(frozen=True)
class ListenerRefused(Event):
    """The listener cannot start. supervisord starts it again, and this line comes again each time."""

    name = "listener.not_started"
    level = Level.ERROR
    hint = "correct what the error names; then look for the line listener.started"
    error: str


@dataclass(frozen=True)
class ListenerEnded(Event):
    """The listener ended: supervisord stopped it or is gone, or a signal came."""

    name = "listener.ended"


@dataclass(frozen=True)
class ListenerDeaf(Event):
    """supervisord answers, but sends this listener no TICK any more. `then` says what the listener does."""

    name = "listener.deaf"
    level = Level.ERROR
    hint = (
        "let nothing write to the listener's standard output before it starts, such as a login shell's"
        " greeting (sh -lc); after a change of events, run supervisorctl update"
    )
    silent_seconds: float
    then: str


@dataclass(frozen=True)
class ListenerWithoutTicks(Event):
    """The listener's own section subscribes to no TICK event, so that no worker is ever checked."""

    name = "listener.without_ticks"
    level = Level.ERROR
    hint = (
        "set events = TICK_60,REMOTE_COMMUNICATION,PROCESS_STATE in the listener's [eventlistener:...]"
        " section, then run supervisorctl update"
    )


@dataclass(frozen=True)
class ListenerStandsBy(Event):
    """Another process of the same event listener (`numprocs`) does the work. This one waits for its end."""

    name = "listener.stands_by"
    once_per = ()
    compared = ()
    siblings: int


@dataclass(frozen=True)
class ListenerGivesWay(Event):
    """Another process of the same event listener (`numprocs`) gets the TICKs. This one ends and stands by."""

    name = "listener.gives_way"
    silent_seconds: float


@dataclass(frozen=True)
class ListenerTakesOver(Event):
    """This listener stood by, and does the work from now on."""

    name = "listener.takes_over"


@dataclass(frozen=True)
class ListenerNameTaken(Event):
    """Another listener with the same name reported to Redis lately. This listener drains no worker."""

    name = "listener.name_is_taken"
    level = Level.ERROR
    hint = (
        "if this listener ran before under another user or with another journal, wait for 3 heartbeats;"
        " else set host in [memkill] to another name on one of the two hosts"
    )
    once_per = ()
    host: str


@dataclass(frozen=True)
class ListenerWaitsForFormer(Event):
    """A former process of this listener, with another journal, has ended. Its record in Redis must expire."""

    name = "listener.waits_for_former"
    once_per = ()
    compared = ()
    host: str
    expires_in_seconds: float


@dataclass(frozen=True)
class Failed(Event):
    """An error in supervisor-memkill. It affects one worker, one pool or one turn; the listener goes on."""

    name = "failed"
    level = Level.ERROR
    hint = "report this line to the authors of supervisor-memkill"
    once_per = ("at",)
    at: str
    error: str
    where: str


@dataclass(frozen=True)
class UnexpectedEvent(Event):
    """supervisord sent an event that the listener does not use. Without TICK events no worker is checked."""

    name = "event.unasked"
    level = Level.WARNING
    hint = (
        "set events = TICK_60,REMOTE_COMMUNICATION,PROCESS_STATE in the listener's [eventlistener:...]"
        " section, then run supervisorctl update"
    )
    once_per = ()
    compared = ()
    event: str


@dataclass(frozen=True)
class Away(Event):
    """Something that the listener needs does not answer."""

    level = Level.ERROR
    error: str


@dataclass(frozen=True)
class Back(Event):
    """Something that the listener needs answers again."""

    after_seconds: float


@dataclass(frozen=True)
class SupervisordAway(Away):
    """supervisord does not answer. All drains wait, and no drain begins."""

    name = "supervisord.away"
    hint = "check that supervisord runs, and check the server section of its configuration"


@dataclass(frozen=True)
class SupervisordBack(Back):
    """supervisord answers again, after this time."""

    name = "supervisord.back"


@dataclass(frozen=True)
class JournalAway(Away):
    """The journal cannot be written, read or locked. No drain begins."""

    name = "journal.away"
    hint = "correct what the error names: the disk, the journal's directory, or a second listener"


@dataclass(frozen=True)
class JournalBack(Back):
    """The journal can be written again, after this time."""

    name = "journal.back"


@dataclass(frozen=True)
class HistoryAway(Away):
    """The history cannot be written. Drains go on; up to 200 records wait in memory to be written later."""

    name = "history.away"
    level = Level.WARNING
    hint = "correct what the error names: the disk, or the journal's directory"


@dataclass(frozen=True)
class HistoryBack(Back):
    """The history can be written again, after this time."""

    name = "history.back"


@dataclass(frozen=True)
class CoordinationAway(Away):
    """Redis does not answer. No drain begins; the drains of quiet workers go on."""

    name = "coordination.away"
    hint = "check that this Redis runs, and redis in [memkill]; without other hosts, remove that line"


@dataclass(frozen=True)
class CoordinationBack(Back):
    """Redis answers again, after this time."""

    name = "coordination.back"


@dataclass(frozen=True)
class ReadingsAway(Away):
    """A pool's source of readings, such as Celery's broker, does not answer. The pool begins no drain."""

    name = "readings.away"
    hint = "check that it runs; check redis or broker in the pool's section, or its busy_command"
    pool: str


@dataclass(frozen=True)
class ReadingsBack(Back):
    """A pool's source of readings answers again, after this time."""

    name = "readings.back"
    pool: str


@dataclass(frozen=True)
class SupervisordShuttingDown(Event):
    """supervisord is shutting down. The listener does nothing more; the journal keeps unfinished drains."""

    name = "supervisord.shutting_down"
    once_per = ()


@dataclass(frozen=True)
class JournalDamaged(Event):
    """The journal was damaged, and was set aside. The listener drains all workers that it finds quiet."""

    name = "journal.damaged"
    level = Level.ERROR
    hint = "start STOPPED workers that nobody stopped; restart custom workers: they may be quiet"
    error: str


@dataclass(frozen=True)
class JournalOfAnotherBoot(Event):
    """The journal was written before the machine restarted. Its drains are over."""

    name = "journal.of_another_boot"
    path: Path


@dataclass(frozen=True)
class SlotNotReleased(Event):
    """The slot of a finished drain could not be given back. The listener tries again, or the slot expires."""

    name = "slot.not_released"
    level = Level.WARNING
    worker: str
    pool: str
    error: str


@dataclass(frozen=True)
class CoordinationAnswered(Event):
    """Coordination answered a request for a slot."""

    name = "coordination.answered"
    level = Level.DEBUG
    pool: str
    worker: str
    asked: str
    """``consider``: no slot is taken; ``acquire``: the slot is taken if it is granted."""
    refused: RefusalCause | None
    others_in_service: int
    min_available: int
    draining: int
    detail: str | None = None


# --- requests of people ------------------------------------------------------------------------


@dataclass(frozen=True)
class RequestTaken(Event):
    """A person's request came and is in the journal: a restart, a pause, or the end of one."""

    name = "request.taken"
    request: str
    """Its id."""
    act: Act
    names: tuple[str, ...]
    workers: tuple[str, ...] | None
    """The workers that are to be restarted."""
    pools: tuple[str, ...] | None
    fleet: str | None = None
    """It is for all hosts that share this pool."""


@dataclass(frozen=True)
class RequestServed(Event):
    """Every worker of a requested restart has another process now."""

    name = "request.served"
    request: str
    workers: int
    took_seconds: float


@dataclass(frozen=True)
class RequestExpired(Event):
    """The time of a requested restart is over. These workers were not restarted."""

    name = "request.expired"
    level = Level.WARNING
    hint = "see worker.held for the cause, and request the restart again"
    request: str
    workers: tuple[str, ...]


@dataclass(frozen=True)
class RequestRefused(Event):
    """A request could not be understood or taken. Nothing was changed."""

    name = "request.refused"
    level = Level.WARNING
    hint = "use the supervisor-memkill command of the same version as the listener"
    once_per = ("error",)
    error: str


@dataclass(frozen=True)
class PoolPaused(Event):
    """A person paused this pool: no drain begins in it. Logged once a day."""

    name = "pool.paused"
    level = Level.WARNING
    once_per = ("pool",)
    compared = ("days",)
    pool: str
    left_seconds: float | None
    """None: until a person ends it with ``supervisor-memkill unpause``."""
    days: int
    """Days since it began."""


@dataclass(frozen=True)
class PoolUnpaused(Event):
    """The pause of this pool is over."""

    name = "pool.unpaused"
    pool: str


# --- workers that are not drained --------------------------------------------------------------


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
class PoolLooked(Event):
    """The look at a pool is complete; each of its workers was reported before."""

    name = "pool.looked"
    level = Level.DEBUG
    pool: str
    workers: int
    readings_up: bool | None
    """The source of the readings answered; None: it was not asked."""
    failure: str | None
    """Why the look failed."""


@dataclass(frozen=True)
class ListenerTicked(Event):
    """A TICK of supervisord came."""

    name = "listener.ticked"
    level = Level.DEBUG


@dataclass(frozen=True)
class CoordinationReached(Event):
    """Redis took this listener's report about the pool."""

    name = "coordination.reached"
    level = Level.DEBUG
    pool: str


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
    """A worker over its limit is never drained: its pool has too few workers for min_available."""

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


@dataclass(frozen=True)
class SupervisordAlert(Event):
    """Something in supervisord's configuration hinders the listener. `alert` says what to change."""

    name = "supervisord.alert"
    level = Level.WARNING
    alert: str
