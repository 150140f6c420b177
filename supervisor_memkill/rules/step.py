"""What one step of a drain goes by, and what comes of it.

Pure values, and the questions about them that more than one state asks.
"""

from __future__ import annotations

import dataclasses
import enum
from fnmatch import fnmatchcase

from supervisor_memkill.coordination.contract import Answer
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Action, Drain, State, move
from supervisor_memkill.rules.evidence import EvidenceSeen
from supervisor_memkill.workers.contract import Reading, Traits


class OnTimeout(enum.Enum):
    """What happens when `drain_timeout` is over."""

    STOP = "stop"
    """The worker is stopped; its own graceful stop decides what happens to its running jobs."""
    WAIT = "wait"
    RESUME = "resume"
    """The worker takes jobs again, if its kind can undo the quiet."""


@dataclass(frozen=True)
class Plan:
    """The settings for one drain."""

    traits: Traits
    hard_limit_bytes: int | None
    on_timeout: OnTimeout
    settle_seconds: float
    min_uptime_seconds: float = 0.0
    protect_jobs: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    """The settings by which a stop with running jobs would lose these jobs, one sentence each."""
    is_machine_short: bool = False
    """The machine has hardly any memory left: a drain for the machine waits for no running job."""
    before_stop_seconds: float | None = None
    """The time limit of the command that runs before the stop; None: there is no such command."""

    @property
    def at_timeout(self) -> OnTimeout:
        """What is done when drain_timeout is over. A stop that would lose the running jobs waits for them."""
        if self.on_timeout is OnTimeout.RESUME and self.traits.can_resume:
            return OnTimeout.RESUME
        # The kind was changed during the drain: no reading of one that drains by stopping ever shows it idle.
        waits = self.on_timeout is OnTimeout.WAIT and self.traits.quiets
        return OnTimeout.WAIT if waits or self.losses else OnTimeout.STOP

    @property
    def holds_stop(self) -> bool:
        """Only the settings that would lose jobs keep the drain from its stop."""
        return self.at_timeout is OnTimeout.WAIT and self.on_timeout is not OnTimeout.WAIT


@dataclass(frozen=True)
class Seen:
    """The observation for one step. Each value except `process` may be unknown."""

    process: ProcessInfo | None
    """None: the worker is not in supervisord's configuration any more."""
    memory_bytes: int | None = None
    memory_least_bytes: int | None = None
    """The least that the memory can be; None: `memory_bytes` is exact, or unknown as well."""
    reading: Reading | None = None
    survivors: tuple[int, ...] = ()
    """The pids in the record's `tree` that are still alive."""
    answer: Answer | None = None
    """The answer of coordination for this step; None: it was not asked, or it did not answer."""
    asked: bool = False
    """Coordination was asked in this step."""
    looked_at: float = 0.0
    """When the observation began, on the boot clock."""
    is_kill_logged: bool = False
    """supervisord's log says that it sent SIGKILL to the recorded process; False also if that is unknown."""
    evidence: EvidenceSeen | None = None
    """The command `before_stop` of this drain, seen before `reading`; None: this listener does not run it."""
    is_suspended: bool = False
    """A signal such as STOP suspended the process; False also if that is unknown or of no interest."""


@dataclass(frozen=True)
class Step:
    """The new record, and what to do."""

    drain: Drain
    action: Action | None = None
    cause: StepCause | None = None
    """Why the state changed or the drain ended; None: the state alone explains it."""
    wants_answer: bool = False
    """Ask coordination, then decide again: the action would take a worker out of service."""
    holds_stop: bool = False
    """`drain_timeout` is over, and the drain waits on: a stop would lose the running jobs."""


# --- about an observation ------------------------------------------------------------------------


def process_of(seen: Seen) -> ProcessInfo:
    """The observed process, in a step that only a worker with one comes to."""
    assert seen.process is not None, "decide() ends the drain of a worker without one"
    return seen.process


def is_drainable(reading: Reading | None) -> bool:
    """Nothing that the kind knows of the worker speaks against its quiet or its stop at this moment."""
    return reading is not None and reading.recognised is True and not reading.hold


def may_be_taken_out(seen: Seen, *, is_hard: bool) -> bool:
    """A worker that may still take jobs may be taken out of service now; `is_hard`: it waits for no slot.

    Its slot may be an old one, so that it alone shows nothing.
    """
    answer = seen.answer
    return answer is not None and answer.allows and (is_hard or answer.has_room)


def takes_jobs(seen: Seen, plan: Plan) -> bool:
    """The worker takes jobs, by a reading that can tell."""
    return plan.traits.confirms_quiet and seen.reading is not None and seen.reading.quiet is False


def is_over_hard_limit(seen: Seen, plan: Plan) -> bool:
    """The worker surely uses more: a stop that cuts jobs never follows from memory that is counted twice."""
    hard, memory = plan.hard_limit_bytes, seen.memory_bytes
    if seen.memory_least_bytes is not None:
        memory = seen.memory_least_bytes
    return hard is not None and memory is not None and memory > hard


def why_hard(drain: Drain, seen: Seen, plan: Plan) -> StepCause | None:
    """Why the stop waits for no running job; None: it waits."""
    if is_over_hard_limit(seen, plan):
        return StepCause.OVER_HARD_LIMIT
    return StepCause.MACHINE_IS_SHORT if plan.is_machine_short and drain.reason.is_for_machine else None


def is_protected(reading: Reading | None, protect_jobs: tuple[str, ...]) -> bool:
    """A job that `protect_jobs` names is running, or the running jobs are unknown."""
    if not protect_jobs:
        return False
    if reading is None or reading.jobs is None:
        return True
    return any(fnmatchcase(job, pattern) for job in reading.jobs for pattern in protect_jobs)


# --- about the record -----------------------------------------------------------------------------


def may_be_quiet_by_us(drain: Drain) -> bool:
    """The listener may have made it quiet: in this drain, or in one that a damaged journal lost."""
    return drain.quiet_attempts > 0 or drain.reason is Reason.ADOPTED


def with_full_timeout(drain: Drain, now: float) -> Drain:
    """The record with all of `drain_timeout` ahead: the wait for idle begins now."""
    return dataclasses.replace(drain, began_at=now, deadline=now + drain.deadline - drain.began_at)


def end(drain: Drain, now: float, cause: StepCause) -> Step:
    """End the drain without a restart by the listener."""
    return Step(move(drain, State.LET_GO, now), cause=cause)
