"""The record of one drain: its states, the transitions between them, and all that the journal keeps.

Pure. Times are seconds on the boot clock. A name with `epoch`, and `start`, is supervisord's time.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import ProcessId, ProcessInfo
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.evidence import Evidence


class State(enum.Enum):
    """The state of a drain."""

    ASKING = "asking"
    """The journal has its token. It may hold a slot or not. Nothing was done to the worker."""
    QUIETING = "quieting"
    """The quiet was sent, or was about to be sent. No reading confirms it yet."""
    DRAINING = "draining"
    """The worker takes no new job; running jobs go on."""
    RESUMING = "resuming"
    """`drain_timeout` is over: the quiet is being undone."""
    STOPPING = "stopping"
    """The listener's stop was sent, or was about to be sent."""
    STARTING = "starting"
    """The worker is stopped. The start was sent, or was about to be sent."""
    SETTLING = "settling"
    """A new process, not yet confirmed in service."""
    DONE = "done"
    """The new process is in service."""
    LET_GO = "let_go"
    """Over without a restart by the listener: nothing is left to do for the worker."""


S = State
TRANSITIONS: Mapping[State, frozenset[State]] = {
    S.ASKING: frozenset({S.QUIETING, S.DRAINING, S.STOPPING, S.LET_GO}),
    S.QUIETING: frozenset({S.DRAINING, S.RESUMING, S.STOPPING, S.STARTING, S.SETTLING, S.LET_GO}),
    S.DRAINING: frozenset({S.QUIETING, S.RESUMING, S.STOPPING, S.STARTING, S.SETTLING, S.LET_GO}),
    S.RESUMING: frozenset({S.STOPPING, S.STARTING, S.SETTLING, S.LET_GO}),
    S.STOPPING: frozenset({S.STARTING, S.SETTLING, S.LET_GO}),
    S.STARTING: frozenset({S.SETTLING, S.LET_GO}),
    S.SETTLING: frozenset({S.DRAINING, S.STOPPING, S.STARTING, S.DONE, S.LET_GO}),
    S.DONE: frozenset(),
    S.LET_GO: frozenset(),
}
OVER = frozenset({S.DONE, S.LET_GO})


class Action(enum.Enum):
    """What a drain does to its worker. After a crash it may be repeated, if the state allows."""

    QUIET = "quiet"
    RESUME = "resume"
    THAW = "thaw"
    """SIGCONT for a process that the quiet, or the command `before_stop`, suspended."""
    EVIDENCE = "evidence"
    """The pool's `before_stop`, for a worker that is quiet and idle. It is not repeated."""
    STOP = "stop"
    START = "start"


TAKES_OUT = frozenset({Action.QUIET, Action.STOP})
"""Actions that take a worker out of service."""
NEEDS_JOURNAL = TAKES_OUT | {Action.EVIDENCE}
"""The journal must have these actions first: no later listener may do them unaware, or a second time."""


class Outcome(enum.Enum):
    """The outcome of an action."""

    DONE = "done"
    REFUSED = "refused"
    """supervisord answered that the worker does not run."""
    NOT_SENT = "not_sent"
    """It certainly had no effect."""
    TOO_LATE = "too_late"
    """Not sent: the observation it is based on is too old."""
    UNCERTAIN = "uncertain"


STOP_MARGIN_SECONDS, MAX_STOP_MARGIN_SECONDS = 5.0, 60.0
"""supervisord's times are whole seconds, and it sends SIGKILL, and reaps, late by up to a turn of its loop. A
stop must be sent within the margin after the journal recorded it. If a slow disk or machine makes that
impossible, the margin doubles each time, up to the maximum."""


FAILED_STARTS = 2
"""More attempts mean that starts failed: a listener that died at the first one sends it a second time."""
COMES_BACK_SECONDS = 30.0
"""How long a start may take, and how long after settle a new process may need until it is in service. After
that the pool waits for it."""


class StopAnswer(enum.Enum):
    """supervisord's answer to the listener's stop."""

    NONE = "none"
    """Unknown: the stop was not sent yet, or its answer was lost."""
    ACCEPTED = "accepted"
    """The process ends because of the listener."""
    REFUSED = "refused"
    """The process was not running any more: somebody else ended it."""


