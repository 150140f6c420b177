"""The record of a drain: its transitions, the outcome of an action, its JSON."""

from __future__ import annotations

import pytest

from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.drain import (
    COMES_BACK_SECONDS,
    FAILED_STARTS,
    MAX_STOP_MARGIN_SECONDS,
    OVER,
    TRANSITIONS,
    Action,
    Drain,
    IllegalTransitionError,
    Outcome,
    StopAnswer,
    move,
)
from tests.builders import (
    EPOCH,
    drain,
    reading,
)
from tests.rules.steps import (
    NOW,
    A,
    P,
    S,
    acknowledged,
    draining,
    quieting,
    seen,
    settling,
    starting,
    step,
    stopping,
)

FAILED, NO_START, NOT_UP = (
    "its start failed, or its new process ended by itself or was stopped",
    "it was not seen running",
    "its new process is not in service",
)
SETTLE = 10.0


@pytest.mark.parametrize(
    ("record", "seconds", "why"),
    [
        (stopping(start_attempts=FAILED_STARTS + 1), 9999.0, ""),
        (stopping(start_attempts=FAILED_STARTS + 1, running_since=90.0), 0.0, FAILED),
        (draining(start_attempts=FAILED_STARTS + 1), 9999.0, ""),
        (drain(S.LET_GO, start_attempts=FAILED_STARTS + 1, running_since=90.0), 9999.0, ""),
        (starting(start_attempts=FAILED_STARTS), COMES_BACK_SECONDS, ""),
        (starting(start_attempts=FAILED_STARTS), COMES_BACK_SECONDS + 1, NO_START),
        (starting(start_attempts=FAILED_STARTS + 1), 0.0, FAILED),
        (settling(start_attempts=FAILED_STARTS), COMES_BACK_SECONDS + SETTLE, ""),
        (settling(start_attempts=FAILED_STARTS), COMES_BACK_SECONDS + SETTLE + 1, NOT_UP),
        (settling(start_attempts=FAILED_STARTS + 1), 0.0, FAILED),
    ],
)
def test_pool_learns_when_a_worker_does_not_come_back(record: Drain, seconds: float, why: str) -> None:
    assert record.why_not_back(SETTLE, record.since + seconds) == why


def test_unlisted_transition_raises() -> None:
    with pytest.raises(IllegalTransitionError):
        move(drain(S.DONE), S.QUIETING, NOW)


def test_every_state_leads_to_an_end() -> None:
    """Each state has a way to DONE or LET_GO, so the table can leave no drain stuck."""
    ends = {state for state in S if not TRANSITIONS[state]}
    assert ends == OVER
    leading = set(ends)
    while grown := {s for s in S if TRANSITIONS[s] & leading} - leading:
        leading |= grown
    assert leading == set(S)


@pytest.mark.parametrize(
    ("record", "touched", "is_out"),
    [
        (drain(S.ASKING), False, False),
        (drain(S.ASKING, is_quiet=True), True, True),
        (quieting(), True, False),
        (draining(), True, True),
        (draining(is_quiet=False), True, False),
        (stopping(is_quiet=False, quiet_attempts=0), True, False),
        (stopping(is_quiet=False, quiet_attempts=0, stop_answer=StopAnswer.ACCEPTED), True, True),
        (stopping(), True, True),
        (starting(), False, True),
        (settling(), True, True),
    ],
)
def test_record_knows_whether_the_worker_was_touched_and_is_out_of_service(
    record: Drain, touched: bool, is_out: bool
) -> None:
    assert (record.touched, record.is_out) == (touched, is_out)


def test_drain_ends_when_its_first_quiet_was_not_sent() -> None:
    """A first quiet that certainly reached no process ends the drain."""
    assert acknowledged(quieting(), A.QUIET, Outcome.NOT_SENT).state is S.LET_GO
    assert acknowledged(quieting(), A.QUIET, Outcome.UNCERTAIN).state is S.QUIETING
    assert acknowledged(quieting(quiet_attempts=2), A.QUIET, Outcome.NOT_SENT).state is S.QUIETING


def test_quiet_that_was_sent_is_acknowledged_from_then_on() -> None:
    sent = acknowledged(quieting(), A.QUIET, Outcome.DONE)
    assert (sent.state, sent.quiet_attempts) == (S.QUIETING, 1)
    assert (sent.quiet_acknowledged, sent.quiet_sent_at) == (True, NOW)


def test_accepted_stop_is_the_listeners_from_then_on() -> None:
    stop = acknowledged(stopping(), A.STOP, Outcome.DONE).stop
    assert (stop.answer, stop.accepted_at) == (StopAnswer.ACCEPTED, NOW)


def test_stop_that_came_too_late_has_twice_the_time_at_the_next_attempt() -> None:
    """A slow disk or machine must not prevent the stop for ever; the time that it may take has an end."""
    record, margins = stopping(stop_attempts=0), []
    for _ in range(5):
        record = acknowledged(stopping(), A.STOP, Outcome.TOO_LATE, record)
        assert record.stop.attempts == 0
        margins.append(record.stop.margin_seconds)
    assert margins == [10.0, 20.0, 40.0, MAX_STOP_MARGIN_SECONDS, MAX_STOP_MARGIN_SECONDS]
    assert acknowledged(stopping(), A.STOP, Outcome.NOT_SENT, record).stop == record.stop


def test_refused_stop_counts_as_somebody_elses_only_at_the_first_attempt() -> None:
    first = acknowledged(stopping(), A.STOP, Outcome.REFUSED)
    assert first.stop.answer is StopAnswer.REFUSED
    later = acknowledged(stopping(stop_attempts=2), A.STOP, Outcome.REFUSED)
    assert later.stop.answer is StopAnswer.NONE


def test_lost_answer_to_a_stop_leaves_the_record_unchanged() -> None:
    assert acknowledged(stopping(), A.STOP, Outcome.UNCERTAIN) == stopping()


def test_unsent_stop_leaves_the_record_of_earlier_stops_unchanged() -> None:
    """The time of an unsent stop must not make the operator's stop look like ours."""
    before = stopping(stop_answer=StopAnswer.REFUSED, stop_asked_epoch=EPOCH, stop_last_asked_epoch=EPOCH + 9)
    again = step(before, seen(P.RUNNING))
    assert again.action is A.STOP and again.drain != before
    assert acknowledged(again.drain, A.STOP, Outcome.NOT_SENT, before) == before
    first = step(draining(), seen(reading=reading(quiet=True, busy=0, idle=True))).drain
    assert (first.state, first.stop.attempts) == (S.STOPPING, 1)
    unsent = acknowledged(first, A.STOP, Outcome.NOT_SENT, draining()).stop
    assert (unsent.attempts, unsent.cause) == (0, StepCause.IDLE)


@pytest.mark.parametrize("action", [A.START, A.THAW])
@pytest.mark.parametrize("came", list(Outcome))
def test_outcome_of_a_start_or_a_thaw_does_not_change_the_record_of_the_stop(
    action: Action, came: Outcome
) -> None:
    record = drain(S.STARTING, stop_attempts=1, stop_answer=StopAnswer.NONE)
    assert acknowledged(record, action, came) == record
