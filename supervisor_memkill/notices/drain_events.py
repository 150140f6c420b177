"""The events of drains."""

from __future__ import annotations

from typing import ClassVar

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.processes import Measure
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Action, Outcome, State
from supervisor_memkill.rules.evidence import EvidenceState


@dataclass(frozen=True)
class DrainEvent(Event):
    """An event of a drain."""

    worker: str
    pid: int


@dataclass(frozen=True)
class DrainStep(DrainEvent):
    """A step of a drain, which the pool's stream also records."""

    pool: str
    reason: Reason
    cause: StepCause | None = None


@dataclass(frozen=True)
class DrainState(DrainStep):
    """A drain entered a state."""

    state: ClassVar[State]
    rss_bytes: int | None = None
    """None after the beginning of the drain."""
    max_rss_bytes: int | None = None
    survivors: tuple[int, ...] | None = None
    """The pids of old processes that are still alive at the start."""
    measure: Measure | None = None
    """The log shows the memory under this name; None: as `rss_bytes`."""
    busy: int | None = None
    """The number of jobs that were running when the stop was sent; None elsewhere, and if it is unknown."""
    jobs: tuple[str, ...] | None = None
    """The class names of these jobs."""


@dataclass(frozen=True)
class DrainQuieting(DrainState):
    """The drain begins: the worker is asked to take no new job."""

    name = "drain.quieting"
    state = State.QUIETING


@dataclass(frozen=True)
class DrainDraining(DrainState):
    """The worker takes no new job; running jobs go on."""

    name = "drain.draining"
    state = State.DRAINING


@dataclass(frozen=True)
class DrainResuming(DrainState):
    """drain_timeout is over and on_timeout is resume: the worker is asked to take jobs again."""

    name = "drain.resuming"
    state = State.RESUMING


@dataclass(frozen=True)
class DrainStopping(DrainState):
    """supervisord is asked to stop the worker."""

    name = "drain.stopping"
    state = State.STOPPING


@dataclass(frozen=True)
class DrainStarting(DrainState):
    """The worker is stopped; supervisord is asked to start it."""

    name = "drain.starting"
    state = State.STARTING


@dataclass(frozen=True)
class DrainSettling(DrainState):
    """A new process runs. It must stay RUNNING for `settle`, and its kind must see it in service."""

    name = "drain.settling"
    state = State.SETTLING


@dataclass(frozen=True)
class DrainDone(DrainStep):
    """The new process is in service. `cause`: why the stop was sent. Memory before and after, durations."""

    name = "drain.done"
    before_bytes: int | None = None
    after_bytes: int | None = None
    quiet_seconds: float | None = None
    stopped_seconds: float | None = None
    took_seconds: float | None = None
    kind: str | None = None
    """The pool's `worker`, such as ``sidekiq``."""
    evidence: EvidenceState | None = None
    """What became of `before_stop`; None: it was not run."""


@dataclass(frozen=True)
class DrainKilled(DrainStep):
    """The drain is over. Its stop ended in SIGKILL, or by a signal that cut jobs: `busy` jobs may be lost.

    `cause`: why the stop was sent; or why the drain ended, if the listener did not start the worker again.
    """

    name = "drain.killed"
    level = Level.ERROR
    hint = (
        "look in the worker's log for the jobs that were cut, and run them again; give its stop more time: "
        "stopwaitsecs"
    )
    busy: int | None = None
    """The number of jobs that were running when the stop was sent; None: unknown."""
    jobs: tuple[str, ...] | None = None
    """The class names of these jobs."""
    stopwaitsecs: int | None = None
    before_bytes: int | None = None
    after_bytes: int | None = None
    quiet_seconds: float | None = None
    stopped_seconds: float | None = None
    took_seconds: float | None = None
    kind: str | None = None
    evidence: EvidenceState | None = None


@dataclass(frozen=True)
class DrainLetGo(DrainStep):
    """The drain ended without a restart by the listener. The worker stays as it is now."""

    name = "drain.let_go"
    level = Level.WARNING
    state: State | None = None
    """The last state before the end."""
    why: str | None = None
    before_bytes: int | None = None
    quiet_seconds: float | None = None
    stopped_seconds: float | None = None
    took_seconds: float | None = None
    kind: str | None = None
    evidence: EvidenceState | None = None


@dataclass(frozen=True)
class DrainNotBegun(DrainEvent):
    """A drain did not begin. Nothing was done to the worker."""

    name = "drain.not_begun"
    cause: StepCause | None
    why: str | None


@dataclass(frozen=True)
class DrainAgain(DrainEvent):
    """An action is repeated, because it had no effect yet."""

    name = "drain.again"
    once_per = ("worker",)
    compared = ("state", "action")
    state: State
    action: Action


@dataclass(frozen=True)
class DrainBusy(DrainEvent):
    """The number of running jobs changed, or the reason why it is unknown."""

    name = "drain.busy"
    once_per = ("worker",)
    compared = ("busy", "why")
    busy: int | None
    why: str | None


@dataclass(frozen=True)
class DrainHeldAtTimeout(DrainEvent):
    """drain_timeout is over, but a stop would lose the running jobs: the drain waits until they end."""

    name = "drain.held_at_timeout"
    level = Level.ERROR
    hint = "change one of the settings, and run supervisorctl update when the jobs have ended"
    once_per = ("worker",)
    compared = ("losses",)
    busy: int | None
    jobs: tuple[str, ...] | None
    losses: tuple[str, ...]


