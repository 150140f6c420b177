"""The next step of one drain.

Pure: `decide` takes the record, the observation and the time. It returns the new record and at most one
action. The caller saves the record before the action, and passes the outcome to `drain.acknowledge`.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from fnmatch import fnmatchcase

from supervisor_memkill.coordination.contract import Answer
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Action, Drain, State, StopAnswer, change_stop, move
from supervisor_memkill.rules.evidence import (
    Evidence,
    EvidenceSeen,
    EvidenceState,
    ended,
    next_evidence,
)
from supervisor_memkill.rules.stop_end import was_kill, with_running_jobs
from supervisor_memkill.workers.contract import Reading, Traits

START_DELAY_SECONDS, MAX_START_DELAY_SECONDS = 1.0, 60.0
"""A failed start is tried again after this delay, which doubles each time up to the maximum."""


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
    """A signal such as STOP suspended the process, and a command of this drain may have sent it."""


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


def decide(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """The next step of one drain."""
    evidence = next_evidence(drain.evidence, seen.evidence, plan.before_stop_seconds, now)
    drain = dataclasses.replace(drain, evidence=evidence)
    if seen.process is None:
        step = _end(drain, now, StepCause.GONE)
    else:
        step = _DECIDERS[drain.state](drain, seen, plan, now)
    return dataclasses.replace(step, drain=_without_old_evidence(step.drain))


# --- before the stop ---------------------------------------------------------------------------


def _asking(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    process = _process(seen)
    if not seen.asked:
        return Step(drain, wants_answer=True)
    if seen.answer is None:
        return Step(drain)
    if not seen.answer.granted:
        return _end(drain, now, StepCause.REFUSED)
    if not drain.is_process(process) or process.state is not ProcessState.RUNNING:
        return _end(drain, now, StepCause.PROCESS_CHANGED)
    drain = _with_full_timeout(drain, now)  # The wait for the slot may have been long.
    if drain.is_quiet:
        return Step(move(drain, State.DRAINING, now), cause=StepCause.ALREADY_QUIET)
    if not _is_drainable(seen.reading):
        return _end(drain, now, StepCause.NOT_DRAINABLE_NOW)
    if not seen.answer.peers_suffice:
        return _end(drain, now, StepCause.TOO_FEW_PEERS)
    hard = _why_hard(drain, seen, plan)
    if not hard and is_protected(seen.reading, plan.protect_jobs):
        return _end(drain, now, StepCause.PROTECTED_JOB)
    if drain.reason.is_own_limit and (seen.memory_bytes is None or seen.memory_bytes <= drain.limit_bytes):
        return _end(drain, now, StepCause.NOT_OVER_LIMIT)
    if drain.reason.is_hard and not hard:
        # The drain took its slot without waiting; only its reason allows that.
        recovered = drain.reason is Reason.MIN_FREE_NOW
        return _end(drain, now, StepCause.MACHINE_RECOVERED if recovered else StepCause.NOT_OVER_HARD_LIMIT)
    if hard or not plan.traits.quiets:
        return _stop(drain, seen, now, hard or StepCause.DRAINS_BY_STOPPING)
    return _quiet(drain, now)


def _is_drainable(reading: Reading | None) -> bool:
    """Nothing that the kind knows of the worker speaks against its quiet or its stop at this moment."""
    return reading is not None and reading.recognised is True and not reading.hold


def _quieting(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    step = _changed_by_others(drain, seen, now)
    if step is not None:
        return step
    reading = seen.reading
    if _is_left_suspended(drain, seen) or (reading is not None and reading.frozen):
        return Step(drain, Action.THAW)
    if not plan.traits.confirms_quiet:
        return Step(
            move(drain, State.DRAINING, now, is_quiet=drain.quiet_acknowledged),
            cause=StepCause.CANNOT_CONFIRM,
        )
    if reading is not None and reading.quiet is True:
        return Step(move(drain, State.DRAINING, now, is_quiet=True), cause=StepCause.CONFIRMED)
    is_lost = _is_quiet_lost(drain, reading, plan, now)
    if is_lost and seen.answer is not None and not seen.answer.allows:
        # The worker is in service; the drain would only keep the slot from another worker.
        return _end(drain, now, StepCause.QUIET_LOST)
    hard = _why_hard(drain, seen, plan)
    if hard is not None:
        return _stop_if_peers_suffice(drain, seen, now, hard)
    is_over = _is_timed_out(drain, reading, plan, now)
    if is_over and plan.at_timeout is not OnTimeout.WAIT:
        return _on_timeout(drain, seen, plan, now)
    step = _quiet_again(drain, seen, now) if is_lost else Step(drain)
    return dataclasses.replace(step, holds_stop=is_over and plan.holds_stop)


def _draining(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    step = _changed_by_others(drain, seen, now)
    if step is not None:
        return step
    reading = seen.reading
    if _is_left_suspended(drain, seen):
        return Step(drain, Action.THAW)
    if _takes_jobs(seen, plan):
        # The worker is in service again: from now on it is stopped only while enough peers are in service.
        if drain.quiet_attempts == 0:
            # The worker was quiet before the drain, so that the slot was taken without waiting. The slot
            # must be given back.
            return _end(drain, now, StepCause.BACK_AT_WORK)
        return Step(
            move(drain, State.QUIETING, now, is_quiet=False, quiet_sent_at=now), cause=StepCause.TAKES_JOBS
        )
    hard = _why_hard(drain, seen, plan)
    if hard is not None:
        return _stop_if_peers_suffice(drain, seen, now, hard)
    if drain.evidence is not None and drain.evidence.runs and not plan.is_machine_short:
        return Step(drain)  # The command may pause the process, so that no reading shows it idle.
    if reading is not None and reading.idle:
        if _wants_evidence(drain, plan):
            began = Evidence(EvidenceState.RUNS, now)
            return Step(dataclasses.replace(drain, evidence=began), Action.EVIDENCE)
        return _stop_idle(drain, seen, plan, now)
    if _is_timed_out(drain, reading, plan, now):
        return _on_timeout(drain, seen, plan, now)
    return Step(drain)


def _stop_idle(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """Stop a worker that has no running job; one that may not be quiet waits for others for drain_timeout."""
    if drain.is_quiet or now - drain.since < drain.deadline - drain.began_at:
        return _stop_if_peers_suffice(drain, seen, now, StepCause.IDLE)
    if plan.at_timeout is OnTimeout.RESUME:
        return _on_timeout(drain, seen, plan, now)
    # Nothing will ever show whether the quiet arrived, and the wait for others might never end.
    return _stop(dataclasses.replace(drain, is_quiet=True), seen, now, StepCause.IDLE)


def _wants_evidence(drain: Drain, plan: Plan) -> bool:
    """The command is to be run for this idle worker: once, and not while a moment may be too long."""
    if plan.before_stop_seconds is None or plan.is_machine_short:
        return False
    return drain.evidence is None and drain.is_quiet


def _is_left_suspended(drain: Drain, seen: Seen) -> bool:
    """The drain's own command is over, and the process is suspended: it would never show that it is idle."""
    return seen.is_suspended and drain.evidence is not None and not drain.evidence.runs


