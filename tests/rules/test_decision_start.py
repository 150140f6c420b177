"""The start, and the fresh process until it is back in service."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.drain import (
    Outcome,
    State,
    StopAnswer,
)
from tests.builders import (
    EPOCH,
    PID,
    START,
    answer,
    reading,
)
from tests.rules.steps import (
    NOW,
    A,
    P,
    S,
    acknowledged,
    draining,
    outcome,
    seen,
    settling,
    starting,
    step,
    stopping,
)


@pytest.mark.parametrize("state", [P.STOPPED, P.EXITED, P.FATAL])
def test_failed_start_is_repeated_with_a_growing_pause(state: ProcessState) -> None:
    record, now, pauses = starting(), NOW, []
    for _ in range(9):
        taken = step(record, seen(state), now=now)
        assert outcome(taken) == (S.STARTING, A.START)
        record = taken.drain
        assert outcome(step(record, seen(state), now=record.next_start_at - 0.1)) == (S.STARTING, None)
        pauses.append(record.next_start_at - now)
        now = record.next_start_at
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_worker_that_somebody_stopped_after_our_start_stays_stopped() -> None:
    observed = seen(P.STOPPED, start=EPOCH, stop=EPOCH + 5)
    assert outcome(step(starting(), observed, now=9999.0)) == (S.LET_GO, None)


def test_stop_of_a_process_with_the_start_time_of_the_former_one_is_an_operators() -> None:
    """The clock was set back by just as much as the former process was old."""
    stopped = seen(P.STOPPED, stop=EPOCH)
    started = step(stopping(stop_answer=StopAnswer.ACCEPTED), stopped)
    assert outcome(started) == (S.STARTING, A.START)
    again = step(started.drain, stopped, now=9999.0)
    assert outcome(again) == (S.STARTING, A.START), "the start was lost"
    for lost in (started, again):
        assert outcome(step(lost.drain, seen(P.STOPPED, stop=EPOCH + 3), now=99999.0)) == (S.LET_GO, None)


def test_start_of_a_journal_without_stop_times_is_repeated() -> None:
    record = starting(stopped_stop=None)
    assert outcome(step(record, seen(P.STOPPED, stop=EPOCH), now=9999.0)) == (S.STARTING, A.START)


@pytest.mark.parametrize("ended", [P.EXITED, P.FATAL])
def test_stop_in_the_second_of_our_start_is_an_operators_too(ended: ProcessState) -> None:
    """Our start of an ended process failed at once, and supervisord was waiting to repeat it."""
    started = step(starting(), seen(ended, start=EPOCH), now=NOW).drain
    assert outcome(step(started, seen(P.STOPPED, start=EPOCH), now=9999.0)) == (S.LET_GO, None)
    first = step(stopping(), seen(ended, start=EPOCH)).drain
    assert outcome(step(first, seen(P.STOPPED, start=EPOCH), now=9999.0)) == (S.LET_GO, None)
    later = step(settling(), seen(ended, start=EPOCH)).drain
    assert outcome(step(later, seen(P.STOPPED, start=EPOCH), now=9999.0)) == (S.LET_GO, None)


def test_supervisord_repeats_a_start_in_backoff() -> None:
    assert outcome(step(starting(), seen(P.BACKOFF, start=EPOCH), now=9999.0)) == (S.STARTING, None)


def test_drain_waits_while_somebody_stops_the_started_process() -> None:
    observed = seen(P.STOPPING, pid=7, start=EPOCH)
    assert outcome(step(starting(), observed)) == (S.STARTING, None)


def test_fresh_process_is_watched() -> None:
    for state in (P.STARTING, P.RUNNING):
        taken = step(starting(), seen(state, pid=7, start=EPOCH))
        assert outcome(taken) == (S.SETTLING, None)
        assert (taken.drain.pid, taken.drain.start) == (7, EPOCH)
        assert taken.drain.stopped_seconds == 10.0


@pytest.mark.parametrize("state", [P.STARTING, P.RUNNING])
def test_process_that_runs_after_our_start_is_fresh_whatever_its_pid(state: ProcessState) -> None:
    """The old process was seen ended; its pid may return, and a clock that was set back repeats times."""
    assert outcome(step(starting(), seen(state))) == (S.SETTLING, None)


def test_process_that_supervisord_could_not_kill_is_not_fresh() -> None:
    """Its state is UNKNOWN, and it still has the old pid."""
    assert outcome(step(starting(), seen(P.UNKNOWN, pid=PID))) == (S.STARTING, None)


def test_stopped_seconds_count_from_the_moment_the_end_was_seen() -> None:
    """A worker that ended by itself had no stop to count from."""
    ended = step(draining(), seen(P.EXITED, stop=EPOCH), now=100.0)
    fresh = step(ended.drain, seen(P.STARTING, pid=7, start=EPOCH), now=103.0)
    assert fresh.drain.stopped_seconds == 3.0
    waiting = stopping(stop_answer=StopAnswer.ACCEPTED, stopped_seen_at=95.0)
    assert step(waiting, seen(P.STOPPED, stop=EPOCH), now=100.0).drain.stopped_seen_at == 95.0


@pytest.mark.parametrize(("state", "since"), [(P.RUNNING, NOW), (P.STARTING, None)])
def test_running_since_is_set_at_running_not_at_starting(state: ProcessState, since: float | None) -> None:
    assert step(starting(), seen(state, pid=7, start=EPOCH)).drain.running_since == since


@pytest.mark.parametrize(
    ("what", "now", "observed", "expected"),
    [
        ("settled and in service", 100.0, reading(), S.DONE),
        ("not settled yet", 99.0, reading(), S.SETTLING),
        ("kind finds it wanting", 100.0, reading(in_service=False), S.SETTLING),
        ("kind does not know", 100.0, reading(in_service=None), S.SETTLING),
        ("no reading", 100.0, None, S.SETTLING),
        ("our quiet reached it late", 100.0, reading(quiet=True, in_service=False), S.DRAINING),
    ],
)
def test_drain_is_done_only_when_the_worker_is_seen_in_service(
    what: str, now: float, observed: Any, expected: State
) -> None:
    assert outcome(step(settling(), seen(reading=observed), now=now)) == (expected, None), what


def test_settle_time_counts_from_running_and_anew_for_each_process() -> None:
    taken = step(settling(), seen(P.STARTING), now=200.0)
    assert taken.drain.running_since is None
    taken = step(taken.drain, seen(reading=reading()), now=201.0)
    assert taken.drain.running_since == 201.0
    another = step(taken.drain, seen(pid=8, start=EPOCH, reading=reading()), now=250.0)
    assert outcome(another) == (S.SETTLING, None)
    assert another.drain.running_since == 250.0


def test_fresh_process_stopped_by_somebody_stays_stopped() -> None:
    assert outcome(step(settling(), seen(P.STOPPED, stop=EPOCH))) == (S.LET_GO, None)


def test_fresh_process_that_ends_by_itself_is_started_again_after_the_pause() -> None:
    taken = step(settling(next_start_at=NOW + 1), seen(P.EXITED, start=EPOCH, stop=EPOCH))
    assert outcome(taken) == (S.STARTING, None)
    again = step(taken.drain, seen(P.EXITED, start=EPOCH, stop=EPOCH), now=NOW + 1)
    assert outcome(again) == (S.STARTING, A.START)


def test_memory_after_a_drain_is_measured_at_the_end_of_the_settle_time() -> None:
    """Its kind may see it in service much later, when its memory has grown again."""
    early = step(settling(), seen(reading=reading(in_service=None), memory_bytes=50)).drain
    assert (early.state, early.memory_after_bytes) == (S.SETTLING, 50)
    late = step(early, seen(reading=reading(), memory_bytes=300)).drain
    assert (late.state, late.memory_after_bytes) == (S.DONE, 50)
    another = step(early, seen(pid=77, start=START + 50, reading=reading(in_service=None))).drain
    assert another.memory_after_bytes is None


def test_fresh_process_that_a_late_quiet_suspended_is_continued() -> None:
    observed = seen(reading=reading(recognised=False, in_service=False, frozen=True))
    assert outcome(step(settling(), observed)) == (S.SETTLING, A.THAW)
    assert outcome(step(settling(quiet_attempts=0), observed)) == (S.SETTLING, None), "that was not us"


def test_fresh_process_that_somebody_quieted_is_not_restarted() -> None:
    record = settling(quiet_attempts=0)
    taken = step(record, seen(reading=reading(quiet=True, in_service=False)))
    assert outcome(taken) == (S.SETTLING, None)


def test_supervisord_repeats_a_start_in_backoff_while_settling() -> None:
    taken = step(settling(), seen(P.BACKOFF, start=EPOCH))
    assert outcome(taken) == (S.SETTLING, None)
    assert (taken.drain.pid, taken.drain.start) == (PID, START)


# --- a new process above the hard limit ------------------------------------------------------------

HUGE_AND_NOT_IN_SERVICE = {"memory_bytes": 900, "reading": reading(in_service=None)}


def hard(record: Any, *, now: float = NOW, allowed: bool | None = True, **observed: Any) -> Any:
    """The step by a hard limit of 500, after the answer; `allowed` None: there is no answer."""
    there = answer(others=1 if allowed else 0) if allowed is not None else None
    values = {**HUGE_AND_NOT_IN_SERVICE, "answer": there, "asked": True, **observed}
    return step(record, seen(**values), now=now, hard_limit_bytes=500, min_uptime_seconds=5.0)


def test_new_process_above_the_hard_limit_is_stopped_although_it_is_not_in_service_yet() -> None:
    """Its slot is kept, so that a release that leaks at once costs the pool one worker."""
    record = settling(stop_answer=StopAnswer.ACCEPTED, is_quiet=True, memory_after_bytes=100)
    asks = hard(record, asked=False)
    assert asks.wants_answer and not asks.drain.is_quiet, "the process is not the one that was quieted"
    taken = hard(record)
    assert (outcome(taken), taken.cause) == ((S.STOPPING, A.STOP), StepCause.OVER_HARD_LIMIT)
    assert (taken.drain.stop.attempts, taken.drain.stop.answer) == (1, StopAnswer.NONE)
    assert taken.drain.token == record.token and taken.drain.stops_new_process


def test_hard_limit_counts_before_settle_is_over() -> None:
    """What the new process needs at once is not known yet, and perhaps nothing else about it."""
    for known in (reading(in_service=None), None):
        assert outcome(hard(settling(running_since=95.0), reading=known)) == (S.STOPPING, A.STOP)


@pytest.mark.parametrize(
    ("what", "running_since", "observed"),
    [
        ("min_uptime is not over", 95.1, {}),
        ("within the limit", 90.0, {"memory_bytes": 500}),
        ("perhaps within the limit", 90.0, {"memory_least_bytes": 500}),
        ("memory unknown", 90.0, {"memory_bytes": None}),
        ("too few others in service", 90.0, {"allowed": False}),
        ("no answer", 90.0, {"allowed": None}),
        ("a stop would lose a job now", 90.0, {"reading": reading(in_service=None, hold="a job begins")}),
    ],
)
def test_new_process_is_not_stopped_for_the_hard_limit(
    what: str, running_since: float, observed: dict[str, Any]
) -> None:
    record = settling(running_since=running_since, memory_after_bytes=100)
    assert outcome(hard(record, **observed)) == (S.SETTLING, None), what


def test_new_process_that_needs_as_much_at_once_is_not_restarted_in_a_loop() -> None:
    record = settling(running_since=NOW - 20, memory_after_bytes=450)
    assert outcome(hard(record)) == (S.SETTLING, None)
    assert outcome(hard(record, now=NOW - 20 + 600)) == (S.STOPPING, A.STOP)
    less = settling(running_since=NOW - 20, memory_after_bytes=449)
    assert outcome(hard(less)) == (S.STOPPING, A.STOP)


def test_new_processes_that_need_as_much_before_settle_is_over_are_not_restarted_in_a_loop() -> None:
    """With min_uptime below settle, none of them would run long enough to be measured after settle."""
    at, stops, record = NOW, 0, settling(running_since=NOW, start_attempts=1)
    while at < NOW + 550.0:
        at += 1.0
        taken = hard(record, now=at)
        record = taken.drain
        if taken.action is A.STOP:
            stops += 1
            accepted = acknowledged(record, A.STOP, Outcome.DONE)
            started = step(accepted, seen(P.STOPPED, stop=EPOCH), now=at).drain
            record = step(started, seen(P.RUNNING, pid=PID + stops, start=EPOCH), now=at).drain
            assert record.state is S.SETTLING
    assert stops == 1


def test_first_new_process_is_stopped_for_the_hard_limit_though_it_is_not_measured_yet() -> None:
    assert outcome(hard(settling(start_attempts=1))) == (S.STOPPING, A.STOP)
    assert outcome(hard(settling(start_attempts=2))) == (S.SETTLING, None)
    assert outcome(hard(settling(start_attempts=2, memory_after_bytes=449))) == (S.STOPPING, A.STOP)


def test_time_that_the_worker_was_quiet_ends_with_its_first_process() -> None:
    record = settling(quiet_sent_at=10.0, quiet_seconds=48.0, memory_after_bytes=100)
    assert hard(record).drain.quiet_seconds == 48.0


def test_stop_of_a_new_process_that_was_certainly_not_sent_leaves_no_trace_of_the_former_stop() -> None:
    """The first process was stopped, and supervisord confirmed it; that says nothing about this one."""
    record = settling(stop_answer=StopAnswer.ACCEPTED, memory_after_bytes=100)
    taken = hard(record)
    unsent = acknowledged(taken.drain, A.STOP, Outcome.NOT_SENT, before=record)
    assert (unsent.stop.attempts, unsent.stop.answer) == (0, StopAnswer.NONE)
    again = hard(unsent)
    assert (outcome(again), again.drain.stop.attempts) == ((S.STOPPING, A.STOP), 1)


@pytest.mark.parametrize("observed", [{"memory_bytes": 100}, {"allowed": False}])
def test_new_process_whose_stop_was_lost_and_is_not_needed_any_more_settles_on(
    observed: dict[str, Any],
) -> None:
    stopped = hard(settling(memory_after_bytes=100)).drain
    taken = hard(stopped, **observed)
    assert (outcome(taken), taken.cause) == ((S.SETTLING, None), StepCause.STOP_NOT_NEEDED)
    assert taken.drain.running_since == 90.0, "it is the same process"


def test_lost_stop_of_a_new_process_that_is_not_recognised_yet_is_sent_again() -> None:
    stopped = hard(settling(quiet_attempts=0, memory_after_bytes=100)).drain
    taken = hard(stopped, reading=reading(recognised=False, in_service=None))
    assert (outcome(taken), taken.drain.stop.attempts) == ((S.STOPPING, A.STOP), 2)


def test_new_process_that_ended_before_its_stop_is_started() -> None:
    """It runs because of this drain: without a new start, the worker would stay stopped."""
    stopped = hard(settling(quiet_attempts=0, memory_after_bytes=100)).drain
    refused = acknowledged(stopped, A.STOP, Outcome.REFUSED)
    assert outcome(step(refused, seen(P.EXITED, stop=EPOCH))) == (S.STARTING, A.START)


def test_pool_waits_for_a_worker_whose_new_process_is_being_stopped() -> None:
    stopped = hard(settling(memory_after_bytes=100, start_attempts=3)).drain
    assert stopped.why_not_back(10.0, NOW)
    assert not stopping(start_attempts=3).why_not_back(10.0, NOW)


def test_kill_of_the_first_process_is_reported_though_the_second_one_ended_by_itself() -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_was_kill=True)
    ended = step(record, seen(P.STOPPED, stop=EPOCH))
    assert ended.drain.stop.was_kill
