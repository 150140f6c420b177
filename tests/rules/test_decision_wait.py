"""A quiet worker with running jobs: idle, the deadline, the hard limit, the resume."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.rules.decision import OnTimeout
from supervisor_memkill.rules.drain import (
    Action,
    Outcome,
    State,
)
from tests.builders import (
    CUSTOM_LIKE,
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
    alone = seen(reading=idle, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone, traits=CUSTOM_LIKE)) == (S.DRAINING, None)


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


def test_kind_that_cannot_resume_is_never_asked_to() -> None:
    """The pool may have got another kind, or the kind may have lost its option to resume."""
    quiet = step(drain(S.RESUMING, quiet_attempts=1), seen(reading=reading(quiet=True)))
    assert outcome(quiet) == (S.STOPPING, A.STOP)
    unknown = step(drain(S.RESUMING, quiet_attempts=1), seen(reading=None))
    assert outcome(unknown) == (S.RESUMING, None)
    assert unknown.wants_answer