def _without_old_evidence(drain: Drain) -> Drain:
    """The record without a command that the drain does not wait for any more, in this state."""
    waits = drain.state in (State.QUIETING, State.DRAINING)
    if drain.evidence is None or not drain.evidence.runs or waits:
        return drain
    return dataclasses.replace(drain, evidence=ended(drain.evidence, EvidenceState.GIVEN_UP))


def _resuming(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    step = _changed_by_others(drain, seen, now)
    if step is not None:
        return step
    reading, hard = seen.reading, _why_hard(drain, seen, plan)
    if hard is not None:
        step = _stop_if_peers_suffice(drain, seen, now, hard)
        if step.wants_answer or step.action is not None:
            return step
    if not _may_be_quiet_by_us(drain):
        return _end(drain, now, StepCause.ALREADY_QUIET)  # Whoever quieted it may put it back to work.
    if plan.traits.can_resume and now - drain.since < drain.deadline - drain.began_at:
        return Step(drain, Action.RESUME)
    if reading is not None and reading.quiet is False:
        return _end(drain, now, StepCause.RESUMED)
    if reading is not None and reading.quiet is True:
        drain = dataclasses.replace(drain, is_quiet=True)
    loses_jobs = bool(plan.losses) and (reading is None or not reading.idle)
    if loses_jobs or is_protected(reading, plan.protect_jobs):
        return Step(drain, Action.RESUME if plan.traits.can_resume else None, holds_stop=loses_jobs)
    return _stop_if_peers_suffice(drain, seen, now, StepCause.CANNOT_RESUME)


def _changed_by_others(drain: Drain, seen: Seen, now: float) -> Step | None:
    """The step for a process that others ended, stopped or replaced; None: the recorded process runs."""
    process = _process(seen)
    if process.state is ProcessState.STOPPED:
        return _end(drain, now, StepCause.STOPPED_BY_OTHERS)
    if process.state in (ProcessState.EXITED, ProcessState.FATAL):
        if not _may_be_quiet_by_us(drain):
            return _end(drain, now, StepCause.ENDED_UNTOUCHED)
        return _start(drain, process, now, StepCause.ENDED_AFTER_QUIET)
    if process.pid and not drain.is_process(process):
        return _settle(drain, process, now, StepCause.RESTARTED_BY_OTHERS)
    if process.state is not ProcessState.RUNNING:
        return Step(drain)
    return None


def _may_be_quiet_by_us(drain: Drain) -> bool:
    """The listener may have made it quiet: in this drain, or in one that a damaged journal lost."""
    return drain.quiet_attempts > 0 or drain.reason is Reason.ADOPTED


def _takes_jobs(seen: Seen, plan: Plan) -> bool:
    """The worker takes jobs, by a reading that can tell."""
    return plan.traits.confirms_quiet and seen.reading is not None and seen.reading.quiet is False


def _quiet(drain: Drain, now: float) -> Step:
    drain = move(drain, State.QUIETING, now) if drain.state is not State.QUIETING else drain
    attempts = drain.quiet_attempts + 1
    drain = dataclasses.replace(drain, quiet_attempts=attempts, quiet_sent_at=now, quiet_acknowledged=False)
    return Step(drain, Action.QUIET)


def _is_quiet_lost(drain: Drain, reading: Reading | None, plan: Plan, now: float) -> bool:
    """The quiet was sent long enough ago, and the worker still takes jobs: it may be sent again."""
    delay = plan.traits.repeat_quiet_after_seconds
    if delay is None or reading is None or reading.quiet is not False or not reading.recognised:
        return False
    return now - (drain.quiet_sent_at or 0.0) >= delay


def _quiet_again(drain: Drain, seen: Seen, now: float) -> Step:
    if not seen.asked:
        return Step(drain, wants_answer=True)
    return _quiet(drain, now) if seen.answer is not None else Step(drain)


def _is_over_hard_limit(seen: Seen, plan: Plan) -> bool:
    """The worker surely uses more: a stop that cuts jobs never follows from memory that is counted twice."""
    hard, memory = plan.hard_limit_bytes, seen.memory_bytes
    if seen.memory_least_bytes is not None:
        memory = seen.memory_least_bytes
    return hard is not None and memory is not None and memory > hard


def _why_hard(drain: Drain, seen: Seen, plan: Plan) -> StepCause | None:
    """Why the stop waits for no running job; None: it waits."""
    if _is_over_hard_limit(seen, plan):
        return StepCause.OVER_HARD_LIMIT
    return StepCause.MACHINE_IS_SHORT if plan.is_machine_short and drain.reason.is_for_machine else None


def is_protected(reading: Reading | None, protect_jobs: tuple[str, ...]) -> bool:
    """A job that `protect_jobs` names is running, or the running jobs are unknown."""
    if not protect_jobs:
        return False
    if reading is None or reading.jobs is None:
        return True
    return any(fnmatchcase(job, pattern) for job in reading.jobs for pattern in protect_jobs)


def _with_full_timeout(drain: Drain, now: float) -> Drain:
    """The record with all of `drain_timeout` ahead: the wait for idle begins now."""
    return dataclasses.replace(drain, began_at=now, deadline=now + drain.deadline - drain.began_at)


def _is_timed_out(drain: Drain, reading: Reading | None, plan: Plan, now: float) -> bool:
    return now >= drain.deadline and not is_protected(reading, plan.protect_jobs)


def _on_timeout(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    if plan.at_timeout is OnTimeout.WAIT:
        return Step(drain, holds_stop=plan.holds_stop)
    if plan.at_timeout is OnTimeout.RESUME:
        resumes = _may_be_quiet_by_us(drain)  # If so, it may take jobs from now on.
        resuming = move(drain, State.RESUMING, now, is_quiet=not resumes)
        return Step(resuming, Action.RESUME if resumes else None, cause=StepCause.DRAIN_TIMEOUT)
    if drain.state is State.DRAINING:
        # Nothing can confirm the quiet any more: the worker counts as quiet.
        return _stop(dataclasses.replace(drain, is_quiet=True), seen, now, StepCause.DRAIN_TIMEOUT)
    return _stop_if_peers_suffice(drain, seen, now, StepCause.DRAIN_TIMEOUT)


def _stop_if_peers_suffice(drain: Drain, seen: Seen, now: float, cause: StepCause) -> Step:
    """Stop the worker. One that may still take jobs is stopped only while enough others are in service."""
    if drain.is_quiet:
        return _stop(drain, seen, now, cause)
    if not seen.asked:
        return Step(drain, wants_answer=True)
    if seen.answer is None or not seen.answer.allows:
        return Step(drain)
    return _stop(drain, seen, now, cause)


# --- from the stop on ---------------------------------------------------------------------------


def _stop(drain: Drain, seen: Seen, now: float, cause: StepCause) -> Step:
    process = _process(seen)
    quiet_seconds = now - drain.quiet_sent_at if drain.quiet_sent_at is not None else None
    asked = dataclasses.replace(
        drain.stop,
        attempts=1,
        asked_epoch=process.now,
        last_asked_epoch=process.now,
        sent_at=now,
        cause=cause,
    )
    drain = move(
        drain,
        State.STOPPING,
        now,
        stop=with_running_jobs(asked, seen.reading),
        quiet_seconds=quiet_seconds,
    )
    return Step(drain, Action.STOP, cause)


def _stopping(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    process = _process(seen)
    if process.state is ProcessState.STOPPED:
        return _stopped(drain, seen, process, now)
    if process.state in (ProcessState.EXITED, ProcessState.FATAL):
        is_before_our_stop = drain.stop.answer is StopAnswer.REFUSED or not drain.stop.attempts
        if is_before_our_stop and not _may_be_quiet_by_us(drain):
            return _end(drain, now, StepCause.ENDED_BEFORE_STOP)
        return _start_when_gone(drain, seen, process, now, StepCause.ENDED_BY_ITSELF)
    if process.pid and not drain.is_process(process):
        if seen.is_kill_logged:  # Nobody saw it stopped; only the log knows how it ended.
            drain = change_stop(drain, was_kill=True)
        return _settle(drain, process, now, StepCause.RESTARTED_BY_OTHERS)
    if process.state is ProcessState.RUNNING and drain.stop.answer is not StopAnswer.ACCEPTED:
        return _stop_again(drain, seen, plan, now)
    return Step(drain)


def _stop_again(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """The process is RUNNING, so that no stop has reached it: after the first one it would be STOPPING."""
    process = _process(seen)
    if drain.is_quiet and _takes_jobs(seen, plan):
        keeps_jobs = plan.losses or is_protected(seen.reading, plan.protect_jobs)
        if drain.quiet_attempts == 0 or (keeps_jobs and not _is_over_hard_limit(seen, plan)):
            return _end(drain, now, StepCause.BACK_AT_WORK)
        drain = dataclasses.replace(drain, is_quiet=False)
    if not drain.is_quiet:
        if not seen.asked:
            return Step(drain, wants_answer=True)
        if seen.answer is None:
            return Step(drain)
        is_protected_now = not _why_hard(drain, seen, plan) and is_protected(seen.reading, plan.protect_jobs)
        if drain.quiet_attempts == 0:
            # Nothing was done to the worker: it is stopped only if its drain could begin now.
            if not seen.answer.allows:
                return _end(drain, now, StepCause.STOP_REFUSED)
            if not _is_drainable(seen.reading):
                return _end(drain, now, StepCause.NOT_DRAINABLE_NOW)
            if is_protected_now:
                return _end(drain, now, StepCause.PROTECTED_JOB)
        if not seen.answer.allows or is_protected_now:
            return Step(drain)
    drain = change_stop(
        drain,
        attempts=drain.stop.attempts + 1,
        answer=StopAnswer.NONE,
        asked_epoch=drain.stop.asked_epoch if drain.stop.attempts else process.now,
        last_asked_epoch=process.now,
    )
    drain = dataclasses.replace(drain, stop=with_running_jobs(drain.stop, seen.reading))
    return Step(drain, Action.STOP)


def _stopped(drain: Drain, seen: Seen, process: ProcessInfo, now: float) -> Step:
    if not _is_stopped_by_us(drain, process):
        return _end(drain, now, StepCause.STOPPED_BY_OTHERS)
    if drain.stopped_seen_at is None:
        killed = was_kill(drain.stop, process, seen.survivors, now, is_logged=seen.is_kill_logged)
        drain = change_stop(drain, was_kill=killed)
    cause = StepCause.KILLED if drain.stop.was_kill else None
    return _start_when_gone(drain, seen, process, now, cause)


def _is_stopped_by_us(drain: Drain, process: ProcessInfo) -> bool:
    if process.start != drain.start:
        return False  # Somebody started the worker and stopped it again.
    if drain.stop.answer is not StopAnswer.NONE:
        return drain.stop.answer is StopAnswer.ACCEPTED
    if drain.stop.attempts < 1:
        return False
    earliest = drain.stop.asked_epoch - drain.stop.margin_seconds
    last = max(drain.stop.asked_epoch, drain.stop.last_asked_epoch)
    latest = last + drain.stop.wait_seconds + drain.stop.margin_seconds
    return earliest <= process.stop <= latest


def _start_when_gone(
    drain: Drain, seen: Seen, process: ProcessInfo, now: float, cause: StepCause | None
) -> Step:
    """Start when the old processes are gone, or when stopwaitsecs is over."""
    seen_at = now if drain.stopped_seen_at is None else drain.stopped_seen_at
    drain = dataclasses.replace(drain, stopped_seen_at=seen_at)
    if seen.survivors and now - seen_at < drain.stop.wait_seconds:
        return Step(drain)
    if seen.survivors:
        cause = StepCause.SURVIVORS
    return _start(drain, process, now, cause)


def _start(drain: Drain, process: ProcessInfo, now: float, cause: StepCause | None) -> Step:
    seen_at = now if drain.stopped_seen_at is None else drain.stopped_seen_at
    drain = move(drain, State.STARTING, now, stopped_start=process.start, stopped_seen_at=seen_at)
    return Step(_count_start(drain, now), Action.START, cause)


def _count_start(drain: Drain, now: float) -> Drain:
    delay = min(START_DELAY_SECONDS * 2.0**drain.start_attempts, MAX_START_DELAY_SECONDS)
    return dataclasses.replace(drain, start_attempts=drain.start_attempts + 1, next_start_at=now + delay)


def _starting(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    process = _process(seen)
    if process.state is ProcessState.STOPPED and process.start != drain.stopped_start:
        return _end(drain, now, StepCause.STARTED_AND_STOPPED_BY_OTHERS)
    if process.state in (ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FATAL):
        if now < drain.next_start_at:
            return Step(drain)
        return Step(_count_start(dataclasses.replace(drain, stopped_start=process.start), now), Action.START)
    if process.state in (ProcessState.STARTING, ProcessState.RUNNING):
        return _settle(drain, process, now, None)
    return Step(drain)


def _settle(drain: Drain, process: ProcessInfo, now: float, cause: StepCause | None) -> Step:
    stopped_at = drain.stop.sent_at if drain.stop.sent_at is not None else drain.stopped_seen_at
    drain = move(
        drain,
        State.SETTLING,
        now,
        pid=process.pid,
        start=process.start,
        stopped_seconds=now - stopped_at if stopped_at is not None else None,
        running_since=now if process.state is ProcessState.RUNNING else None,
        memory_after_bytes=None,
    )
    return Step(drain, cause=cause)


def _settling(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    process = _process(seen)
    if process.state is ProcessState.STOPPED:
        return _end(drain, now, StepCause.STOPPED_BY_OTHERS)
    if process.state in (ProcessState.EXITED, ProcessState.FATAL):
        return _start_after_delay(drain, process, now)
    if process.pid and not drain.is_process(process):
        drain = dataclasses.replace(
            drain, pid=process.pid, start=process.start, running_since=None, memory_after_bytes=None
        )
    if process.state is not ProcessState.RUNNING:
        return Step(dataclasses.replace(drain, running_since=None))
    reading = seen.reading
    if reading is not None and reading.frozen and drain.quiet_attempts:
        return Step(drain, Action.THAW)
    if reading is not None and reading.quiet is True and drain.quiet_attempts:
        return _drain_again(drain, plan, now)
    if drain.running_since is None:
        return Step(dataclasses.replace(drain, running_since=now))
    if now - drain.running_since < plan.settle_seconds:
        return Step(drain)
    if drain.memory_after_bytes is None:
        drain = dataclasses.replace(drain, memory_after_bytes=seen.memory_bytes)
    if reading is None or reading.in_service is not True:
        return Step(drain)
    if seen.survivors:
        return Step(drain)  # The memory of the old processes is not free yet.
    return Step(move(drain, State.DONE, now))


def _start_after_delay(drain: Drain, process: ProcessInfo, now: float) -> Step:
    """The new process ended by itself: the start failed, and is tried again after the delay."""
    drain = move(drain, State.STARTING, now, stopped_start=process.start, running_since=None)
    return Step(drain, cause=StepCause.NEW_PROCESS_ENDED)


def _drain_again(drain: Drain, plan: Plan, now: float) -> Step:
    """The new process is quiet because of this drain: only another restart puts it back in service."""
    drain = move(
        _with_full_timeout(drain, now),
        State.DRAINING,
        now,
        is_quiet=True,
        stop=dataclasses.replace(drain.stop, attempts=0, answer=StopAnswer.NONE),
        stopped_seen_at=None,
        start_attempts=0,
        running_since=None,
    )
    return Step(drain, cause=StepCause.NEW_PROCESS_IS_QUIET)


def _end(drain: Drain, now: float, cause: StepCause) -> Step:
    return Step(move(drain, State.LET_GO, now), cause=cause)


def _process(seen: Seen) -> ProcessInfo:
    assert seen.process is not None, "decide() ends the drain of a worker without one"
    return seen.process


_DECIDERS = {
    State.ASKING: _asking,
    State.QUIETING: _quieting,
    State.DRAINING: _draining,
    State.RESUMING: _resuming,
    State.STOPPING: _stopping,
    State.STARTING: _starting,
    State.SETTLING: _settling,
}
