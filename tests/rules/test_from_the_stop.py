"""A drain from its stop on, where others act at the same time, and where several conditions meet."""

from __future__ import annotations

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.drain import State, StopAnswer
from tests.builders import EPOCH, PID, reading
from tests.rules.steps import NOW, A, P, S, outcome, seen, settling, step, stopping


@pytest.mark.parametrize("state", [P.STARTING, P.RUNNING])
def test_process_of_an_operator_that_the_stop_did_not_reach_is_only_watched(state: ProcessState) -> None:
    """It began before supervisord's answer, but a process that got the stop is STOPPING or STOPPED."""
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_accepted_at=NOW - 10)
    taken = step(record, seen(state, pid=PID + 1, start=EPOCH - 20, looked_at=NOW))
    assert outcome(taken) == (S.SETTLING, None)
    assert taken.cause is StepCause.RESTARTED_BY_OTHERS


def test_kill_is_the_cause_also_where_the_stop_reached_a_new_process() -> None:
    """It may have cost a job: the operator needs to know that first."""
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_accepted_at=NOW - 10)
    stopped = seen(P.STOPPED, start=EPOCH - 20, stop=EPOCH, looked_at=NOW, is_kill_logged=True)
    taken = step(record, stopped)
    assert outcome(taken) == (S.STARTING, A.START)
    assert taken.cause is StepCause.KILLED


def test_lost_stop_is_held_and_not_given_up_while_coordination_does_not_answer() -> None:
    record = stopping(is_quiet=False, quiet_attempts=0)
    taken = step(record, seen(P.RUNNING, reading=reading(), asked=True, answer=None))
    assert outcome(taken) == (S.STOPPING, None)
    assert taken.cause is None


@pytest.mark.parametrize(("survivors", "state"), [((7,), S.SETTLING), ((), S.DONE)])
def test_drain_is_done_only_once_the_old_processes_are_gone(survivors: tuple[int, ...], state: State) -> None:
    """Their memory is not free before."""
    taken = step(settling(running_since=NOW - 10), seen(P.RUNNING, reading=reading(), survivors=survivors))
    assert outcome(taken) == (state, None)