@dataclass(frozen=True)
class Stop:
    """The listener's stop: when it was sent, and what supervisord answered."""

    wait_seconds: float = 10.0
    """supervisord's stopwaitsecs for this program."""
    attempts: int = 0
    asked_epoch: int = 0
    """supervisord's time when the first stop was about to be sent."""
    last_asked_epoch: int = 0
    """The same for the last stop: whichever arrived, the process ended because of the listener."""
    margin_seconds: float = STOP_MARGIN_SECONDS
    """How far outside these times supervisord's stop time may lie for a stop by the listener."""
    answer: StopAnswer = StopAnswer.NONE
    sent_at: float | None = None
    busy: int | None = None
    """The number of running jobs in the last reading before the stop; None: unknown."""
    jobs: tuple[str, ...] | None = None
    """Their class names; None: unknown."""
    was_kill: bool = False
    """It ended in SIGKILL, or by another signal while jobs were running: see stop_end.py."""
    cause: StepCause | None = None
    """Why the stop was sent; None: it was not sent, or an older version sent it."""
    taken_up_epoch: int = 0
    """supervisord's time when the listener began that took this stop up without an answer; 0: none did.

    A supervisord that hung carries the stop out at the time at which it starts that listener.
    """
    accepted_at: float | None = None
    """When supervisord's answer came that accepted the stop, while it is not known which process it reached.

    None: no answer came, or the process is known, or an older version got the answer.
    """


@dataclass(frozen=True)
class Drain:
    """The record of one drain: all that must survive the listener."""

    worker: str
    """``group:name``."""
    pool: str
    token: str
    reason: Reason
    """Why it began."""
    pid: int
    """The process that is drained; from SETTLING on, the new process."""
    start: int
    """When that process started: epoch seconds, by supervisord."""
    state: State
    began_at: float
    since: float
    """When `state` was entered."""
    deadline: float
    """When `drain_timeout` is over."""
    created: float | None = None
    """When the drained process began, by the system and not by supervisord; None: unknown."""
    memory_before_bytes: int | None = None
    limit_bytes: int = 0
    note: Mapping[str, Any] = field(default_factory=dict)
    """Values that the kind keeps for itself."""
    quiet_attempts: int = 0
    quiet_sent_at: float | None = None
    quiet_acknowledged: bool = False
    is_quiet: bool = False
    """The worker takes no new job, as far as the listener can know: a stop takes no capacity away."""
    evidence: Evidence | None = None
    """The command `before_stop`; None: it was not run."""
    stop: Stop = Stop()
    tree: tuple[ProcessId, ...] = ()
    """The processes that must be gone before the start; read immediately before the stop."""
    stopped_seen_at: float | None = None
    stopped_start: int | None = 0
    """supervisord's start time while the process was STOPPED. A later one shows that it was started since.

    None: the process had ended by itself. If it is STOPPED later, somebody stopped it after a start.
    """
    stopped_stop: int | None = None
    """supervisord's stop time then: after the clock was set back, another start may have the same second.

    None: not known. A journal of an earlier version does not have it.
    """
    start_attempts: int = 0
    next_start_at: float = 0.0
    quiet_seconds: float | None = None
    """How long the worker took no new jobs before the stop; None before the stop, or without a quiet."""
    stopped_seconds: float | None = None
    """How long no process ran; None before the new process runs."""
    running_since: float | None = None
    """Since when the new process has been RUNNING; in STOPPING, it is this process that is stopped."""
    memory_after_bytes: int | None = None
    """Memory of the new process after `settle`, even if its kind did not see it in service yet."""

    def is_process(self, process: ProcessInfo) -> bool:
        """This is still the recorded process."""
        return process.pid == self.pid and process.start == self.start

    @property
    def is_out(self) -> bool:
        """The worker is certainly out of service because of this drain: only its end brings the worker back.

        In DRAINING without a confirmation this is False: the quiet may never have been sent.
        """
        if self.state is State.STOPPING:
            return self.is_quiet or self.stop.answer is StopAnswer.ACCEPTED
        return self.is_quiet or self.state not in (State.ASKING, State.QUIETING, State.DRAINING)

    def why_not_back(self, settle_seconds: float, now: float) -> str:
        """Why the worker does not come back into service, for an operator; empty: it may come back yet."""
        if self.state not in (State.STARTING, State.SETTLING) and not self.stops_new_process:
            return ""
        if self.start_attempts > FAILED_STARTS:
            return "its start failed, or its new process ended by itself or was stopped"
        allowed = COMES_BACK_SECONDS + (settle_seconds if self.state is State.SETTLING else 0.0)
        if now - self.since <= allowed:
            return ""
        if self.state is State.STARTING:
            return "it was not seen running"
        return "its new process is not in service"

    @property
    def stops_new_process(self) -> bool:
        """The process that is stopped is one that this drain itself started."""
        return self.state is State.STOPPING and self.running_since is not None

    @property
    def touched(self) -> bool:
        """Something may have been done to the worker because of this drain."""
        return self.quiet_attempts > 0 or self.stop.attempts > 0 or self.is_quiet


