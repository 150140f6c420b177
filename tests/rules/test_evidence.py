"""The command `before_stop`: once in a drain, for a worker that is quiet and idle; it never costs a job."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import NEEDS_JOURNAL, Action, Drain, Outcome, State
from supervisor_memkill.rules.evidence import END_SECONDS, Evidence, EvidenceSeen, EvidenceState
from supervisor_memkill.rules.step import OnTimeout, Seen, Step
from supervisor_memkill.workers.contract import Reading
from tests.builders import CUSTOM_LIKE, PLAIN_LIKE, answer, reading
from tests.rules.steps import NOW, acknowledged, draining, outcome, quieting, seen, step

A, S, E = Action, State, EvidenceState
LIMIT = 30.0
RUNS, SUCCEEDED, FAILED = EvidenceSeen(), EvidenceSeen(2.0), EvidenceSeen(2.0, "status 1")


def idle(**values: Any) -> Reading:
    return reading(**{"quiet": True, "busy": 0, "idle": True, **values})


def busy(**values: Any) -> Reading:
    return reading(**{"quiet": True, "busy": 1, **values})


def runs(**values: Any) -> Evidence:
    return Evidence(**{"state": E.RUNS, "began_at": NOW - 1, **values})


def taken(record: Drain, what: Seen, **values: Any) -> Step:
    return step(record, what, **{"before_stop_seconds": LIMIT, **values})


def evidence_of(done: Step) -> Evidence:
    assert done.drain.evidence is not None
    return done.drain.evidence


# --- when it begins -----------------------------------------------------------------------------


def test_it_runs_when_the_worker_is_quiet_and_idle_and_the_stop_waits() -> None:
    done = taken(draining(), seen(reading=idle()))
    assert outcome(done) == (S.DRAINING, A.EVIDENCE)
    assert evidence_of(done) == Evidence(E.RUNS, NOW)


def test_without_a_command_the_stop_follows_at_once() -> None:
    assert outcome(step(draining(), seen(reading=idle()))) == (S.STOPPING, A.STOP)


def test_it_waits_for_running_jobs() -> None:
    assert outcome(taken(draining(), seen(reading=busy()))) == (S.DRAINING, None)


def test_unknown_is_not_idle() -> None:
    assert outcome(taken(draining(), seen(reading=None))) == (S.DRAINING, None)


def test_worker_whose_quiet_is_uncertain_gets_no_command() -> None:
    """It may take a job in the middle of it."""
    record = draining(is_quiet=False)
    found = seen(reading=idle(quiet=None), asked=True, answer=answer())
    assert outcome(taken(record, found, traits=CUSTOM_LIKE)) == (S.STOPPING, A.STOP)


def test_above_the_hard_limit_it_is_left_out() -> None:
    found = seen(reading=idle(), memory_bytes=900)
    assert outcome(taken(draining(), found, hard_limit_bytes=800)) == (S.STOPPING, A.STOP)


def test_stop_of_a_worker_that_is_not_idle_leaves_it_out() -> None:
    done = taken(draining(deadline=NOW), seen(reading=busy()))
    assert outcome(done) == (S.STOPPING, A.STOP)
    assert done.cause is StepCause.DRAIN_TIMEOUT
    assert done.drain.evidence is None


def test_while_the_machine_has_hardly_any_memory_it_is_left_out() -> None:
    """Whatever the drain is for: the command itself would take memory, and time."""
    for reason in (Reason.MAX_RSS, Reason.MIN_FREE):
        done = taken(draining(reason=reason), seen(reading=idle()), is_machine_short=True)
        assert outcome(done) == (S.STOPPING, A.STOP)


def test_kind_that_drains_by_stopping_has_no_moment_for_it() -> None:
    record = dataclasses.replace(draining(), state=S.ASKING, quiet_attempts=0, is_quiet=False)
    found = seen(reading=reading(), asked=True, answer=answer())
    assert outcome(taken(record, found, traits=PLAIN_LIKE)) == (S.STOPPING, A.STOP)


def test_journal_has_it_before_it_begins() -> None:
    assert A.EVIDENCE in NEEDS_JOURNAL


# --- while it runs ------------------------------------------------------------------------------


def test_drain_waits_while_it_runs_and_does_not_run_it_again() -> None:
    done = taken(draining(evidence=runs()), seen(reading=idle(), evidence=RUNS))
    assert outcome(done) == (S.DRAINING, None)
    assert evidence_of(done) == runs()


@pytest.mark.parametrize("on_timeout", OnTimeout)
def test_drain_timeout_waits_for_it(on_timeout: OnTimeout) -> None:
    """The command may pause the process: a reading that fails then must not make the drain stop or resume."""
    record = draining(evidence=runs(), deadline=NOW)
    done = taken(record, seen(reading=None, evidence=RUNS), on_timeout=on_timeout, traits=CUSTOM_LIKE)
    assert outcome(done) == (S.DRAINING, None)
    assert not done.holds_stop


def test_it_is_given_up_when_its_own_limit_did_not_end_it() -> None:
    """Whatever its guard does, no worker stays quiet for longer than that."""
    last = NOW - LIMIT - END_SECONDS
    waits = taken(draining(evidence=runs(began_at=last + 0.1)), seen(reading=idle(), evidence=RUNS))
    assert outcome(waits) == (S.DRAINING, None)
    done = taken(draining(evidence=runs(began_at=last)), seen(reading=idle(), evidence=RUNS))
    assert outcome(done) == (S.STOPPING, A.STOP)
    assert evidence_of(done).state is E.GIVEN_UP


def test_command_that_is_not_configured_any_more_is_not_waited_for() -> None:
    found = seen(reading=idle(), evidence=RUNS)
    waits = taken(draining(evidence=runs()), found, before_stop_seconds=None)
    assert outcome(waits) == (S.DRAINING, None)
    done = taken(draining(evidence=runs(began_at=NOW - END_SECONDS)), found, before_stop_seconds=None)
    assert outcome(done) == (S.STOPPING, A.STOP)


def test_hard_limit_does_not_wait_for_it() -> None:
    found = seen(reading=idle(), evidence=RUNS, memory_bytes=900)
    done = taken(draining(evidence=runs()), found, hard_limit_bytes=800)
    assert outcome(done) == (S.STOPPING, A.STOP)
    assert evidence_of(done).state is E.GIVEN_UP


def test_short_machine_does_not_wait_for_it() -> None:
    found = seen(reading=idle(), evidence=RUNS)
    done = taken(draining(evidence=runs()), found, is_machine_short=True)
    assert outcome(done) == (S.STOPPING, A.STOP)
    assert evidence_of(done).state is E.GIVEN_UP


def test_worker_that_takes_jobs_again_meanwhile_is_not_stopped() -> None:
    found = seen(reading=reading(quiet=False), evidence=RUNS)
    done = taken(draining(evidence=runs()), found)
    assert outcome(done) == (S.QUIETING, None)
    assert evidence_of(done).runs, "it is not run a second time"


@pytest.mark.parametrize("state", [ProcessState.STOPPED, ProcessState.EXITED])
def test_it_is_given_up_with_its_process(state: ProcessState) -> None:
    done = taken(draining(evidence=runs()), seen(state, evidence=RUNS))
    assert done.drain.state in (S.LET_GO, S.STARTING)
    assert evidence_of(done).state is E.GIVEN_UP


def test_it_is_given_up_for_a_worker_that_somebody_restarted() -> None:
    done = taken(draining(evidence=runs()), seen(pid=200, start=5, evidence=RUNS))
    assert done.drain.state is S.SETTLING
    assert evidence_of(done).state is E.GIVEN_UP


def test_it_is_given_up_for_a_worker_that_left_the_configuration() -> None:
    done = taken(draining(evidence=runs()), Seen(None, evidence=RUNS))
    assert done.drain.state is S.LET_GO
    assert evidence_of(done).state is E.GIVEN_UP


# --- after it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "state"), [(SUCCEEDED, E.TAKEN), (FAILED, E.FAILED)])
def test_idle_worker_is_stopped_after_it_whether_it_succeeded_or_not(
    end: EvidenceSeen, state: EvidenceState
) -> None:
    done = taken(draining(evidence=runs()), seen(reading=idle(), evidence=end))
    assert outcome(done) == (S.STOPPING, A.STOP)
    assert evidence_of(done) == Evidence(state, NOW - 1, 2.0, end.error)


def test_job_that_came_meanwhile_is_waited_for_and_the_command_not_repeated() -> None:
    waits = taken(draining(evidence=runs()), seen(reading=busy(), evidence=SUCCEEDED))
    assert outcome(waits) == (S.DRAINING, None)
    assert evidence_of(waits).state is E.TAKEN
    done = taken(waits.drain, seen(reading=idle(), evidence=SUCCEEDED))
    assert outcome(done) == (S.STOPPING, A.STOP)


def test_drain_timeout_counts_again_after_it() -> None:
    done = taken(draining(evidence=runs(), deadline=NOW), seen(reading=busy(), evidence=FAILED))
    assert outcome(done) == (S.STOPPING, A.STOP)


def test_command_of_a_listener_that_died_is_lost_and_the_drain_goes_on_at_once() -> None:
    done = taken(draining(evidence=runs()), seen(reading=idle()))
    assert outcome(done) == (S.STOPPING, A.STOP)
    assert evidence_of(done).state is E.LOST


def test_evidence_that_is_over_stays_as_it_is() -> None:
    over = runs(state=E.TAKEN, seconds=2.0)
    done = taken(draining(evidence=over), seen(reading=idle()))
    assert evidence_of(done) == over


@pytest.mark.parametrize("record", [draining, quieting])
def test_process_that_the_command_left_suspended_is_continued(record: Any) -> None:
    """It would never show that it is idle."""
    over = runs(state=E.FAILED, seconds=2.0)
    assert taken(record(evidence=over), seen(reading=busy(), is_suspended=True)).action is A.THAW


def test_process_that_is_suspended_while_the_command_runs_is_left_alone() -> None:
    found = seen(reading=busy(), is_suspended=True, evidence=RUNS)
    assert taken(draining(evidence=runs()), found).action is None


@pytest.mark.parametrize(("is_suspended", "action"), [(True, A.STOP), (False, A.THAW)])
def test_process_that_its_quiet_suspended_stays_suspended_after_the_command(
    is_suspended: bool, action: Action
) -> None:
    """With ``quiet_signal = STOP``: SIGCONT would let it take jobs between the command and the stop."""
    begun = taken(draining(), seen(reading=idle(), is_suspended=is_suspended))
    assert begun.action is A.EVIDENCE
    after = taken(begun.drain, seen(reading=idle(), is_suspended=True, evidence=SUCCEEDED))
    assert after.action is action


def test_process_of_a_drain_without_a_command_is_not_continued() -> None:
    """Somebody else suspended it."""
    assert taken(draining(), seen(reading=busy(), is_suspended=True)).action is None


@pytest.mark.parametrize("came", [Outcome.TOO_LATE, Outcome.NOT_SENT])
def test_command_that_certainly_was_not_begun_may_be_begun_later(came: Outcome) -> None:
    begun = taken(draining(), seen(reading=idle())).drain
    assert acknowledged(begun, A.EVIDENCE, came, before=draining()).evidence is None
    assert acknowledged(begun, A.EVIDENCE, Outcome.DONE, before=draining()).evidence == Evidence(E.RUNS, NOW)
