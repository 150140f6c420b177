"""The questions about one step of a drain that more than one state asks: each one by all that it goes by."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.step import (
    OnTimeout,
    Seen,
    end,
    is_drainable,
    is_over_hard_limit,
    is_protected,
    may_be_quiet_by_us,
    may_be_taken_out,
    takes_jobs,
    why_hard,
    with_full_timeout,
)
from supervisor_memkill.workers.contract import Reading, Traits
from tests.builders import CUSTOM_LIKE, PLAIN_LIKE, SIDEKIQ_LIKE, answer, drain, info, plan, reading

STOP, WAIT, RESUME = OnTimeout.STOP, OnTimeout.WAIT, OnTimeout.RESUME
LOSES = ("stopwaitsecs is too short",)


def seen(**values: Any) -> Seen:
    return Seen(info(), **values)


@pytest.mark.parametrize(
    ("wished", "traits", "losses", "done", "holds_stop"),
    [
        (STOP, SIDEKIQ_LIKE, (), STOP, False),
        (STOP, SIDEKIQ_LIKE, LOSES, WAIT, True),
        (WAIT, SIDEKIQ_LIKE, (), WAIT, False),
        (WAIT, SIDEKIQ_LIKE, LOSES, WAIT, False),
        (WAIT, PLAIN_LIKE, (), STOP, False),
        (WAIT, PLAIN_LIKE, LOSES, WAIT, False),
        (RESUME, CUSTOM_LIKE, (), RESUME, False),
        (RESUME, CUSTOM_LIKE, LOSES, RESUME, False),
        (RESUME, SIDEKIQ_LIKE, (), STOP, False),
        (RESUME, SIDEKIQ_LIKE, LOSES, WAIT, True),
    ],
)
def test_at_its_timeout_a_drain_does_what_its_kind_and_its_settings_allow(
    wished: OnTimeout, traits: Traits, losses: tuple[str, ...], done: OnTimeout, holds_stop: bool
) -> None:
    """A kind that cannot resume stops; a stop that would lose jobs waits."""
    going_by = plan(traits, on_timeout=wished, losses=losses)
    assert (going_by.at_timeout, going_by.holds_stop) == (done, holds_stop)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (reading(), True),
        (reading(recognised=False), False),
        (reading(recognised=None), False),
        (reading(hold="its scheduler ends too slowly"), False),
        (None, False),
    ],
)
def test_worker_is_drainable_only_if_its_kind_knows_it_and_has_nothing_against_it(
    found: Reading | None, expected: bool
) -> None:
    assert is_drainable(found) is expected


@pytest.mark.parametrize(
    ("given", "is_hard", "expected"),
    [
        (None, True, False),
        (answer(), False, True),
        (answer(Cause.SLOTS_TAKEN), True, False),
        (answer(others=0), False, False),
        (answer(others=0), True, False),
        (Answer(None, 1, 1, draining=1, max_draining=1), False, False),
        (Answer(None, 1, 1, draining=1, max_draining=1), True, True),
        (Answer(None, 1, 1, draining=1, max_draining=2), False, True),
    ],
)
def test_worker_is_taken_out_while_enough_others_stay_and_a_slot_is_free_or_none_is_needed(
    given: Answer | None, is_hard: bool, expected: bool
) -> None:
    assert may_be_taken_out(seen(answer=given), is_hard=is_hard) is expected


@pytest.mark.parametrize(
    ("found", "traits", "expected"),
    [
        (reading(quiet=False), SIDEKIQ_LIKE, True),
        (reading(quiet=None), SIDEKIQ_LIKE, False),
        (reading(quiet=True), SIDEKIQ_LIKE, False),
        (None, SIDEKIQ_LIKE, False),
        (reading(quiet=False), CUSTOM_LIKE, False),
    ],
)
def test_worker_takes_jobs_only_by_a_reading_that_can_tell(
    found: Reading | None, traits: Traits, expected: bool
) -> None:
    assert takes_jobs(seen(reading=found), plan(traits)) is expected


@pytest.mark.parametrize(
    ("memory", "least", "limit", "expected"),
    [
        (401, None, 400, True),
        (400, None, 400, False),
        (None, None, 400, False),
        (500, 401, 400, True),
        (500, 400, 400, False),
        (500, None, None, False),
        (None, None, None, False),
    ],
)
def test_only_memory_that_is_surely_used_is_above_the_hard_limit(
    memory: int | None, least: int | None, limit: int | None, expected: bool
) -> None:
    found = seen(memory_bytes=memory, memory_least_bytes=least)
    assert is_over_hard_limit(found, plan(hard_limit_bytes=limit)) is expected


@pytest.mark.parametrize(
    ("memory", "reason", "is_short", "expected"),
    [
        (401, Reason.MAX_RSS, False, StepCause.OVER_HARD_LIMIT),
        (401, Reason.MIN_FREE, True, StepCause.OVER_HARD_LIMIT),
        (400, Reason.MIN_FREE, True, StepCause.MACHINE_IS_SHORT),
        (400, Reason.MIN_FREE_NOW, True, StepCause.MACHINE_IS_SHORT),
        (400, Reason.MIN_FREE, False, None),
        (400, Reason.MAX_RSS, True, None),
    ],
)
def test_stop_waits_for_no_job_above_the_hard_limit_or_where_the_machine_is_short_of_memory(
    memory: int, reason: Reason, is_short: bool, expected: StepCause | None
) -> None:
    going_by = plan(hard_limit_bytes=400, is_machine_short=is_short)
    found = seen(memory_bytes=memory)
    assert why_hard(drain(State.DRAINING, reason=reason), found, going_by) is expected


@pytest.mark.parametrize(
    ("found", "patterns", "expected"),
    [
        (reading(jobs=("Import",)), ("Mail", "Imp*"), True),
        (reading(jobs=("Report", "Import")), ("Imp*",), True),
        (reading(jobs=("Report",)), ("Imp*",), False),
        (reading(jobs=()), ("Imp*",), False),
        (reading(jobs=None), ("Imp*",), True),
        (None, ("Imp*",), True),
        (reading(jobs=None), (), False),
        (None, (), False),
    ],
)
def test_jobs_that_are_unknown_count_as_protected_where_any_job_is(
    found: Reading | None, patterns: tuple[str, ...], expected: bool
) -> None:
    assert is_protected(found, patterns) is expected


@pytest.mark.parametrize(
    ("attempts", "reason", "expected"),
    [(0, Reason.MAX_RSS, False), (1, Reason.MAX_RSS, True), (0, Reason.ADOPTED, True)],
)
def test_worker_may_be_quiet_by_the_listener_after_a_quiet_of_this_drain_or_of_a_lost_one(
    attempts: int, reason: Reason, expected: bool
) -> None:
    assert may_be_quiet_by_us(drain(State.DRAINING, quiet_attempts=attempts, reason=reason)) is expected


def test_full_timeout_begins_now_and_is_as_long_as_before() -> None:
    record = with_full_timeout(drain(State.DRAINING, began_at=10.0, deadline=70.0), 100.0)
    assert (record.began_at, record.deadline) == (100.0, 160.0)


def test_end_lets_the_worker_go_and_does_nothing_to_it() -> None:
    step = end(drain(State.DRAINING), 100.0, StepCause.STOPPED_BY_OTHERS)
    assert (step.drain.state, step.action, step.cause) == (State.LET_GO, None, StepCause.STOPPED_BY_OTHERS)
