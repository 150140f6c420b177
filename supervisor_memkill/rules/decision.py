"""The next step of one drain.

Pure: `decide` takes the record, the observation and the time. It returns the new record and at most one
action. The caller saves the record before the action, and passes the outcome to `drain.acknowledge`. The
states from the stop on are in from_the_stop.py.
"""

from __future__ import annotations

import dataclasses

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Action, Drain, State, move
from supervisor_memkill.rules.evidence import Evidence, EvidenceState, ended, next_evidence
from supervisor_memkill.rules.from_the_stop import settle, settling, start, starting, stop, stopping
from supervisor_memkill.rules.step import (
    OnTimeout,
    Plan,
    Seen,
    Step,
    end,
    is_drainable,
    is_protected,
    may_be_quiet_by_us,
    may_be_taken_out,
    process_of,
    takes_jobs,
    why_hard,
    with_full_timeout,
)
from supervisor_memkill.workers.contract import Reading


def decide(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """The next step of one drain."""
    evidence = next_evidence(drain.evidence, seen.evidence, plan.before_stop_seconds, now)
    drain = dataclasses.replace(drain, evidence=evidence)
    if seen.process is None:
        step = end(drain, now, StepCause.GONE)
    else:
        step = _DECIDERS[drain.state](drain, seen, plan, now)
    return dataclasses.replace(step, drain=_without_old_evidence(step.drain))


def _asking(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    process = process_of(seen)
    if not seen.asked:
        return Step(drain, wants_answer=True)
    if seen.answer is None:
        return Step(drain)
    if not seen.answer.granted:
        return end(drain, now, StepCause.REFUSED)
    if not drain.is_process(process) or process.state is not ProcessState.RUNNING:
        return end(drain, now, StepCause.PROCESS_CHANGED)
    drain = with_full_timeout(drain, now)  # The wait for the slot may have been long.
    if drain.is_quiet:
        return Step(move(drain, State.DRAINING, now), cause=StepCause.ALREADY_QUIET)
    if not is_drainable(seen.reading):
        return end(drain, now, StepCause.NOT_DRAINABLE_NOW)
    if not seen.answer.peers_suffice:
        return end(drain, now, StepCause.TOO_FEW_PEERS)
    hard = why_hard(drain, seen, plan)
    if not hard and is_protected(seen.reading, plan.protect_jobs):
        return end(drain, now, StepCause.PROTECTED_JOB)
    if drain.reason.is_own_limit and (seen.memory_bytes is None or seen.memory_bytes <= drain.limit_bytes):
        return end(drain, now, StepCause.NOT_OVER_LIMIT)
    if drain.reason.is_hard and not hard:
        # The drain took its slot without waiting; only its reason allows that.
        recovered = drain.reason is Reason.MIN_FREE_NOW
        return end(drain, now, StepCause.MACHINE_RECOVERED if recovered else StepCause.NOT_OVER_HARD_LIMIT)
    if not may_be_taken_out(seen, is_hard=hard is not None):
        return end(drain, now, StepCause.REFUSED)
    if hard or not plan.traits.quiets:
        return stop(drain, seen, now, hard or StepCause.DRAINS_BY_STOPPING)
    return _quiet(drain, now)


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
    if is_lost and seen.answer is not None and not may_be_taken_out(seen, is_hard=False):
        # The worker is in service; the drain would only keep the slot from another worker.
        return end(drain, now, StepCause.QUIET_LOST)
    hard = why_hard(drain, seen, plan)
    if hard is not None:
        return _stop_if_allowed(drain, seen, now, hard, is_hard=True)
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
    if takes_jobs(seen, plan):
        # The worker is in service again: from now on it is stopped only while enough peers are in service.
        if drain.quiet_attempts == 0:
            # The worker was quiet before the drain, so that the slot was taken without waiting. The slot
            # must be given back.
            return end(drain, now, StepCause.BACK_AT_WORK)
        return Step(
            move(drain, State.QUIETING, now, is_quiet=False, quiet_sent_at=now), cause=StepCause.TAKES_JOBS
        )
    hard = why_hard(drain, seen, plan)
    if hard is not None:
        return _stop_if_allowed(drain, seen, now, hard, is_hard=True)
    if drain.evidence is not None and drain.evidence.runs and not plan.is_machine_short:
        return Step(drain)  # The command may pause the process, so that no reading shows it idle.
    if reading is not None and reading.idle:
        if _wants_evidence(drain, plan):
            began = Evidence(EvidenceState.RUNS, now, was_suspended=seen.is_suspended)
            return Step(dataclasses.replace(drain, evidence=began), Action.EVIDENCE)
        return _stop_idle(drain, seen, plan, now)
    if _is_timed_out(drain, reading, plan, now):
        return _on_timeout(drain, seen, plan, now)
    return Step(drain)


def _stop_idle(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """Stop a worker that has no running job; one that may not be quiet waits for others for drain_timeout."""
    if drain.is_quiet or now - drain.since < drain.deadline - drain.began_at:
        return _stop_if_allowed(drain, seen, now, StepCause.IDLE)
    if plan.at_timeout is OnTimeout.RESUME:
        return _on_timeout(drain, seen, plan, now)
    # Nothing will ever show whether the quiet arrived, and the wait for others might never end: a worker that
    # stays quiet for good is worse than one that is away for its restart.
    return stop(dataclasses.replace(drain, is_quiet=True), seen, now, StepCause.IDLE)


def _wants_evidence(drain: Drain, plan: Plan) -> bool:
    """The command is to be run for this idle worker: once, and not while a moment may be too long."""
    if plan.before_stop_seconds is None or plan.is_machine_short:
        return False
    return drain.evidence is None and drain.is_quiet


def _is_left_suspended(drain: Drain, seen: Seen) -> bool:
    """The drain's own command is over, and the process is suspended: it would never show that it is idle."""
    evidence = drain.evidence
    if evidence is None or evidence.runs or evidence.was_suspended:
        return False
    return seen.is_suspended


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
    reading, hard = seen.reading, why_hard(drain, seen, plan)
    if hard is not None:
        step = _stop_if_allowed(drain, seen, now, hard, is_hard=True)
        if step.wants_answer or step.action is not None:
            return step
    if not may_be_quiet_by_us(drain):
        return end(drain, now, StepCause.ALREADY_QUIET)  # Whoever quieted it may put it back to work.
    if plan.traits.can_resume and now - drain.since < drain.deadline - drain.began_at:
        return Step(drain, Action.RESUME)
    if reading is not None and reading.quiet is False:
        return end(drain, now, StepCause.RESUMED)
    if reading is not None and reading.quiet is True:
        drain = dataclasses.replace(drain, is_quiet=True)
    loses_jobs = bool(plan.losses) and (reading is None or not reading.idle)
    if loses_jobs or is_protected(reading, plan.protect_jobs):
        return Step(drain, Action.RESUME if plan.traits.can_resume else None, holds_stop=loses_jobs)
    return _stop_if_allowed(drain, seen, now, StepCause.CANNOT_RESUME)


def _changed_by_others(drain: Drain, seen: Seen, now: float) -> Step | None:
    """The step for a process that others ended, stopped or replaced; None: the recorded process runs."""
    process = process_of(seen)
    if process.state is ProcessState.STOPPED:
        return end(drain, now, StepCause.STOPPED_BY_OTHERS)
    if process.state in (ProcessState.EXITED, ProcessState.FATAL):
        if not may_be_quiet_by_us(drain):
            return end(drain, now, StepCause.ENDED_UNTOUCHED)
        return start(drain, process, now, StepCause.ENDED_AFTER_QUIET)
    if process.pid and not drain.is_process(process):
        return settle(drain, process, now, StepCause.RESTARTED_BY_OTHERS)
    if process.state is not ProcessState.RUNNING:
        return Step(drain)
    return None


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


def _is_timed_out(drain: Drain, reading: Reading | None, plan: Plan, now: float) -> bool:
    return now >= drain.deadline and not is_protected(reading, plan.protect_jobs)


def _on_timeout(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    if plan.at_timeout is OnTimeout.WAIT:
        return Step(drain, holds_stop=plan.holds_stop)
    if plan.at_timeout is OnTimeout.RESUME:
        resumes = may_be_quiet_by_us(drain)  # If so, it may take jobs from now on.
        resuming = move(drain, State.RESUMING, now, is_quiet=not resumes)
        return Step(resuming, Action.RESUME if resumes else None, cause=StepCause.DRAIN_TIMEOUT)
    if drain.state is State.DRAINING:
        # Nothing can confirm the quiet any more: the worker counts as quiet.
        return stop(dataclasses.replace(drain, is_quiet=True), seen, now, StepCause.DRAIN_TIMEOUT)
    return _stop_if_allowed(drain, seen, now, StepCause.DRAIN_TIMEOUT)


def _stop_if_allowed(
    drain: Drain, seen: Seen, now: float, cause: StepCause, *, is_hard: bool = False
) -> Step:
    """Stop the worker. One that may still take jobs is stopped only if it may be taken out of service."""
    if drain.is_quiet:
        return stop(drain, seen, now, cause)
    if not seen.asked:
        return Step(drain, wants_answer=True)
    return stop(drain, seen, now, cause) if may_be_taken_out(seen, is_hard=is_hard) else Step(drain)


_DECIDERS = {
    State.ASKING: _asking,
    State.QUIETING: _quieting,
    State.DRAINING: _draining,
    State.RESUMING: _resuming,
    State.STOPPING: stopping,
    State.STARTING: starting,
    State.SETTLING: settling,
}
