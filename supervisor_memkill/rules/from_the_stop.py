"""A drain from its stop on: the stop, the start, and the new process until it is in service.

Pure, as decision.py.
"""

from __future__ import annotations

import dataclasses

from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.back_off import BACK_OFF_SECONDS, is_below_baseline
from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.drain import (
    Action,
    Drain,
    State,
    Stop,
    StopAnswer,
    change_stop,
    move,
    without_stop,
)
from supervisor_memkill.rules.step import (
    Plan,
    Seen,
    Step,
    end,
    is_drainable,
    is_over_hard_limit,
    is_protected,
    may_be_quiet_by_us,
    may_be_taken_out,
    process_of,
    takes_jobs,
    why_hard,
    with_full_timeout,
)
from supervisor_memkill.rules.stop_end import was_kill, with_running_jobs

START_DELAY_SECONDS, MAX_START_DELAY_SECONDS = 1.0, 60.0
"""A failed start is tried again after this delay, which doubles each time up to the maximum."""
RESTARTED_WITHIN_SECONDS = 3
"""How long after a hang supervisord starts a listener that died meanwhile: a turn of its loop, rounded."""


def stop(drain: Drain, seen: Seen, now: float, cause: StepCause) -> Step:
    """Send the stop. The record keeps when and why, so that a later look knows it as the listener's own."""
    process = process_of(seen)
    quiet_seconds = drain.quiet_seconds
    if drain.quiet_sent_at is not None and drain.state is not State.SETTLING:
        quiet_seconds = now - drain.quiet_sent_at
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


