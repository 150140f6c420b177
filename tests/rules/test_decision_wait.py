"""A quiet worker whose jobs are waited for: idle, the time, the hard limit, the resume."""

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
def test_stop_follows_only_a_trustworthy_idle(
    what: str, observed: Any, expected: tuple[State, Action | None]
) -> None:
    assert outcome(step(draining(), seen(reading=observed))) == expected, what


def test_hard_limit_cuts_the_wait_short() -> None:
    observed = seen(reading=reading(quiet=True, busy=1), memory_bytes=500)
    assert outcome(step(draining(), observed, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)
    at_it = seen(reading=reading(quiet=True, busy=1), memory_bytes=400)
    assert outcome(step(draining(), at_it, hard_limit_bytes=400)) == (S.DRAINING, None)
    unknown = seen(reading=reading(quiet=True, busy=1), memory_bytes=None)
    assert outcome(step(draining(), unknown, hard_limit_bytes=400)) == (S.DRAINING, None)


@pytest.mark.parametrize(
    ("on_timeout", "traits", "expected"),
    [
        (OnTimeout.STOP, CUSTOM_LIKE, (S.STOPPING, A.STOP)),
        (OnTimeout.WAIT, CUSTOM_LIKE, (S.DRAINING, None)),
        (OnTimeout.RESUME, CUSTOM_LIKE, (S.RESUMING, A.RESUME)),
        (OnTimeout.RESUME, PLAIN_LIKE, (S.STOPPING, A.STOP)),
    ],
)
def test_drain_timeout_does_what_the_pool_says(
    on_timeout: OnTimeout, traits: Any, expected: tuple[State, Action | None]
) -> None:
    observed = seen(reading=reading(quiet=None, busy=1))
    early = step(draining(), observed, now=3599.0, traits=traits, on_timeout=on_timeout)
    assert outcome(early) == (S.DRAINING, None)
    late = step(draining(), observed, now=3600.0, traits=traits, on_timeout=on_timeout)
    assert outcome(late) == expected


@pytest.mark.parametrize("jobs", [("Import", "Mail"), None])
def test_drain_does_not_time_out_while_a_protected_job_runs_or_may_run(jobs: Any) -> None:
    observed = seen(reading=reading(quiet=True, jobs=jobs))
    assert outcome(step(draining(), observed, now=9999.0, protect_jobs=("Imp*",))) == (S.DRAINING, None)
    free = seen(reading=reading(quiet=True, jobs=("Mail",)))
    assert outcome(step(draining(), free, now=9999.0, protect_jobs=("Imp*",))) == (S.STOPPING, A.STOP)


def test_no_reading_at_all_counts_as_a_protected_job() -> None:
    assert outcome(step(draining(), seen(reading=None), now=9999.0, protect_jobs=("Imp*",))) == (
        S.DRAINING,
        None,
    )


def test_stop_tells_how_long_the_worker_took_no_new_jobs() -> None:
    idle = seen(reading=reading(quiet=True, busy=0, idle=True))
    assert step(draining(quiet_sent_at=NOW - 48.0), idle).drain.quiet_seconds == 48.0
    assert step(draining(quiet_sent_at=None), idle).drain.quiet_seconds is None


def test_drain_of_an_unconfirmed_quiet_that_times_out_counts_as_quiet() -> None:
    """Whether the quiet arrived cannot be learnt any more, and waiting for peers would have no end."""
    taken = step(draining(is_quiet=False), seen(reading=reading(quiet=None)), now=9999.0, traits=CUSTOM_LIKE)
    assert outcome(taken) == (S.STOPPING, A.STOP)
    assert taken.drain.is_quiet and not taken.wants_answer


def test_quiet_that_nothing_confirms_and_nobody_acknowledged_needs_peers_to_stop() -> None:
    """Killed between save and act, the listener does not know whether the worker still takes jobs."""
    record = draining(is_quiet=False)
    idle = reading(quiet=None, busy=0, idle=True)
    assert step(record, seen(reading=idle), traits=CUSTOM_LIKE).wants_answer
    alone = seen(reading=idle, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone, traits=CUSTOM_LIKE)) == (S.DRAINING, None)


def test_kind_that_cannot_confirm_a_quiet_cannot_deny_it_either() -> None:
    record = draining()
    assert outcome(step(record, seen(reading=reading(quiet=False)), traits=CUSTOM_LIKE)) == (S.DRAINING, None)


def test_resume_is_repeated_until_it_went_out() -> None:
    record = drain(S.RESUMING, quiet_attempts=1)
    assert outcome(step(record, seen(reading=reading()), traits=CUSTOM_LIKE)) == (S.RESUMING, A.RESUME)
    assert acknowledged(record, A.RESUME, Outcome.UNCERTAIN).state is S.RESUMING
    assert acknowledged(record, A.RESUME, Outcome.DONE).state is S.LET_GO


def test_what_cannot_be_resumed_goes_through_to_the_restart() -> None:
    """Tried for as long as the drain had; what may take jobs again is stopped only where peers suffice."""
    record = drain(S.RESUMING, quiet_attempts=1, since=0.0, began_at=0.0, deadline=60.0)
    at: dict[str, Any] = {"now": 60.0, "traits": CUSTOM_LIKE}
    assert step(record, seen(reading=reading()), now=59.0, traits=CUSTOM_LIKE).action is A.RESUME
    assert outcome(step(record, seen(reading=reading(quiet=True)), **at)) == (S.STOPPING, A.STOP)
    assert outcome(step(record, seen(reading=reading(quiet=False)), **at)) == (S.LET_GO, None)
    unknown = reading(quiet=None)
    assert step(record, seen(reading=unknown), **at).wants_answer
    alone = seen(reading=unknown, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone, **at)) == (S.RESUMING, None)


def test_worker_that_is_being_resumed_counts_as_quiet_no_more() -> None:
    """The resume may have arrived, and nobody may know."""
    timed_out = step(
        draining(),
        seen(reading=reading(quiet=None)),
        now=9999.0,
        traits=CUSTOM_LIKE,
        on_timeout=OnTimeout.RESUME,
    )
    assert outcome(timed_out) == (S.RESUMING, A.RESUME) and not timed_out.drain.is_quiet
    assert timed_out.drain.is_out


def test_kind_that_cannot_resume_is_told_nothing_of_the_sort() -> None:
    """on_timeout was another kind's, or an option of this one went."""
    quiet = step(drain(S.RESUMING, quiet_attempts=1), seen(reading=reading(quiet=True)))
    assert outcome(quiet) == (S.STOPPING, A.STOP)
    unknown = step(drain(S.RESUMING, quiet_attempts=1), seen(reading=None))
    assert outcome(unknown) == (S.RESUMING, None)
    assert unknown.wants_answer
