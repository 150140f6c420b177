"""The record of one drain: its states, what may follow what, and what must survive the listener.

Pure. Times are seconds on the boot clock, except where supervisord's epoch is named.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from supervisor_memkill.processes import ProcessId, ProcessInfo
from supervisor_memkill.rules.causes import Reason


class State(enum.Enum):
    """Where a drain stands."""

    ASKING = "asking"
    """Its token is journalled; the slot may be ours or not; nothing was done to the worker."""
    QUIETING = "quieting"
    """The quiet was sent, or was about to be; no reading confirms it yet."""
    DRAINING = "draining"
    """Takes no new job; those in hand run on."""
    RESUMING = "resuming"
    """Given up: the quiet is being undone."""
    STOPPING = "stopping"
    """The stop is ours: it was sent, or was about to be."""
    STARTING = "starting"
    """Stopped because of us: the start was sent, or was about to be."""
    SETTLING = "settling"
    """A fresh process, not yet proven in service."""
    DONE = "done"
    """In service again."""
    LET_GO = "let_go"
    """Over without a restart of ours: nothing is owed to the worker."""


S = State
TRANSITIONS: Mapping[State, frozenset[State]] = {
    S.ASKING: frozenset({S.QUIETING, S.DRAINING, S.STOPPING, S.LET_GO}),
    S.QUIETING: frozenset({S.DRAINING, S.RESUMING, S.STOPPING, S.STARTING, S.SETTLING, S.LET_GO}),
    S.DRAINING: frozenset({S.QUIETING, S.RESUMING, S.STOPPING, S.STARTING, S.SETTLING, S.LET_GO}),
    S.RESUMING: frozenset({S.STOPPING, S.STARTING, S.SETTLING, S.LET_GO}),
    S.STOPPING: frozenset({S.STARTING, S.SETTLING, S.LET_GO}),
    S.STARTING: frozenset({S.SETTLING, S.LET_GO}),
    S.SETTLING: frozenset({S.DRAINING, S.STARTING, S.DONE, S.LET_GO}),
    S.DONE: frozenset(),
    S.LET_GO: frozenset(),
}
OVER = frozenset({S.DONE, S.LET_GO})


class Action(enum.Enum):
    """What is done to the worker. Each may be repeated after a crash, where its state allows."""

    QUIET = "quiet"
    RESUME = "resume"
    THAW = "thaw"
    """SIGCONT for a process that our quiet suspended."""
    STOP = "stop"
    START = "start"


TAKES_OUT = frozenset({Action.QUIET, Action.STOP})
"""Actions that need the journal to say so first; the others give capacity back."""


class Outcome(enum.Enum):
    """What came of an action."""

    DONE = "done"
    REFUSED = "refused"
    """Answered with no: the worker's state does not allow it."""
    NOT_SENT = "not_sent"
    """Certainly without effect."""
    TOO_LATE = "too_late"
    """Not sent: what it rests on was seen too long ago."""
    UNCERTAIN = "uncertain"


STOP_MARGIN_SECONDS, MAX_STOP_MARGIN_SECONDS = 5.0, 60.0
"""Both times are whole seconds, and supervisord sends its SIGKILL, and reaps, up to a turn late. A stop must
be sent within the margin after the journal recorded it. Where a slow disk or machine makes that impossible,
the margin is doubled each time, up to the maximum."""


class StopAnswer(enum.Enum):
    """What supervisord said to our stop."""

    NONE = "none"
    """Unknown: not yet sent, or the answer was lost."""
    ACCEPTED = "accepted"
    """The process ends because of us."""
    REFUSED = "refused"
    """It was not running any more: its end is not ours."""