def stopping(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """The stop was sent, or was about to be sent: wait until the old processes are gone."""
    process = process_of(seen)
    if _has_reached_new_process(drain, process, seen.looked_at):
        step = stopping(_with_new_process(drain, seen, process), seen, plan, now)
        return dataclasses.replace(step, cause=step.cause or StepCause.STOPPED_NEW_PROCESS)
    if process.state is ProcessState.STOPPED:
        return _stopped(drain, seen, process, now)
    if process.state in (ProcessState.EXITED, ProcessState.FATAL):
        is_before_our_stop = drain.stop.answer is StopAnswer.REFUSED or not drain.stop.attempts
        is_untouched = not may_be_quiet_by_us(drain) and not drain.stops_new_process
        if is_before_our_stop and is_untouched:
            return end(drain, now, StepCause.ENDED_BEFORE_STOP)
        return _start_when_gone(drain, seen, process, now, StepCause.ENDED_BY_ITSELF)
    if process.pid and not drain.is_process(process):
        return settle(_with_logged_kill(drain, seen), process, now, StepCause.RESTARTED_BY_OTHERS)
    if process.state is ProcessState.RUNNING and drain.stop.answer is not StopAnswer.ACCEPTED:
        return _stop_again(drain, seen, plan, now)
    if process.state is ProcessState.STOPPING:
        drain = change_stop(drain, accepted_at=None)  # The stop reached this process, and no later one.
    return Step(drain)


def _has_reached_new_process(drain: Drain, process: ProcessInfo, looked_at: float) -> bool:
    """An operator restarted the worker while the stop was under way, and the stop reached the new process.

    Such a process began before supervisord's answer, and this look is the first one that finds it.
    """
    stop = drain.stop
    is_recorded = drain.is_process(process) if process.pid else process.start == drain.start
    if is_recorded or stop.answer is not StopAnswer.ACCEPTED or stop.accepted_at is None:
        return False
    # supervisord's time at its answer, at the latest: its times are whole seconds.
    accepted_epoch = process.now + 1 - (looked_at - stop.accepted_at)
    if not drain.start <= process.start < accepted_epoch:
        return False
    if process.state is ProcessState.STOPPED:
        return process.stop < accepted_epoch + stop.wait_seconds + stop.margin_seconds
    return process.state is ProcessState.STOPPING


def _with_new_process(drain: Drain, seen: Seen, process: ProcessInfo) -> Drain:
    """The record of the process that the stop reached."""
    drain = _with_logged_kill(drain, seen)
    return dataclasses.replace(drain, pid=process.pid or drain.pid, start=process.start, created=None)


def _with_logged_kill(drain: Drain, seen: Seen) -> Drain:
    """Nobody saw how the recorded process ended; only supervisord's log knows it."""
    return change_stop(drain, was_kill=True) if seen.is_kill_logged else drain


def _stop_again(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """The process is RUNNING, so that no stop has reached it: after the first one it would be STOPPING."""
    process = process_of(seen)
    over = _why_hard_no_more(drain, seen, plan)
    if over is not None and not drain.is_quiet and not may_be_quiet_by_us(drain):
        return end(drain, now, over)  # Nothing was done to the worker.
    if drain.is_quiet and takes_jobs(seen, plan):
        keeps_jobs = plan.losses or is_protected(seen.reading, plan.protect_jobs)
        if drain.quiet_attempts == 0 or (keeps_jobs and not is_over_hard_limit(seen, plan)):
            return end(drain, now, StepCause.BACK_AT_WORK)
        drain = dataclasses.replace(drain, is_quiet=False)
    if not drain.is_quiet:
        step = _instead_of_stop(drain, seen, plan, now)
        if step is not None:
            return step
    drain = change_stop(
        drain,
        attempts=drain.stop.attempts + 1,
        answer=StopAnswer.NONE,
        asked_epoch=drain.stop.asked_epoch if drain.stop.attempts else process.now,
        last_asked_epoch=process.now,
    )
    drain = dataclasses.replace(drain, stop=with_running_jobs(drain.stop, seen.reading))
    return Step(drain, Action.STOP)


def _why_hard_no_more(drain: Drain, seen: Seen, plan: Plan) -> StepCause | None:
    """The stop was not sent, and what forbade to wait for running jobs is over; None: the stop goes on."""
    cause = drain.stop.cause
    if drain.stop.attempts > 0 or drain.stops_new_process or why_hard(drain, seen, plan) is not None:
        return None
    if cause is StepCause.MACHINE_IS_SHORT:
        return StepCause.MACHINE_RECOVERED
    if cause is StepCause.OVER_HARD_LIMIT and seen.memory_bytes is not None:
        return StepCause.NOT_OVER_HARD_LIMIT
    return None


def _instead_of_stop(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step | None:
    """What is done with a worker that may take jobs, and not the stop once more; None: the stop."""
    if not seen.asked:
        return Step(drain, wants_answer=True)
    if seen.answer is None:
        return Step(drain)
    is_hard = why_hard(drain, seen, plan) is not None
    is_allowed = may_be_taken_out(seen, is_hard=is_hard)
    is_protected_now = not is_hard and is_protected(seen.reading, plan.protect_jobs)
    if drain.stops_new_process:
        if not (is_allowed and is_over_hard_limit(seen, plan)):
            return Step(move(drain, State.SETTLING, now), cause=StepCause.STOP_NOT_NEEDED)
    elif drain.quiet_attempts == 0:
        # Nothing was done to the worker: it is stopped only if its drain could begin now.
        if not is_allowed:
            return end(drain, now, StepCause.STOP_REFUSED)
        if not is_drainable(seen.reading):
            return end(drain, now, StepCause.NOT_DRAINABLE_NOW)
        if is_protected_now:
            return end(drain, now, StepCause.PROTECTED_JOB)
    return Step(drain) if not is_allowed or is_protected_now else None


def _stopped(drain: Drain, seen: Seen, process: ProcessInfo, now: float) -> Step:
    if not _is_stopped_by_us(drain, process):
        return end(drain, now, StepCause.STOPPED_BY_OTHERS)
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
    sent = drain.stop
    last = max(sent.asked_epoch, sent.last_asked_epoch)
    if sent.asked_epoch - sent.margin_seconds <= process.stop <= _latest_end(sent, last):
        return True
    taken_up = sent.taken_up_epoch
    return taken_up - RESTARTED_WITHIN_SECONDS <= process.stop <= _latest_end(sent, taken_up)


def _latest_end(sent: Stop, epoch: int) -> float:
    """When a process has ended that supervisord stopped at this time."""
    return epoch + sent.wait_seconds + sent.margin_seconds


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
    return start(drain, process, now, cause)


def start(drain: Drain, process: ProcessInfo, now: float, cause: StepCause | None) -> Step:
    """Start the worker, which is stopped because of this drain."""
    seen_at = now if drain.stopped_seen_at is None else drain.stopped_seen_at
    drain = move(_with_end(drain, process), State.STARTING, now, stopped_seen_at=seen_at, running_since=None)
    return Step(_count_start(drain, now), Action.START, cause)


def _with_end(drain: Drain, process: ProcessInfo) -> Drain:
    """The times of the process that is started anew: see Drain.stopped_start."""
    if process.state is not ProcessState.STOPPED:
        return dataclasses.replace(drain, stopped_start=None, stopped_stop=None)
    return dataclasses.replace(drain, stopped_start=process.start, stopped_stop=process.stop)


def _is_stopped_anew(drain: Drain, process: ProcessInfo) -> bool:
    """Somebody stopped the worker after a start. supervisord's times are whole seconds."""
    if process.state is not ProcessState.STOPPED:
        return False
    return process.start != drain.stopped_start or drain.stopped_stop not in (None, process.stop)


def _count_start(drain: Drain, now: float) -> Drain:
    delay = min(START_DELAY_SECONDS * 2.0**drain.start_attempts, MAX_START_DELAY_SECONDS)
    return dataclasses.replace(drain, start_attempts=drain.start_attempts + 1, next_start_at=now + delay)


def starting(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """The start was sent, or was about to be sent: a failed one is tried again."""
    process = process_of(seen)
    if _is_stopped_anew(drain, process):
        return end(drain, now, StepCause.STARTED_AND_STOPPED_BY_OTHERS)
    if process.state in (ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FATAL):
        if now < drain.next_start_at:
            return Step(drain)
        return Step(_count_start(_with_end(drain, process), now), Action.START)
    if process.state in (ProcessState.STARTING, ProcessState.RUNNING):
        return settle(drain, process, now, None)
    return Step(drain)


def settle(drain: Drain, process: ProcessInfo, now: float, cause: StepCause | None) -> Step:
    """Watch this new process until it is in service."""
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


def settling(drain: Drain, seen: Seen, plan: Plan, now: float) -> Step:
    """A new process runs: the drain is done when its kind sees it in service."""
    process = process_of(seen)
    if process.state is ProcessState.STOPPED:
        return end(drain, now, StepCause.STOPPED_BY_OTHERS)
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
    step = _stop_new_process(drain, seen, plan, now - drain.running_since, now)
    if step is not None:
        return step
    if now - drain.running_since < plan.settle_seconds:
        return Step(drain)
    if drain.memory_after_bytes is None:
        drain = dataclasses.replace(drain, memory_after_bytes=seen.memory_bytes)
    if reading is None or reading.in_service is not True:
        return Step(drain)
    if seen.survivors:
        return Step(drain)  # The memory of the old processes is not free yet.
    return Step(move(drain, State.DONE, now))


def _stop_new_process(
    drain: Drain, seen: Seen, plan: Plan, running_seconds: float, now: float
) -> Step | None:
    """Above `hard_max_rss` it is stopped like any other process; None: it is not, or it must wait."""
    if not is_over_hard_limit(seen, plan) or (seen.reading is not None and seen.reading.hold):
        return None
    # Where it needed as much at once, the next process does, too: no restart loop.
    makes_a_loop = _needs_as_much_at_once(drain, plan.hard_limit_bytes or 0)
    if running_seconds < max(plan.min_uptime_seconds, BACK_OFF_SECONDS if makes_a_loop else 0.0):
        return None
    drain = dataclasses.replace(drain, is_quiet=False)
    if not seen.asked:
        return Step(drain, wants_answer=True)
    if not may_be_taken_out(seen, is_hard=True):
        return None
    drain = dataclasses.replace(without_stop(drain), stopped_seen_at=None)
    return stop(drain, seen, now, StepCause.OVER_HARD_LIMIT)


def _needs_as_much_at_once(drain: Drain, hard_limit_bytes: int) -> bool:
    """Before `settle` is over it is not known of the first new process, and supposed of each further one."""
    after = drain.memory_after_bytes
    return drain.start_attempts > 1 if after is None else is_below_baseline(after, hard_limit_bytes)


def _start_after_delay(drain: Drain, process: ProcessInfo, now: float) -> Step:
    """The new process ended by itself: the start failed, and is tried again after the delay."""
    drain = move(_with_end(drain, process), State.STARTING, now, running_since=None)
    return Step(drain, cause=StepCause.NEW_PROCESS_ENDED)


def _drain_again(drain: Drain, plan: Plan, now: float) -> Step:
    """The new process is quiet because of this drain: only another restart puts it back in service."""
    drain = move(
        with_full_timeout(without_stop(drain), now),
        State.DRAINING,
        now,
        is_quiet=True,
        stopped_seen_at=None,
        start_attempts=0,
        running_since=None,
    )
    return Step(drain, cause=StepCause.NEW_PROCESS_IS_QUIET)
