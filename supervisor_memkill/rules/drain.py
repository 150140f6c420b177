"""The record of one drain: its states, what may follow what, and what must survive the listener.

Pure. Times are seconds on the boot clock, except where supervisord's epoch is named.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from supervisor_memkill.processes import ProcessId, ProcessInfo


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


STOP_MARGIN_SECONDS, STOP_MARGIN_MOST_SECONDS = 5.0, 60.0
"""Both times are whole seconds, and supervisord sends its SIGKILL, and reaps, up to a turn late. A stop must
be sent within the margin after the journal told of it; where that cannot be done, because the disk or the
machine is slow, the margin is doubled each time, up to the most."""


class StopAnswer(enum.Enum):
    """What supervisord said to our stop."""

    NONE = "none"
    """Unknown: not yet sent, or the answer was lost."""
    ACCEPTED = "accepted"
    """The process ends because of us."""
    REFUSED = "refused"
    """It was not running any more: its end is not ours."""


@dataclass(frozen=True)
class Drain:
    """The record of one drain: all that must survive the listener."""

    worker: str
    """``group:name``."""
    pool: str
    token: str
    reason: str
    """Why it began: ``max_rss``, ``hard_max_rss`` or ``adopted``."""
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
    stop_wait_seconds: float = 10.0
    """supervisord's stopwaitsecs for this program."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """The kind's own."""
    quiet_attempts: int = 0
    quiet_sent_at: float | None = None
    quiet_acknowledged: bool = False
    is_quiet: bool = False
    """Out of service already, as far as can be known: stopping it takes nothing away."""
    stop_attempts: int = 0
    stop_asked_epoch: int = 0
    """supervisord's time when the first stop was about to be sent."""
    stop_last_asked_epoch: int = 0
    """The same of the last one: whichever came through, the process ended because of us."""
    stop_margin_seconds: float = STOP_MARGIN_SECONDS
    """How far supervisord's stop time may lie outside those and still be ours."""
    stop_answer: StopAnswer = StopAnswer.NONE
    stop_sent_at: float | None = None
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
            return self.is_quiet or self.stop_answer is StopAnswer.ACCEPTED
        return self.is_quiet or self.state not in (State.ASKING, State.QUIETING, State.DRAINING)

    @property
    def touched(self) -> bool:
        """Something may have been done to the worker because of this drain."""
        return self.quiet_attempts > 0 or self.stop_attempts > 0 or self.is_quiet


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
        return dataclasses.replace(drain, stop_answer=StopAnswer.ACCEPTED)
    if outcome in (Outcome.NOT_SENT, Outcome.TOO_LATE):
        margin = before.stop_margin_seconds
        if outcome is Outcome.TOO_LATE:
            margin = min(margin * 2, STOP_MARGIN_MOST_SECONDS)
        return dataclasses.replace(
            drain,
            stop_margin_seconds=margin,
            stop_attempts=before.stop_attempts,
            stop_answer=before.stop_answer,
            stop_asked_epoch=before.stop_asked_epoch,
            stop_last_asked_epoch=before.stop_last_asked_epoch,
        )
    if outcome is Outcome.REFUSED and drain.stop_attempts == 1:
        # Only the first attempt tells: a later one may be refused because an earlier one worked.
        return dataclasses.replace(drain, stop_answer=StopAnswer.REFUSED)
    return drain


def to_json(drain: Drain) -> dict[str, Any]:
    """The record as JSON values."""
    values = dataclasses.asdict(drain)
    values["state"] = drain.state.value
    values["stop_answer"] = drain.stop_answer.value
    values["tree"] = [[one.pid, one.created] for one in drain.tree]
    return values


def from_json(values: Mapping[str, Any]) -> Drain:
    """The record again. Raises ValueError, TypeError, KeyError or OverflowError when it is none."""
    known = {one.name for one in dataclasses.fields(Drain)}
    kept = {name: value for name, value in values.items() if name in known}
    kept["state"] = State(values["state"])
    kept["stop_answer"] = StopAnswer(values["stop_answer"])
    kept["tree"] = tuple(ProcessId(count(pid), seconds(created)) for pid, created in values["tree"])
    for one in dataclasses.fields(Drain):
        if one.name in kept and str(one.type) in _READERS:
            kept[one.name] = _READERS[str(one.type)](kept[one.name])
    return Drain(**kept)


def seconds(value: Any) -> float:
    """A number of seconds out of JSON, which takes NaN and whatever else too. Raises ValueError."""
    if type(value) not in (int, float) or not -(2**63) < value < 2**63:
        raise ValueError(f"{value!r:.40} is no number of seconds")
    return float(value)


def text(value: Any) -> str:
    """A text out of JSON. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")
    return value


def count(value: Any) -> int:
    """A number of 0 or more out of JSON. Raises ValueError."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.40} is no number of 0 or more")
    return value


def flag(value: Any) -> bool:
    """A truth value out of JSON. Raises ValueError."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.40} is neither true nor false")
    return value


def _note(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.40} is no note")
    return value


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "str": text,
    "int": count,
    "int | None": _or_none(count),
    "float": seconds,
    "float | None": _or_none(seconds),
    "bool": flag,
    "Mapping[str, Any]": _note,
}
"""By the annotation of the field."""
