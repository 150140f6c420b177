"""The record of a drain: its moves, what came of an act, its JSON."""

from __future__ import annotations

import pytest

from supervisor_memkill.rules.drain import (
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


def test_pair_that_the_table_does_not_list_raises() -> None:
    with pytest.raises(IllegalTransitionError):
        move(drain(S.DONE), S.QUIETING, NOW)


def test_every_state_leads_to_an_end() -> None:
    """From each state there is a way to DONE or LET_GO, so that no drain can be stuck by the table."""
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
def test_record_tells_whether_the_worker_was_touched_and_is_out(
    record: Drain, touched: bool, is_out: bool
) -> None:
    assert (record.touched, record.is_out) == (touched, is_out)


def test_nothing_done_when_the_quiet_did_not_go_out() -> None:
    """A first quiet that certainly reached nobody ends the drain; nothing is owed."""
    assert acknowledged(quieting(), A.QUIET, Outcome.NOT_SENT).state is S.LET_GO
    assert acknowledged(quieting(), A.QUIET, Outcome.UNCERTAIN).state is S.QUIETING
    assert acknowledged(quieting(quiet_attempts=2), A.QUIET, Outcome.NOT_SENT).state is S.QUIETING


def test_refusal_counts_as_somebody_elses_stop_only_at_the_first_attempt() -> None:
    first = acknowledged(stopping(), A.STOP, Outcome.REFUSED)
    assert first.stop.answer is StopAnswer.REFUSED
    later = acknowledged(stopping(stop_attempts=2), A.STOP, Outcome.REFUSED)
    assert later.stop.answer is StopAnswer.NONE


def test_stop_whose_answer_got_lost_may_be_ours_or_not() -> None:
    assert acknowledged(stopping(), A.STOP, Outcome.UNCERTAIN) == stopping()


def test_stop_that_was_not_sent_leaves_the_record_of_those_that_were() -> None:
    """Its time must not make an operator's stop look like ours."""
    before = stopping(stop_answer=StopAnswer.REFUSED, stop_asked_epoch=EPOCH, stop_last_asked_epoch=EPOCH + 9)
    again = step(before, seen(P.RUNNING))
    assert again.action is A.STOP and again.drain != before
    assert acknowledged(again.drain, A.STOP, Outcome.NOT_SENT, before) == before
    first = step(draining(), seen(reading=reading(quiet=True, busy=0, idle=True))).drain
    assert (first.state, first.stop.attempts) == (S.STOPPING, 1)
    assert acknowledged(first, A.STOP, Outcome.NOT_SENT, draining()).stop.attempts == 0


@pytest.mark.parametrize("action", [A.START, A.THAW])
@pytest.mark.parametrize("came", list(Outcome))
def test_what_came_of_a_start_or_a_thaw_says_nothing_of_the_stop(action: Action, came: Outcome) -> None:
    record = drain(S.STARTING, stop_attempts=1, stop_answer=StopAnswer.NONE)
    assert acknowledged(record, action, came) == record
