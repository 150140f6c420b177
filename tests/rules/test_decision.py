"""How a drain begins, and what holds in every state."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import (
    OVER,
    Action,
    State,
)
from supervisor_memkill.rules.step import Seen
from supervisor_memkill.workers.contract import Reading, Traits
from tests.builders import (
    EPOCH,
    FULL,
    PID,
    PLAIN_LIKE,
    SIDEKIQ_LIKE,
    START,
    answer,
    drain,
    reading,
)
from tests.rules.steps import (
    A,
    P,
    S,
    outcome,
    seen,
    step,
)

BEFORE_STOP = (S.QUIETING, S.DRAINING, S.RESUMING)
UNDER_WAY = tuple(state for state in S if state not in OVER)


@pytest.mark.parametrize("state", UNDER_WAY)
def test_worker_that_was_removed_from_the_configuration_is_let_go(state: State) -> None:
    assert outcome(step(drain(state), Seen(None))) == (S.LET_GO, None)


@pytest.mark.parametrize("state", [state for state in UNDER_WAY if state is not S.ASKING])
@pytest.mark.parametrize("process_state", [P.UNKNOWN, P.BACKOFF, P.STOPPING])
def test_drain_waits_while_the_process_changes_its_state(state: State, process_state: ProcessState) -> None:
    record = drain(state, quiet_attempts=1, stop_attempts=1)
    taken = step(record, seen(process_state, stop=EPOCH))
    assert outcome(taken) == (state, None)


def test_drain_does_not_begin_before_coordination_was_asked() -> None:
    taken = step(drain(S.ASKING), seen(reading=reading()))
    assert taken.wants_answer
    assert outcome(taken) == (S.ASKING, None)


@pytest.mark.parametrize(
    "now_read",
    [
        None,
        reading(recognised=None),
        reading(recognised=False),
        reading(hold="its scheduler is slow"),
    ],
    ids=["nothing", "unknown", "another process", "not now"],
)
@pytest.mark.parametrize("traits", [SIDEKIQ_LIKE, PLAIN_LIKE])
def test_drain_does_not_begin_unless_the_reading_allows_it(now_read: Reading | None, traits: Traits) -> None:
    """The check is a moment old when the slot is granted."""
    record = drain(S.ASKING, reason=Reason.HARD_MAX_RSS)
    observed = seen(reading=now_read, asked=True, answer=answer())
    taken = step(record, observed, traits=traits, hard_limit_bytes=250)
    assert outcome(taken) == (S.LET_GO, None)


def test_drain_does_not_begin_while_coordination_does_not_answer() -> None:
    taken = step(drain(S.ASKING), seen(reading=reading(), asked=True))
    assert outcome(taken) == (S.ASKING, None)
    assert not taken.wants_answer


@pytest.mark.parametrize(
    ("what", "given", "cause"),
    [
        ("granted", {}, None),
        ("refused", {"answer": answer(Cause.SLOTS_TAKEN)}, StepCause.REFUSED),
        ("held, peers gone", {"answer": answer(others=0)}, StepCause.TOO_FEW_PEERS),
        ("held, another slot since", {"answer": FULL}, StepCause.REFUSED),
        ("memory fell", {"memory_bytes": 200}, StepCause.NOT_OVER_LIMIT),
        ("memory unknown", {"memory_bytes": None}, StepCause.NOT_OVER_LIMIT),
        ("another pid", {"pid": PID + 1}, StepCause.PROCESS_CHANGED),
        ("another start", {"start": START + 1}, StepCause.PROCESS_CHANGED),
    ],
)
def test_drain_begins_only_if_nothing_changed_since_the_check(
    what: str, given: dict[str, Any], cause: StepCause | None
) -> None:
    observed = seen(**{"reading": reading(), "asked": True, "answer": answer(), **given})
    taken = step(drain(S.ASKING), observed)
    assert outcome(taken) == ((S.LET_GO, None) if cause else (S.QUIETING, A.QUIET)), what
    assert taken.cause is cause, what


@pytest.mark.parametrize("reason", [Reason.MAX_AGE, Reason.RESTART, Reason.MAX_TOTAL_RSS])
@pytest.mark.parametrize("memory_bytes", [200, None])
def test_drain_that_its_own_memory_did_not_ask_for_begins_whatever_the_memory_is(
    reason: Reason, memory_bytes: int | None
) -> None:
    observed = seen(reading=reading(), asked=True, answer=answer(), memory_bytes=memory_bytes)
    assert outcome(step(drain(S.ASKING, reason=reason), observed)) == (S.QUIETING, A.QUIET)


@pytest.mark.parametrize("state", [P.STARTING, P.STOPPING, P.STOPPED, P.EXITED, P.BACKOFF, P.FATAL])
def test_only_a_running_process_is_drained(state: ProcessState) -> None:
    """Somebody may have stopped or started it while the slot was asked for."""
    observed = seen(state, reading=reading(), asked=True, answer=answer())
    assert outcome(step(drain(S.ASKING), observed)) == (S.LET_GO, None)


@pytest.mark.parametrize(
    ("memory_bytes", "expected"), [(300, (S.LET_GO, None)), (500, (S.STOPPING, A.STOP))], ids=["soft", "hard"]
)
def test_worker_with_a_protected_job_is_drained_only_over_the_hard_limit(
    memory_bytes: int, expected: tuple[State, Action | None]
) -> None:
    observed = seen(reading=reading(jobs=("Import",)), asked=True, answer=answer(), memory_bytes=memory_bytes)
    taken = step(drain(S.ASKING), observed, hard_limit_bytes=400, protect_jobs=("Imp*",))
    assert outcome(taken) == expected


def test_kind_without_a_quiet_drains_by_stopping() -> None:
    observed = seen(reading=reading(), asked=True, answer=answer())
    taken = step(drain(S.ASKING), observed, traits=PLAIN_LIKE)
    assert (outcome(taken), taken.cause) == ((S.STOPPING, A.STOP), StepCause.DRAINS_BY_STOPPING)


@pytest.mark.parametrize("given", [answer(), FULL])
def test_worker_over_the_hard_limit_is_stopped_without_a_quiet(given: Answer) -> None:
    observed = seen(reading=reading(), asked=True, answer=given, memory_bytes=500)
    taken = step(drain(S.ASKING), observed, hard_limit_bytes=400)
    assert (outcome(taken), taken.cause) == ((S.STOPPING, A.STOP), StepCause.OVER_HARD_LIMIT)


def test_slot_for_the_hard_limit_is_not_used_below_it() -> None:
    """The second look finds it over max_rss only: it has to wait for a slot like any other."""
    observed = seen(reading=reading(), asked=True, answer=answer(), memory_bytes=300)
    record = drain(S.ASKING, reason=Reason.HARD_MAX_RSS)
    assert outcome(step(record, observed, hard_limit_bytes=400)) == (S.LET_GO, None)
    over = seen(reading=reading(), asked=True, answer=answer(), memory_bytes=401)
    assert outcome(step(record, over, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)


def test_worker_that_is_already_quiet_gets_no_second_quiet() -> None:
    observed = seen(reading=reading(quiet=True), asked=True, answer=answer(others=0))
    assert outcome(step(drain(S.ASKING, is_quiet=True), observed)) == (S.DRAINING, None)


def test_worker_that_is_already_quiet_is_let_go_when_its_slot_is_refused() -> None:
    observed = seen(reading=reading(quiet=True), asked=True, answer=answer(Cause.SLOTS_TAKEN))
    taken = step(drain(S.ASKING, is_quiet=True), observed)
    assert (outcome(taken), taken.cause) == ((S.LET_GO, None), StepCause.REFUSED)


@pytest.mark.parametrize("state", BEFORE_STOP)
def test_worker_that_somebody_stopped_before_our_stop_stays_stopped(state: State) -> None:
    record = drain(state, quiet_attempts=1)
    assert outcome(step(record, seen(P.STOPPED, stop=EPOCH))) == (S.LET_GO, None)


@pytest.mark.parametrize("state", BEFORE_STOP)
@pytest.mark.parametrize("ended", [P.EXITED, P.FATAL])
def test_worker_that_ends_after_our_quiet_is_started(state: State, ended: ProcessState) -> None:
    record = drain(state, quiet_attempts=1)
    assert outcome(step(record, seen(ended, stop=EPOCH))) == (S.STARTING, A.START)


@pytest.mark.parametrize("state", BEFORE_STOP)
@pytest.mark.parametrize("ended", [P.EXITED, P.FATAL])
def test_worker_that_ends_after_a_quiet_of_somebody_else_is_not_started(
    state: State, ended: ProcessState
) -> None:
    """The listener did nothing to it, unless a damaged journal lost the drain that quieted it."""
    taken = step(drain(state, is_quiet=True), seen(ended, stop=EPOCH))
    assert (outcome(taken), taken.cause) == ((S.LET_GO, None), StepCause.ENDED_UNTOUCHED)
    adopted = drain(state, is_quiet=True, reason=Reason.ADOPTED)
    assert outcome(step(adopted, seen(ended, stop=EPOCH))) == (S.STARTING, A.START)


@pytest.mark.parametrize("state", [*BEFORE_STOP, S.STOPPING])
@pytest.mark.parametrize("new", [{"pid": PID + 1}, {"start": START + 60}])
def test_worker_that_somebody_restarted_is_only_watched(state: State, new: dict[str, Any]) -> None:
    taken = step(drain(state, quiet_attempts=1), seen(reading=reading(idle=True, quiet=True), **new))
    assert outcome(taken) == (S.SETTLING, None)
    assert (taken.drain.pid, taken.drain.start) == (new.get("pid", PID), new.get("start", START))


@pytest.mark.parametrize("state", [S.QUIETING, S.DRAINING, S.RESUMING])
@pytest.mark.parametrize("process", [P.STOPPING, P.STARTING, P.BACKOFF])
def test_drain_waits_for_a_state_change_even_after_its_deadline(state: State, process: ProcessState) -> None:
    record = drain(state, is_quiet=True, quiet_attempts=1)
    assert outcome(step(record, seen(process), now=9999.0)) == (state, None)
