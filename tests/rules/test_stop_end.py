"""A stop that ended in a signal: what the record says of it, and what the drain makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.processes import ENDED_BY_SIGNAL
from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.drain import Stop, StopAnswer
from supervisor_memkill.rules.stop_end import is_kill_logged, was_kill, with_running_jobs
from tests.builders import EPOCH, info, reading
from tests.rules.steps import A, P, S, draining, outcome, seen, settling, step, stopping

SENT = 90.0


def stop(**values: Any) -> Stop:
    """A stop that was sent at EPOCH, with a stopwaitsecs of 10."""
    defaults: dict[str, Any] = {"attempts": 1, "asked_epoch": EPOCH, "last_asked_epoch": EPOCH}
    return Stop(**{**defaults, "sent_at": SENT, "answer": StopAnswer.ACCEPTED, **values})


@pytest.mark.parametrize(
    ("what", "record", "status", "took", "survivors", "expected"),
    [
        ("ended by itself", {"busy": 3}, 0, 25, (), False),
        ("failed by itself", {"busy": 3}, 1, 25, (), False),
        ("SIGKILL after stopwaitsecs", {"busy": 3}, ENDED_BY_SIGNAL, 10, (), True),
        ("SIGKILL, jobs unknown", {"busy": None}, ENDED_BY_SIGNAL, 11, (), True),
        ("SIGKILL, idle", {"busy": 0}, ENDED_BY_SIGNAL, 10, (), True),
        ("SIGKILL, a child lives on", {"busy": 1}, ENDED_BY_SIGNAL, 10, (7,), True),
        ("the stop signal itself, idle", {"busy": 0}, ENDED_BY_SIGNAL, 9, (), False),
        ("the stop signal itself, jobs unknown", {"busy": None}, ENDED_BY_SIGNAL, 0, (), False),
        ("the stop signal itself, with jobs", {"busy": 1}, ENDED_BY_SIGNAL, 0, (), True),
        ("a wrapper, its worker lives on", {"busy": 1}, ENDED_BY_SIGNAL, 0, (7,), False),
        ("known before", {"was_kill": True}, 0, 1, (), True),
    ],
)
def test_signal_that_cut_jobs_is_told_from_an_end_by_itself(
    what: str, record: dict[str, Any], status: int, took: int, survivors: tuple[int, ...], expected: bool
) -> None:
    process = info(P.STOPPED, stop=EPOCH + took, exitstatus=status)
    assert was_kill(stop(**record), process, survivors, SENT + took) is expected, what


LOG = """\
2026-11-29 03:00:00,001 INFO spawned: 'one' with pid 812
2026-11-29 03:10:00,001 INFO waiting for one to stop
2026-11-29 03:10:10,001 WARN killing 'one' (812) with SIGKILL
2026-11-29 03:10:10,090 INFO stopped: one (terminated by SIGKILL)
"""
SPAWNED = "2026-11-29 04:00:00,001 INFO spawned: 'one' with pid 812\n"


@pytest.mark.parametrize(
    ("log", "name", "pid", "expected"),
    [
        (LOG, "one", 812, True),
        (LOG[LOG.index("2026-11-29 03:10:10,001") :], "one", 812, True),
        (LOG, "one", 813, False),
        (LOG, "one", 81, False),
        (LOG, "two", 812, False),
        (LOG + SPAWNED, "one", 812, False),
        (LOG + SPAWNED.replace("'one'", "'two'"), "one", 812, True),
        (LOG + SPAWNED.replace("812", "8121"), "one", 812, True),
        ("", "one", 812, False),
    ],
)
def test_supervisords_log_names_the_process_that_it_killed(
    log: str, name: str, pid: int, expected: bool
) -> None:
    """A later process with the same pid is another one."""
    assert is_kill_logged(log, name, pid) is expected


def test_logged_kill_needs_no_time_and_an_end_by_itself_no_log() -> None:
    """supervisord's clock was set, or its stopwaitsecs is another one by now."""
    early = info(P.STOPPED, stop=EPOCH + 3, exitstatus=ENDED_BY_SIGNAL)
    assert was_kill(stop(), early, (), SENT + 3, is_logged=True)
    itself = info(P.STOPPED, stop=EPOCH + 3, exitstatus=0)
    assert not was_kill(stop(), itself, (), SENT + 3, is_logged=True)


@pytest.mark.parametrize("clock_set", [-3600, 3600])
@pytest.mark.parametrize(("took", "expected"), [(3, False), (10, True)])
def test_clock_that_was_set_during_the_stop_does_not_hide_a_kill(
    clock_set: int, took: int, expected: bool
) -> None:
    process = info(P.STOPPED, stop=EPOCH + took + clock_set, exitstatus=ENDED_BY_SIGNAL)
    assert was_kill(stop(), process, (), SENT + took) is expected


@pytest.mark.parametrize(("took", "expected"), [(9, False), (10, True)])
def test_journal_without_the_time_of_the_stop_leaves_supervisords_times(took: int, expected: bool) -> None:
    process = info(P.STOPPED, stop=EPOCH + took, exitstatus=ENDED_BY_SIGNAL)
    assert was_kill(stop(sent_at=None), process, (), SENT) is expected


