"""The start, and the fresh process until it is back in service."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import (
    State,
    StopAnswer,
)
from tests.builders import (
    EPOCH,
    PID,
    START,
    reading,
)
from tests.rules.steps import (
    NOW,
    A,
    P,
    S,
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