class IllegalTransitionError(AssertionError):
    """The code tried a transition that the table does not list."""


def move(drain: Drain, state: State, now: float, **changes: Any) -> Drain:
    """The record in another state. Raises IllegalTransitionError for a transition that is not listed."""
    if state not in TRANSITIONS[drain.state]:
        raise IllegalTransitionError(f"{drain.worker}: {drain.state.value} -> {state.value}")
    return dataclasses.replace(drain, state=state, since=now, **changes)


def acknowledge(drain: Drain, action: Action, outcome: Outcome, now: float, *, before: Drain) -> Drain:
    """The record with the outcome of the action; `before` is the record without the action."""
    if action is Action.QUIET:
        return _acknowledge_quiet(drain, outcome, now)
    if action is Action.RESUME and outcome is Outcome.DONE:
        return move(drain, State.LET_GO, now)
    if action is Action.STOP:
        return _acknowledge_stop(drain, outcome, now, before)
    if action is Action.EVIDENCE and outcome is not Outcome.DONE:
        return dataclasses.replace(drain, evidence=before.evidence)
    return drain


def _acknowledge_quiet(drain: Drain, outcome: Outcome, now: float) -> Drain:
    if outcome is Outcome.DONE:
        return dataclasses.replace(drain, quiet_acknowledged=True, quiet_sent_at=now)
    if outcome is Outcome.UNCERTAIN:
        return drain
    attempts = drain.quiet_attempts - 1
    drain = dataclasses.replace(drain, quiet_attempts=attempts)
    return drain if attempts else move(drain, State.LET_GO, now)


def _acknowledge_stop(drain: Drain, outcome: Outcome, now: float, before: Drain) -> Drain:
    if outcome is Outcome.DONE:
        return change_stop(drain, answer=StopAnswer.ACCEPTED, accepted_at=now)
    if outcome is Outcome.NOT_SENT:
        return _without_attempt(drain, before, before.stop.margin_seconds)
    if outcome is Outcome.TOO_LATE:
        margin = min(before.stop.margin_seconds * 2, MAX_STOP_MARGIN_SECONDS)
        return _without_attempt(drain, before, margin)
    if outcome is Outcome.REFUSED and drain.stop.attempts == 1:
        # Only the first refusal shows it: a later stop may be refused because an earlier one worked.
        return change_stop(drain, answer=StopAnswer.REFUSED)
    return drain


def _without_attempt(drain: Drain, before: Drain, margin_seconds: float) -> Drain:
    """The record without the last attempt, which was certainly not sent. The next one has the same cause."""
    earlier = before.stop if before.state is State.STOPPING else without_stop(before).stop
    stop = dataclasses.replace(
        earlier, margin_seconds=margin_seconds, sent_at=drain.stop.sent_at, cause=drain.stop.cause
    )
    return dataclasses.replace(drain, stop=stop)


def without_stop(drain: Drain) -> Drain:
    """The record in which no stop was sent to its present process."""
    return change_stop(drain, attempts=0, answer=StopAnswer.NONE, accepted_at=None, taken_up_epoch=0)


def change_stop(drain: Drain, **changes: Any) -> Drain:
    """The record with these fields of its stop changed."""
    return dataclasses.replace(drain, stop=dataclasses.replace(drain.stop, **changes))