@dataclass(frozen=True)
class Stop:
    """Our stop: what was asked of supervisord, when, and what it answered."""

    wait_seconds: float = 10.0
    """supervisord's stopwaitsecs for this program."""
    attempts: int = 0
    asked_epoch: int = 0
    """supervisord's time when the first stop was about to be sent."""
    last_asked_epoch: int = 0
    """The same for the last stop: whichever arrived, the process ended because of us."""
    margin_seconds: float = STOP_MARGIN_SECONDS
    """How far supervisord's stop time may lie outside those and still be ours."""
    answer: StopAnswer = StopAnswer.NONE
    sent_at: float | None = None


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
    """The process that is drained; from SETTLING on, the fresh one."""
    start: int
    """Its start, epoch seconds by supervisord."""
    state: State
    began_at: float
    since: float
    """When `state` was entered."""
    deadline: float
    """When the wait for idle times out."""
    memory_before_bytes: int | None = None
    limit_bytes: int = 0
    note: Mapping[str, Any] = field(default_factory=dict)
    """The kind's own."""
    quiet_attempts: int = 0
    quiet_sent_at: float | None = None
    quiet_acknowledged: bool = False
    is_quiet: bool = False
    """Out of service already, as far as can be known: stopping it takes nothing away."""
    stop: Stop = Stop()
    tree: tuple[ProcessId, ...] = ()
    """The processes that must be gone before the start; whoever acts reads it just before the stop."""
    stopped_seen_at: float | None = None
    stopped_start: int = 0
    """supervisord's start time while the process was stopped: another one means a start since."""
    start_attempts: int = 0
    next_start_at: float = 0.0
    quiet_seconds: float | None = None
    """How long it took no new jobs before the stop; None until then, and without a quiet."""
    stopped_seconds: float | None = None
    """How long no process ran; None until a fresh one did."""
    running_since: float | None = None
    """Since when the fresh process has been RUNNING."""
    memory_after_bytes: int | None = None
    """What the fresh process needed once it had settled, seen in service by its kind or not."""

    def is_process(self, process: ProcessInfo) -> bool:
        """The process is still the recorded one."""
        return process.pid == self.pid and process.start == self.start

    @property
    def is_out(self) -> bool:
        """Out of service for certain, because of this drain: only finishing it brings the worker back.

        A DRAINING that nothing confirmed is not: its quiet may never have been sent.
        """
        if self.state is State.STOPPING:
            return self.is_quiet or self.stop.answer is StopAnswer.ACCEPTED
        return self.is_quiet or self.state not in (State.ASKING, State.QUIETING, State.DRAINING)

    @property
    def touched(self) -> bool:
        """Something may have been done to the worker because of this drain."""
        return self.quiet_attempts > 0 or self.stop.attempts > 0 or self.is_quiet


class IllegalTransitionError(AssertionError):
    """The code tried a pair of states that the table does not list."""


def move(drain: Drain, state: State, now: float, **changes: Any) -> Drain:
    """The record in another state. Raises IllegalTransitionError for a pair that is not listed."""
    if state not in TRANSITIONS[drain.state]:
        raise IllegalTransitionError(f"{drain.worker}: {drain.state.value} -> {state.value}")
    return dataclasses.replace(drain, state=state, since=now, **changes)


def acknowledge(drain: Drain, action: Action, outcome: Outcome, now: float, *, before: Drain) -> Drain:
    """The record with what came of the action; `before` is the one that said nothing of it yet."""
    if action is Action.QUIET:
        return _acknowledge_quiet(drain, outcome, now)
    if action is Action.RESUME and outcome is Outcome.DONE:
        return move(drain, State.LET_GO, now)
    if action is Action.STOP:
        return _acknowledge_stop(drain, outcome, before)
    return drain


def _acknowledge_quiet(drain: Drain, outcome: Outcome, now: float) -> Drain:
    if outcome is Outcome.DONE:
        return dataclasses.replace(drain, quiet_acknowledged=True, quiet_sent_at=now)
    if outcome is Outcome.UNCERTAIN:
        return drain
    attempts = drain.quiet_attempts - 1
    drain = dataclasses.replace(drain, quiet_attempts=attempts)
    return drain if attempts else move(drain, State.LET_GO, now)


def _acknowledge_stop(drain: Drain, outcome: Outcome, before: Drain) -> Drain:
    if outcome is Outcome.DONE:
        return change_stop(drain, answer=StopAnswer.ACCEPTED)
    if outcome is Outcome.NOT_SENT:
        return _without_attempt(drain, before, before.stop.margin_seconds)
    if outcome is Outcome.TOO_LATE:
        margin = min(before.stop.margin_seconds * 2, MAX_STOP_MARGIN_SECONDS)
        return _without_attempt(drain, before, margin)
    if outcome is Outcome.REFUSED and drain.stop.attempts == 1:
        # Only the first attempt tells: a later one may be refused because an earlier one worked.
        return change_stop(drain, answer=StopAnswer.REFUSED)
    return drain


def _without_attempt(drain: Drain, before: Drain, margin_seconds: float) -> Drain:
    """The last attempt was certainly not sent: the record as if it had not been made."""
    stop = dataclasses.replace(before.stop, margin_seconds=margin_seconds, sent_at=drain.stop.sent_at)
    return dataclasses.replace(drain, stop=stop)


def change_stop(drain: Drain, **changes: Any) -> Drain:
    """The record with these fields of its stop changed."""
    return dataclasses.replace(drain, stop=dataclasses.replace(drain.stop, **changes))
