"""The events of drains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Action, Outcome, State


@dataclass(frozen=True)
class DrainEvent(Event):
    """Something in a drain."""

    worker: str
    pid: int


@dataclass(frozen=True)
class DrainStep(DrainEvent):
    """A step of a drain that the pool's stream keeps, too."""

    pool: str
    reason: Reason
    cause: StepCause | None = None


@dataclass(frozen=True)
class DrainState(DrainStep):
    """A drain entered a state."""

    state: ClassVar[State]
    rss_bytes: int | None = None
    """Known when the drain begins."""
    max_rss_bytes: int | None = None
    survivors: tuple[int, ...] | None = None
    """The pids of old processes that are still alive at the start."""


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
    """drain_timeout is over and on_timeout is resume: the quiet is being undone."""

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
    """The new process is in service: memory before and after, and how long it all took."""

    name = "drain.done"
    before_bytes: int | None = None
    after_bytes: int | None = None
    quiet_seconds: float | None = None
    stopped_seconds: float | None = None
    took_seconds: float | None = None


@dataclass(frozen=True)
class DrainLetGo(DrainStep):
    """The drain ended without a restart of ours: the worker stays as others left it, or takes jobs again."""

    name = "drain.let_go"
    level = Level.WARNING
    state: State | None = None
    """The last state before the end."""
    why: str | None = None


@dataclass(frozen=True)
class DrainNotBegun(DrainEvent):
    """A drain was about to begin and did not. Nothing was done to the worker."""

    name = "drain.not_begun"
    cause: StepCause | None
    why: str | None


@dataclass(frozen=True)
class DrainAgain(DrainEvent):
    """An action is repeated because it had no effect."""

    name = "drain.again"
    once_per = ("worker",)
    compared = ("state", "action")
    state: State
    action: Action


@dataclass(frozen=True)
class DrainBusy(DrainEvent):
    """The number of running jobs changed, or why it is unknown."""

    name = "drain.busy"
    once_per = ("worker",)
    compared = ("busy", "why")
    busy: int | None
    why: str | None


@dataclass(frozen=True)
class DrainTakenUp(DrainEvent):
    """A new listener goes on with a drain that the last one left."""

    name = "drain.taken_up"
    state: State


@dataclass(frozen=True)
class DrainPoolChanged(DrainEvent):
    """The configuration changed during a drain: the worker belongs to another pool now, or to none."""

    name = "drain.pool_changed"
    level = Level.WARNING
    former: str
    pool: str | None


@dataclass(frozen=True)
class DrainLeft(DrainEvent):
    """This listener ends, or may only look, while the worker is out of service by a drain."""

    name = "drain.left"
    level = Level.WARNING
    hint = "start a listener with this journal: it finishes the drain; or restart the worker"
    state: State


@dataclass(frozen=True)
class ActionFailed(DrainEvent):
    """An action on a worker failed."""

    level = Level.WARNING
    once_per = ("worker",)
    compared = ("error",)
    error: str


@dataclass(frozen=True)
class DrainQuietFailed(ActionFailed):
    """The quiet failed. It is sent again, or the drain ends (drain.not_begun)."""

    name = "drain.quiet_failed"


@dataclass(frozen=True)
class DrainResumeFailed(ActionFailed):
    """The quiet could not be undone. It is tried again."""

    name = "drain.resume_failed"


@dataclass(frozen=True)
class DrainThawFailed(ActionFailed):
    """A worker that our signal suspended could not be continued. It is tried again."""

    name = "drain.thaw_failed"
    hint = "send CONT to the worker by hand if this goes on"


@dataclass(frozen=True)
class DrainStopFailed(ActionFailed):
    """supervisord did not take the stop. It is sent again when that is safe."""

    name = "drain.stop_failed"


@dataclass(frozen=True)
class DrainStartFailed(ActionFailed):
    """The worker cannot be started, or its new process ends by itself. The pool drains no other meanwhile."""

    name = "drain.start_failed"
    hint = "look at the worker's own log; the start is tried again, with a growing delay"


@dataclass(frozen=True)
class DrainStopHelpFailed(DrainEvent):
    """The kind could not prepare the stop. supervisord's own stop follows all the same."""

    name = "drain.stop_help_failed"
    level = Level.WARNING
    error: str


@dataclass(frozen=True)
class DrainOldProcessesLive(DrainEvent):
    """The worker was restarted, and processes of its old tree are still alive."""

    name = "drain.old_processes_live"
    level = Level.ERROR
    hint = "end these processes: the drain is done when they are gone; they may still run a job"
    once_per = ("worker",)
    compared = ("pids",)
    pids: tuple[int, ...]


@dataclass(frozen=True)
class DrainNotInServiceYet(DrainEvent):
    """The new process is RUNNING, and a minute after `settle` its kind still does not see it in service."""

    name = "drain.not_in_service_yet"
    level = Level.WARNING
    hint = "look at the worker's own log; the pool drains no other meanwhile"
    once_per = ("worker",)
    why: str | None


@dataclass(frozen=True)
class LimitBelowBaseline(DrainEvent):
    """A new process needs about as much memory as its limit. The worker backs off."""

    name = "limit.below_baseline"
    level = Level.ERROR
    hint = "raise max_rss: a new process needs this much"
    rss_bytes: int
    max_rss_bytes: int
    back_off_seconds: float


@dataclass(frozen=True)
class KindFailed(DrainEvent):
    """The pool's kind raised an error. The drain goes on without its readings, by drain_timeout."""

    name = "kind.failed"
    level = Level.ERROR
    hint = "report this fault to the author of the kind"
    once_per = ("worker",)
    compared = ("error",)
    error: str


@dataclass(frozen=True)
class StepSaved(DrainEvent):
    """The journal holds this state of a drain; its action follows."""

    name = "drain.saved"
    level = Level.DEBUG
    state: State


@dataclass(frozen=True)
class StepActed(DrainEvent):
    """An action of a drain was done, with this outcome."""

    name = "drain.acted"
    level = Level.DEBUG
    state: State
    action: Action
    outcome: Outcome


@dataclass(frozen=True)
class StepEnded(DrainEvent):
    """One step of a drain ended; `touched`: something may have been done to the worker."""

    name = "drain.step"
    level = Level.DEBUG
    state: State
    touched: bool
