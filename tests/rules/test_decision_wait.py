"""A quiet worker with running jobs: idle, the deadline, the hard limit, the resume."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import (
    Action,
    Outcome,
    State,
)
from supervisor_memkill.rules.step import OnTimeout
from tests.builders import (
    CUSTOM_LIKE,
    FULL,
    PLAIN_LIKE,
    answer,
    drain,
    reading,
)
from tests.rules.steps import (
    NOW,
    A,
    S,
    acknowledged,
    draining,
    outcome,
    quieting,
    seen,
    step,
)


@pytest.mark.parametrize(
    ("what", "observed", "expected"),
    [
        ("busy", reading(quiet=True, busy=2), (S.DRAINING, None)),
        ("0, not yet trustworthy", reading(quiet=True, busy=0), (S.DRAINING, None)),
        ("unknown", reading(recognised=None, in_service=None, quiet=None, busy=None), (S.DRAINING, None)),
        ("no reading", None, (S.DRAINING, None)),
        ("idle", reading(quiet=True, busy=0, idle=True), (S.STOPPING, A.STOP)),
        ("takes jobs again", reading(quiet=False), (S.QUIETING, None)),
    ],
)
def test_stop_is_sent_only_after_a_trustworthy_idle(
    what: str, observed: Any, expected: tuple[State, Action | None]
) -> None:
    assert outcome(step(draining(), seen(reading=observed))) == expected, what


def test_worker_that_was_quiet_before_the_drain_and_takes_jobs_again_is_let_go() -> None:
    """It was granted its slot because it was out of service: it gives the slot back."""
    taken = step(draining(quiet_attempts=0), seen(reading=reading(quiet=False)))
    assert (outcome(taken), taken.cause) == ((S.LET_GO, None), StepCause.BACK_AT_WORK)


@pytest.mark.parametrize("on_timeout", list(OnTimeout))
def test_quiet_worker_that_is_idle_is_stopped_however_late(on_timeout: OnTimeout) -> None:
    """Nothing is left to wait for, or to resume for."""
    idle = seen(reading=reading(quiet=True, busy=0, idle=True))
    taken = step(draining(), idle, now=9999.0, traits=CUSTOM_LIKE, on_timeout=on_timeout)
    assert (outcome(taken), taken.cause) == ((S.STOPPING, A.STOP), StepCause.IDLE)


def test_worker_over_the_hard_limit_is_stopped_while_jobs_run() -> None:
    observed = seen(reading=reading(quiet=True, busy=1), memory_bytes=500)
    assert outcome(step(draining(), observed, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)
    at_it = seen(reading=reading(quiet=True, busy=1), memory_bytes=400)
    assert outcome(step(draining(), at_it, hard_limit_bytes=400)) == (S.DRAINING, None)
    unknown = seen(reading=reading(quiet=True, busy=1), memory_bytes=None)
    assert outcome(step(draining(), unknown, hard_limit_bytes=400)) == (S.DRAINING, None)


def test_no_job_is_cut_for_memory_that_may_be_counted_twice() -> None:
    """The size that counts shared memory twice is above the hard limit, the sure one is not."""
    busy = reading(quiet=True, busy=1)
    perhaps = seen(reading=busy, memory_bytes=500, memory_least_bytes=400)
    assert outcome(step(draining(), perhaps, hard_limit_bytes=400)) == (S.DRAINING, None)
    surely = seen(reading=busy, memory_bytes=500, memory_least_bytes=401)
    assert outcome(step(draining(), surely, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)


@pytest.mark.parametrize(
    ("on_timeout", "traits", "expected"),
    [
        (OnTimeout.STOP, CUSTOM_LIKE, (S.STOPPING, A.STOP)),
        (OnTimeout.WAIT, CUSTOM_LIKE, (S.DRAINING, None)),
        (OnTimeout.RESUME, CUSTOM_LIKE, (S.RESUMING, A.RESUME)),
        (OnTimeout.RESUME, PLAIN_LIKE, (S.STOPPING, A.STOP)),
        (OnTimeout.WAIT, PLAIN_LIKE, (S.STOPPING, A.STOP)),
    ],
)
def test_deadline_is_handled_as_on_timeout_says(
    on_timeout: OnTimeout, traits: Any, expected: tuple[State, Action | None]
) -> None:
    observed = seen(reading=reading(quiet=None, busy=1))
    early = step(draining(), observed, now=3599.0, traits=traits, on_timeout=on_timeout)
    assert outcome(early) == (S.DRAINING, None)
    late = step(draining(), observed, now=3600.0, traits=traits, on_timeout=on_timeout)
    assert outcome(late) == expected


@pytest.mark.parametrize("jobs", [("Import", "Mail"), None])
def test_drain_does_not_time_out_while_a_protected_job_may_run(jobs: Any) -> None:
    observed = seen(reading=reading(quiet=True, jobs=jobs))
    assert outcome(step(draining(), observed, now=9999.0, protect_jobs=("Imp*",))) == (S.DRAINING, None)
    free = seen(reading=reading(quiet=True, jobs=("Mail",)))
    assert outcome(step(draining(), free, now=9999.0, protect_jobs=("Imp*",))) == (S.STOPPING, A.STOP)


def test_missing_reading_counts_as_a_protected_job() -> None:
    assert outcome(step(draining(), seen(reading=None), now=9999.0, protect_jobs=("Imp*",))) == (
        S.DRAINING,
        None,
    )


def test_stop_records_how_long_the_worker_was_quiet() -> None:
    idle = seen(reading=reading(quiet=True, busy=0, idle=True))
    assert step(draining(quiet_sent_at=NOW - 48.0), idle).drain.quiet_seconds == 48.0
    assert step(draining(quiet_sent_at=None), idle).drain.quiet_seconds is None


def test_unconfirmed_quiet_counts_as_quiet_at_the_deadline() -> None:
    """Nothing will ever show whether the quiet arrived, and a wait for peers might never end."""
    taken = step(draining(is_quiet=False), seen(reading=reading(quiet=None)), now=9999.0, traits=CUSTOM_LIKE)
    assert outcome(taken) == (S.STOPPING, A.STOP)
    assert taken.drain.is_quiet and not taken.wants_answer


def test_worker_whose_quiet_may_not_have_arrived_is_stopped_only_while_peers_suffice() -> None:
    """After a kill between save and quiet, the listener does not know whether the worker still takes jobs."""
    record = draining(is_quiet=False)
    idle = reading(quiet=None, busy=0, idle=True)
    assert step(record, seen(reading=idle), traits=CUSTOM_LIKE).wants_answer
    for given in (answer(others=0), FULL):
        held = seen(reading=idle, asked=True, answer=given)
        assert outcome(step(record, held, traits=CUSTOM_LIKE)) == (S.DRAINING, None)
    hard = seen(reading=idle, memory_bytes=500, asked=True, answer=FULL)
    assert outcome(step(record, hard, traits=CUSTOM_LIKE, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)


@pytest.mark.parametrize(
    ("on_timeout", "expected"),
    [
        (OnTimeout.STOP, (S.STOPPING, A.STOP)),
        (OnTimeout.WAIT, (S.STOPPING, A.STOP)),
        (OnTimeout.RESUME, (S.RESUMING, A.RESUME)),
    ],
)
def test_idle_worker_whose_quiet_may_not_have_arrived_waits_no_longer_for_peers_than_drain_timeout(
    on_timeout: OnTimeout, expected: tuple[State, Action | None]
) -> None:
    """There may never be a peer again, and the worker may be quiet. With `wait`, no job is left."""
    record = draining(is_quiet=False, since=50.0)
    alone = seen(reading=reading(quiet=None, busy=0, idle=True), asked=True, answer=answer(others=0))
    at: dict[str, Any] = {"traits": CUSTOM_LIKE, "on_timeout": on_timeout}
    assert outcome(step(record, alone, now=3649.0, **at)) == (S.DRAINING, None)
    assert outcome(step(record, alone, now=3650.0, **at)) == expected


def test_kind_that_cannot_confirm_a_quiet_cannot_deny_it_either() -> None:
    record = draining()
    assert outcome(step(record, seen(reading=reading(quiet=False)), traits=CUSTOM_LIKE)) == (S.DRAINING, None)


def test_resume_is_repeated_until_it_was_sent() -> None:
    record = drain(S.RESUMING, quiet_attempts=1)
    assert outcome(step(record, seen(reading=reading()), traits=CUSTOM_LIKE)) == (S.RESUMING, A.RESUME)
    assert acknowledged(record, A.RESUME, Outcome.UNCERTAIN).state is S.RESUMING
    assert acknowledged(record, A.RESUME, Outcome.DONE).state is S.LET_GO


def test_worker_that_cannot_be_resumed_is_restarted() -> None:
    """The resume is repeated until the deadline; a worker that may take jobs needs peers to be stopped."""
    record = drain(S.RESUMING, quiet_attempts=1, since=0.0, began_at=0.0, deadline=60.0)
    at: dict[str, Any] = {"now": 60.0, "traits": CUSTOM_LIKE}
    assert step(record, seen(reading=reading()), now=59.0, traits=CUSTOM_LIKE).action is A.RESUME
    assert outcome(step(record, seen(reading=reading(quiet=True)), **at)) == (S.STOPPING, A.STOP)
    assert outcome(step(record, seen(reading=reading(quiet=False)), **at)) == (S.LET_GO, None)
    unknown = reading(quiet=None)
    assert step(record, seen(reading=unknown), **at).wants_answer
    alone = seen(reading=unknown, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone, **at)) == (S.RESUMING, None)


def test_hard_limit_ends_the_wait_for_a_resume() -> None:
    record = drain(S.RESUMING, quiet_attempts=1, since=NOW)
    at: dict[str, Any] = {"traits": CUSTOM_LIKE, "hard_limit_bytes": 400}
    over: dict[str, Any] = {"reading": reading(quiet=None), "memory_bytes": 401}
    assert step(record, seen(**over), **at).wants_answer, "the resume may have arrived unnoticed"
    for given in (answer(), FULL):
        stopped = step(record, seen(**over, asked=True, answer=given), **at)
        assert (outcome(stopped), stopped.cause) == ((S.STOPPING, A.STOP), StepCause.OVER_HARD_LIMIT)
    alone = seen(**over, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone, **at)) == (S.RESUMING, A.RESUME), "without peers it must work again"


def test_worker_that_cannot_be_resumed_is_not_stopped_while_a_protected_job_may_run() -> None:
    record = drain(S.RESUMING, quiet_attempts=1, since=0.0, began_at=0.0, deadline=60.0)
    at: dict[str, Any] = {"now": 60.0, "protect_jobs": ("Imp*",)}
    for protected in (reading(quiet=None, jobs=("Import",)), reading(quiet=None, jobs=None), None):
        observed = seen(reading=protected, asked=True, answer=answer())
        tried = step(record, observed, traits=CUSTOM_LIKE, **at)
        assert (outcome(tried), tried.holds_stop) == ((S.RESUMING, A.RESUME), False)
    free = seen(reading=reading(quiet=None, jobs=("Mail",)), asked=True, answer=answer())
    assert outcome(step(record, free, traits=CUSTOM_LIKE, **at)) == (S.STOPPING, A.STOP)


def test_worker_does_not_count_as_quiet_once_a_resume_was_sent() -> None:
    """The resume may have arrived unnoticed."""
    timed_out = step(
        draining(),
        seen(reading=reading(quiet=None)),
        now=9999.0,
        traits=CUSTOM_LIKE,
        on_timeout=OnTimeout.RESUME,
    )
    assert outcome(timed_out) == (S.RESUMING, A.RESUME) and not timed_out.drain.is_quiet
    assert timed_out.drain.is_out


def test_only_a_quiet_that_may_be_the_listeners_is_undone() -> None:
    """A person may have quieted it. After a damaged journal the quiet may be that of a lost drain."""
    observed = seen(reading=reading(quiet=None, busy=1))
    at: dict[str, Any] = {"now": 9999.0, **RESUMABLE}
    theirs = step(draining(quiet_attempts=0), observed, **at)
    assert outcome(theirs) == (S.RESUMING, None) and theirs.drain.is_quiet
    over = step(theirs.drain, observed, **at)
    assert (outcome(over), over.cause) == ((S.LET_GO, None), StepCause.ALREADY_QUIET)
    ours = step(draining(quiet_attempts=0, reason=Reason.ADOPTED), observed, **at)
    assert outcome(ours) == (S.RESUMING, A.RESUME) and not ours.drain.is_quiet
    assert outcome(step(ours.drain, observed, **at)) == (S.RESUMING, A.RESUME)


def test_kind_that_cannot_resume_is_never_asked_to() -> None:
    """The pool may have got another kind, or the kind may have lost its option to resume."""
    quiet = step(drain(S.RESUMING, quiet_attempts=1), seen(reading=reading(quiet=True)))
    assert outcome(quiet) == (S.STOPPING, A.STOP)
    unknown = step(drain(S.RESUMING, quiet_attempts=1), seen(reading=None))
    assert outcome(unknown) == (S.RESUMING, None)
    assert unknown.wants_answer


LOSSES = {"losses": ("stopwaitsecs=10 must be above 25",)}
RESUMABLE = {"traits": CUSTOM_LIKE, "on_timeout": OnTimeout.RESUME}


def test_stop_that_would_lose_the_running_jobs_waits_for_them() -> None:
    busy, idle = reading(quiet=True, busy=1), reading(quiet=True, busy=0, idle=True)
    early = step(draining(), seen(reading=busy), now=3599.0, **LOSSES)
    assert (outcome(early), early.holds_stop) == ((S.DRAINING, None), False)
    late = step(draining(), seen(reading=busy), now=3600.0, **LOSSES)
    assert (outcome(late), late.holds_stop) == ((S.DRAINING, None), True)
    assert outcome(step(draining(), seen(reading=idle), now=9999.0, **LOSSES)) == (S.STOPPING, A.STOP)
    mended = step(draining(), seen(reading=busy), now=3600.0)
    assert (outcome(mended), mended.holds_stop) == ((S.STOPPING, A.STOP), False)


@pytest.mark.parametrize("observed", [None, reading(quiet=None, busy=None), reading(quiet=True, busy=0)])
def test_stop_that_would_lose_jobs_waits_while_the_jobs_are_unknown(observed: Any) -> None:
    taken = step(draining(), seen(reading=observed), now=9999.0, **LOSSES)
    assert (outcome(taken), taken.holds_stop) == ((S.DRAINING, None), True)


def test_hard_limit_stops_even_where_that_loses_jobs() -> None:
    observed = seen(reading=reading(quiet=True, busy=1), memory_bytes=500)
    taken = step(draining(), observed, now=9999.0, hard_limit_bytes=400, **LOSSES)
    assert (outcome(taken), taken.holds_stop) == ((S.STOPPING, A.STOP), False)


def test_protected_job_and_on_timeout_wait_need_no_report_of_settings() -> None:
    observed = seen(reading=reading(quiet=True, jobs=("Import",)))
    assert not step(draining(), observed, now=9999.0, protect_jobs=("Imp*",), **LOSSES).holds_stop
    assert not step(draining(), observed, now=9999.0, on_timeout=OnTimeout.WAIT, **LOSSES).holds_stop


@pytest.mark.parametrize("observed", [None, reading(quiet=False)])
def test_stop_is_not_held_before_the_deadline_nor_where_the_drain_would_wait_anyway(observed: Any) -> None:
    """The quiet is not confirmed yet."""
    found = seen(reading=observed, asked=True, answer=answer())
    record = quieting(deadline=95.0)
    assert not step(record, found, now=94.0, **LOSSES).holds_stop
    assert not step(record, found, now=9999.0, on_timeout=OnTimeout.WAIT, **LOSSES).holds_stop


def test_quiet_is_still_sent_again_while_the_stop_waits() -> None:
    lost = seen(reading=reading(quiet=False), asked=True, answer=answer())
    taken = step(quieting(deadline=95.0), lost, now=9999.0, **LOSSES)
    assert (outcome(taken), taken.holds_stop) == ((S.QUIETING, A.QUIET), True)
    arrives = step(quieting(deadline=95.0), seen(reading=None), now=9999.0, **LOSSES)
    assert (outcome(arrives), arrives.holds_stop) == ((S.QUIETING, None), True)


def test_resume_still_happens_at_the_deadline_where_a_stop_would_lose_jobs() -> None:
    observed = seen(reading=reading(quiet=None, busy=1))
    taken = step(draining(), observed, now=3600.0, **RESUMABLE, **LOSSES)
    assert (outcome(taken), taken.holds_stop) == ((S.RESUMING, A.RESUME), False)
    never = step(draining(), observed, now=3600.0, on_timeout=OnTimeout.RESUME, **LOSSES)
    assert (outcome(never), never.holds_stop) == ((S.DRAINING, None), True)


def test_worker_that_cannot_be_resumed_is_not_stopped_while_that_loses_its_jobs() -> None:
    record = drain(S.RESUMING, quiet_attempts=1, since=0.0, began_at=0.0, deadline=60.0)
    at: dict[str, Any] = {"now": 60.0, **LOSSES}
    busy = seen(reading=reading(quiet=True, busy=1))
    tried = step(record, busy, traits=CUSTOM_LIKE, **at)
    assert (outcome(tried), tried.holds_stop) == ((S.RESUMING, A.RESUME), True)
    assert outcome(step(record, seen(reading=None), traits=CUSTOM_LIKE, **at)) == (S.RESUMING, A.RESUME)
    assert outcome(step(record, busy, **at)) == (S.RESUMING, None), "its kind cannot resume any more"
    idle = seen(reading=reading(quiet=True, busy=0, idle=True))
    assert outcome(step(record, idle, traits=CUSTOM_LIKE, **at)) == (S.STOPPING, A.STOP)