def test_last_stop_counts_of_several() -> None:
    record = stop(attempts=2, last_asked_epoch=EPOCH + 30)
    process = info(P.STOPPED, stop=EPOCH + 39, exitstatus=ENDED_BY_SIGNAL)
    assert not was_kill(record, process, (), SENT + 39)


def test_stop_records_the_jobs_of_the_last_reading_before_it() -> None:
    busy = reading(quiet=True, busy=2, jobs=("Mail", "Report"))
    sent = step(draining(), seen(reading=busy), now=9999.0).drain.stop
    assert (sent.busy, sent.jobs) == (2, ("Mail", "Report"))
    again = step(stopping(stop_busy=2, stop_jobs=("Mail",)), seen(reading=reading(quiet=True, busy=1)))
    assert (again.drain.stop.busy, again.drain.stop.jobs) == (1, None)
    old = step(draining(), seen(reading=reading(quiet=True, busy=0, jobs=())), now=9999.0).drain.stop
    assert (old.busy, old.jobs) == (None, None), "a count of 0 that may be old"
    idle = step(draining(), seen(reading=reading(quiet=True, busy=0, idle=True, jobs=()))).drain.stop
    assert (idle.busy, idle.jobs) == (0, ())
    unread = step(draining(), seen(reading=None), now=9999.0).drain.stop
    assert (unread.busy, unread.jobs) == (None, None)


def test_second_stop_of_a_drain_keeps_the_jobs_that_the_first_one_cut() -> None:
    killed = stop(was_kill=True, busy=2, jobs=("Mail",))
    assert with_running_jobs(killed, reading(busy=0)) == killed


def test_killed_worker_is_started_as_ever() -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_last_asked_epoch=EPOCH, stop_busy=1)
    killed = seen(P.STOPPED, stop=EPOCH + 10)
    killed = type(killed)(info(P.STOPPED, stop=EPOCH + 10, exitstatus=ENDED_BY_SIGNAL))
    taken = step(record, killed)
    assert (outcome(taken), taken.cause) == ((S.STARTING, A.START), StepCause.KILLED)
    assert taken.drain.stop.was_kill


def test_kill_is_judged_when_the_worker_is_first_seen_stopped() -> None:
    """Later its own processes are gone, and the present exit status is the same."""
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_last_asked_epoch=EPOCH, stop_busy=1)
    wrapper = info(P.STOPPED, stop=EPOCH + 1, exitstatus=ENDED_BY_SIGNAL)
    first = step(record, type(seen())(wrapper, survivors=(7,)), now=SENT + 1)
    assert outcome(first) == (S.STOPPING, None)
    later = step(first.drain, type(seen())(wrapper), now=SENT + 5)
    assert (outcome(later), later.cause) == ((S.STARTING, A.START), None)
    assert not later.drain.stop.was_kill


def test_new_process_that_must_be_restarted_does_not_hide_the_kill_of_the_old_one() -> None:
    record = settling(stop_was_kill=True, stop_busy=2)
    again = step(record, seen(reading=reading(quiet=True)))
    assert again.drain.state is S.DRAINING and again.drain.stop.was_kill and again.drain.stop.busy == 2


def test_resumed_worker_is_let_go_where_a_repeated_stop_would_lose_its_jobs() -> None:
    record = stopping(quiet_attempts=1)
    losses: dict[str, Any] = {"losses": ("stopwaitsecs=10 must be above 25",)}
    taken = step(record, seen(reading=reading(quiet=False)), **losses)
    assert (outcome(taken), taken.cause) == ((S.LET_GO, None), StepCause.BACK_AT_WORK)
    hard = seen(reading=reading(quiet=False), memory_bytes=500)
    assert step(record, hard, hard_limit_bytes=400, **losses).wants_answer
    quiet = step(record, seen(reading=reading(quiet=True)), **losses)
    assert outcome(quiet) == (S.STOPPING, A.STOP), "idle, as when the stop was first sent"


def test_resumed_worker_is_let_go_while_a_protected_job_may_run() -> None:
    """The stop that was not sent was for an idle worker."""
    record = stopping(quiet_attempts=1)
    protects: dict[str, Any] = {"protect_jobs": ("Imp*",)}
    for jobs in (("Import",), None):
        taken = step(record, seen(reading=reading(quiet=False, jobs=jobs)), **protects)
        assert (outcome(taken), taken.cause) == ((S.LET_GO, None), StepCause.BACK_AT_WORK)
    assert step(record, seen(reading=reading(quiet=False, jobs=("Mail",))), **protects).wants_answer
    hard = seen(reading=reading(quiet=False, jobs=("Import",)), memory_bytes=500)
    assert step(record, hard, hard_limit_bytes=400, **protects).wants_answer


@pytest.mark.parametrize("is_logged", [False, True])
def test_worker_that_somebody_started_before_anybody_saw_it_stopped(is_logged: bool) -> None:
    """Only the log knows how its old process ended."""
    other = seen(P.RUNNING, pid=99, start=EPOCH + 5, is_kill_logged=is_logged)
    taken = step(stopping(stop_busy=2), other)
    assert taken.drain.state is S.SETTLING and taken.drain.stop.was_kill is is_logged
