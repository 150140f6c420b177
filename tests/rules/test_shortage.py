"""When the machine is short of memory, when there is no time left, and what its drains do then."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import COMES_BACK_SECONDS, Drain, State
from supervisor_memkill.rules.shortage import (
    RELIEF_SECONDS,
    URGENT_SECONDS,
    Shortage,
    asks_for_machine,
    is_relief_under_way,
    judge,
)
from supervisor_memkill.rules.step import OnTimeout
from tests.builders import answer, drain, plan, reading
from tests.rules.steps import A, S, seen, step

MIN_FREE = 1000
CALM = Shortage(900, MIN_FREE, is_urgent=False)


@pytest.mark.parametrize(
    ("free", "used_per_second", "stalled", "urgent"),
    [
        (1000, 0.0, 0.0, None),
        (999, 0.0, 0.0, False),
        (500, 0.0, 0.0, False),
        (499, 0.0, 0.0, True),
        (900, 90.0, 0.0, False),
        (900, 90.1, 0.0, True),
        (900, 0.0, 9.9, False),
        (900, 0.0, 10.0, True),
    ],
)
def test_what_is_short_and_what_leaves_no_time(
    free: int, used_per_second: float, stalled: float, urgent: bool | None
) -> None:
    shortage = judge(free, MIN_FREE, used_per_second, stalled)
    assert (shortage.is_urgent if shortage is not None else None) is urgent


def test_words_say_when_no_time_is_left() -> None:
    calm, urgent = judge(900, MIN_FREE, 0.0, 0.0), judge(400, MIN_FREE, 0.0, 0.0)
    assert calm is not None and urgent is not None
    assert (calm.reason, urgent.reason) == (Reason.MIN_FREE, Reason.MIN_FREE_NOW)
    assert calm.words == "900B left, below min_free (1000B)"
    assert urgent.words == "400B left, below min_free (1000B), and no time for running jobs"


def for_machine(state: State, reason: Reason = Reason.MIN_FREE) -> Drain:
    return drain(state, reason=reason)


@pytest.mark.parametrize(
    ("record", "is_relief"),
    [
        (for_machine(S.ASKING), False),
        (for_machine(S.DRAINING), True),
        (for_machine(S.SETTLING), True),
        (for_machine(S.ASKING, Reason.MAX_RSS), False),
        (for_machine(S.DRAINING, Reason.MAX_RSS), False),
        (for_machine(S.STOPPING, Reason.MAX_RSS), True),
        (for_machine(S.STARTING, Reason.MAX_RSS), True),
        (for_machine(S.SETTLING, Reason.MAX_RSS), False),
    ],
)
def test_memory_that_comes_back_soon_is_waited_for(record: Drain, is_relief: bool) -> None:
    drains = [for_machine(S.ASKING, Reason.MAX_AGE), record]
    assert is_relief_under_way(drains, {record.pool: 10.0}, CALM, record.since) is is_relief


def test_worker_that_does_not_come_back_gives_no_more_memory() -> None:
    record = for_machine(S.STARTING)
    late = record.since + COMES_BACK_SECONDS + 1
    assert is_relief_under_way([record], {}, CALM, late - 1)
    assert not is_relief_under_way([record], {}, CALM, late)


@pytest.mark.parametrize("reason", [Reason.MIN_FREE_NOW, Reason.MAX_RSS])
def test_stop_that_takes_long_is_no_relief_any_more(reason: Reason) -> None:
    """stopwaitsecs may be an hour; the kernel does not wait for it."""
    record = drain(S.STOPPING, reason=reason, since=100.0, stop_wait_seconds=3600.0)
    assert is_relief_under_way([record], {}, CALM, 100.0 + RELIEF_SECONDS - 1)
    assert not is_relief_under_way([record], {}, CALM, 100.0 + RELIEF_SECONDS)


@pytest.mark.parametrize("state", [S.QUIETING, S.DRAINING, S.RESUMING])
def test_drain_for_the_machine_that_is_not_over_at_its_deadline_is_no_relief_any_more(state: State) -> None:
    """Its job may never end (on_timeout = wait, protect_jobs)."""
    record = drain(state, reason=Reason.MIN_FREE, deadline=3600.0)
    assert is_relief_under_way([record], {}, CALM, 3599.0)
    assert not is_relief_under_way([record], {}, CALM, 3600.0)


def test_drain_for_the_machine_that_cannot_be_stopped_when_no_time_is_left_is_no_relief() -> None:
    """Too few others of its pool are in service; another pool may have a worker to give."""
    record, urgent = for_machine(S.QUIETING), dataclasses.replace(CALM, is_urgent=True, urgent_since=50.0)
    assert is_relief_under_way([record], {}, urgent, 50.0 + URGENT_SECONDS - 1)
    assert not is_relief_under_way([record], {}, urgent, 50.0 + URGENT_SECONDS)


def test_only_a_drain_for_the_machine_that_waits_for_its_slot_asks_for_it() -> None:
    assert (
        asks_for_machine({"a": for_machine(S.ASKING, Reason.MAX_RSS), "b": for_machine(S.DRAINING)}) is None
    )
    waiting = for_machine(S.ASKING, Reason.MIN_FREE_NOW)
    assert asks_for_machine({waiting.worker: waiting}) == waiting.worker


GRANTED = seen(asked=True, answer=answer(), reading=reading(busy=1))


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (Reason.MIN_FREE_NOW, StepCause.MACHINE_RECOVERED),
        (Reason.HARD_MAX_RSS, StepCause.NOT_OVER_HARD_LIMIT),
    ],
)
def test_drain_that_took_its_slot_without_waiting_ends_when_its_cause_is_over(
    reason: Reason, cause: StepCause
) -> None:
    taken = step(for_machine(S.ASKING, reason), GRANTED, hard_limit_bytes=1000)
    assert (taken.drain.state, taken.cause) == (S.LET_GO, cause)


def test_drain_for_the_machine_stops_at_once_while_no_time_is_left() -> None:
    taken = step(for_machine(S.ASKING, Reason.MIN_FREE_NOW), GRANTED, is_machine_short=True)
    assert (taken.drain.state, taken.cause) == (S.STOPPING, StepCause.MACHINE_IS_SHORT)


@pytest.mark.parametrize(
    ("on_timeout", "losses", "holds"),
    [
        (OnTimeout.STOP, (), False),
        (OnTimeout.STOP, ("stopwaitsecs is too short",), True),
        (OnTimeout.WAIT, ("stopwaitsecs is too short",), False),
        (OnTimeout.WAIT, (), False),
    ],
)
def test_stop_is_held_only_by_settings_that_would_lose_jobs(
    on_timeout: OnTimeout, losses: tuple[str, ...], holds: bool
) -> None:
    assert plan(on_timeout=on_timeout, losses=losses).holds_stop is holds


UNSENT = pytest.mark.parametrize(
    ("cause", "over"),
    [
        (StepCause.MACHINE_IS_SHORT, StepCause.MACHINE_RECOVERED),
        (StepCause.OVER_HARD_LIMIT, StepCause.NOT_OVER_HARD_LIMIT),
    ],
)
"""Why the stop was to be sent, and what shows that it need not be."""


def unsent(cause: StepCause, **values: Any) -> Drain:
    """A stop that supervisord surely did not get: it was away."""
    reason = Reason.MIN_FREE_NOW if cause is StepCause.MACHINE_IS_SHORT else Reason.HARD_MAX_RSS
    return drain(S.STOPPING, **{"reason": reason, "stop_cause": cause, **values})


@UNSENT
def test_stop_that_was_not_sent_is_not_sent_when_its_cause_is_over(cause: StepCause, over: StepCause) -> None:
    taken = step(unsent(cause), GRANTED, hard_limit_bytes=1000)
    assert (taken.drain.state, taken.action, taken.cause) == (S.LET_GO, None, over)


@UNSENT
@pytest.mark.parametrize("quiet", [{"is_quiet": True}, {"quiet_attempts": 1}])
def test_worker_that_may_be_quiet_is_stopped_although_the_cause_is_over(
    cause: StepCause, over: StepCause, quiet: dict[str, Any]
) -> None:
    """A restart only helps it."""
    still_quiet = seen(asked=True, answer=answer(), reading=reading(busy=1, quiet=True))
    taken = step(unsent(cause, **quiet), still_quiet, hard_limit_bytes=1000)
    assert (taken.drain.state, taken.action) == (S.STOPPING, A.STOP)


@UNSENT
def test_stop_that_may_have_been_sent_is_sent_again_whatever_is_over(
    cause: StepCause, over: StepCause
) -> None:
    taken = step(unsent(cause, stop_attempts=1), GRANTED, hard_limit_bytes=1000)
    assert (taken.drain.state, taken.action) == (S.STOPPING, A.STOP)


def test_stop_that_was_not_sent_is_sent_while_its_cause_lasts() -> None:
    for_machine = step(unsent(StepCause.MACHINE_IS_SHORT), GRANTED, is_machine_short=True)
    for_limit = step(unsent(StepCause.OVER_HARD_LIMIT), GRANTED, hard_limit_bytes=200)
    assert (for_machine.action, for_limit.action) == (A.STOP, A.STOP)


def test_stop_for_another_cause_that_was_not_sent_is_sent() -> None:
    record = drain(S.STOPPING, stop_cause=StepCause.DRAINS_BY_STOPPING)
    assert step(record, GRANTED).action is A.STOP


def test_unknown_memory_shows_no_recovery() -> None:
    record = unsent(StepCause.OVER_HARD_LIMIT)
    unknown = dataclasses.replace(GRANTED, memory_bytes=None)
    assert step(record, unknown, hard_limit_bytes=1000).action is A.STOP


def test_new_process_that_is_stopped_no_more_stays_in_its_drain() -> None:
    """Its worker has to come back."""
    taken = step(unsent(StepCause.OVER_HARD_LIMIT, running_since=90.0), GRANTED, hard_limit_bytes=1000)
    assert (taken.drain.state, taken.cause) == (S.SETTLING, StepCause.STOP_NOT_NEEDED)