@dataclass(frozen=True)
class DrainEvidenceBegins(DrainEvent):
    """The worker is quiet and idle: before its stop the command `before_stop` runs."""

    name = "drain.evidence_begins"


@dataclass(frozen=True)
class DrainEvidence(DrainEvent):
    """The command `before_stop` has succeeded. If the worker is still idle, its stop follows."""

    name = "drain.evidence"
    took_seconds: float


@dataclass(frozen=True)
class DrainTakenUp(DrainEvent):
    """A new listener continues a drain of the last listener."""

    name = "drain.taken_up"
    state: State


@dataclass(frozen=True)
class DrainPoolChanged(DrainEvent):
    """The configuration changed during a drain: the worker now belongs to another pool, or to none."""

    name = "drain.pool_changed"
    level = Level.WARNING
    former: str
    pool: str | None


@dataclass(frozen=True)
class DrainLeft(DrainEvent):
    """This listener ends, and this drain is not done. The next listener with the same journal finishes it."""

    name = "drain.left"
    state: State


@dataclass(frozen=True)
class DryRunDrainLeft(DrainLeft):
    """A former listener left this drain, and a dry run does not finish it. The worker may be quiet."""

    name = "dry_run.drain_left"
    level = Level.WARNING
    hint = "start a listener with the same journal: it finishes the drain; or restart the worker by hand"


@dataclass(frozen=True)
class ActionFailed(DrainEvent):
    """An action on a worker failed."""

    level = Level.WARNING
    once_per = ("worker",)
    compared = ("error",)
    error: str


@dataclass(frozen=True)
class DrainQuietFailed(ActionFailed):
    """The worker could not be asked to take no new job. The request is sent again, or the drain ends."""

    name = "drain.quiet_failed"


@dataclass(frozen=True)
class DrainResumeFailed(ActionFailed):
    """The worker could not be asked to take jobs again. The request is sent again."""

    name = "drain.resume_failed"


@dataclass(frozen=True)
class DrainThawFailed(ActionFailed):
    """A worker that the quiet suspended could not be continued. CONT is sent again."""

    name = "drain.thaw_failed"
    hint = "if this goes on, send the signal CONT to the worker by hand"


@dataclass(frozen=True)
class DrainEvidenceFailed(ActionFailed):
    """The command `before_stop` failed, or the drain did not wait for it. The drain goes on all the same."""

    name = "drain.evidence_failed"
    hint = "run the command by hand, as the listener's user, for a worker that is idle"
    took_seconds: float | None = None


@dataclass(frozen=True)
class DrainStopFailed(ActionFailed):
    """supervisord did not accept the stop. It is sent again when that is safe."""

    name = "drain.stop_failed"


@dataclass(frozen=True)
class DrainStartFailed(ActionFailed):
    """The worker could not be started, or its new process ended. The drain keeps its slot until one runs."""

    name = "drain.start_failed"
    hint = "read the worker's own log; the start is tried again, with a growing delay"


@dataclass(frozen=True)
class DrainStopHelpFailed(DrainEvent):
    """The kind could not prepare the stop. supervisord stops the worker all the same."""

    name = "drain.stop_help_failed"
    level = Level.WARNING
    error: str


@dataclass(frozen=True)
class DrainOldProcessesLive(DrainEvent):
    """The worker was restarted, but some of its old processes are still alive. They may still run a job."""

    name = "drain.old_processes_live"
    level = Level.ERROR
    hint = "check what these processes do, and end them: the drain keeps its slot until they are gone"
    once_per = ("worker",)
    compared = ("pids",)
    pids: tuple[int, ...]


@dataclass(frozen=True)
class DrainNotInServiceYet(DrainEvent):
    """The worker does not come back: its start or its new process fails, or it is not in service for long."""

    name = "drain.not_in_service_yet"
    level = Level.WARNING
    hint = "read the worker's own log; its pool drains no other worker until it is in service"
    once_per = ("worker",)
    compared = ()
    """supervisord may start a new process every second."""
    why: str


@dataclass(frozen=True)
class LimitBelowBaseline(DrainEvent):
    """A new process needs about max_rss. The worker is not drained for `back_off`, hard_max_rss aside."""

    name = "limit.below_baseline"
    level = Level.ERROR
    hint = "set max_rss well above rss, the memory that a new process needs"
    rss_bytes: int
    max_rss_bytes: int
    back_off_seconds: float
    measure: Measure = "rss"


@dataclass(frozen=True)
class KindFailed(DrainEvent):
    """The kind of the pool raised an error. The drain goes on without its readings, by drain_timeout."""

    name = "kind.failed"
    level = Level.ERROR
    hint = "report this line to the author of the kind"
    once_per = ("worker",)
    compared = ("error",)
    error: str


@dataclass(frozen=True)
class StepSaved(DrainEvent):
    """The journal has this state of a drain. The action of the state follows."""

    name = "drain.saved"
    level = Level.DEBUG
    state: State


@dataclass(frozen=True)
class StepActed(DrainEvent):
    """An action of a drain was tried, with this outcome."""

    name = "drain.acted"
    level = Level.DEBUG
    state: State
    action: Action
    outcome: Outcome


@dataclass(frozen=True)
class StepEnded(DrainEvent):
    """One step of a drain ended. `touched`: something may have been done to the worker."""

    name = "drain.step"
    level = Level.DEBUG
    state: State
    touched: bool
