"""When the listener does something without an event of supervisord."""

from __future__ import annotations

import pytest

from supervisor_memkill.listener.schedule import Schedule
from tests.coordination.servers import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def schedule(clock: FakeClock) -> Schedule:
    return Schedule(clock)


def due(schedule: Schedule) -> tuple[bool, bool]:
    """A check, and a check that counts strikes."""
    return schedule.is_check_due, schedule.is_tick_due


def test_nothing_is_due_at_the_beginning(schedule: Schedule) -> None:
    assert schedule.wait_seconds(None) is None
    assert schedule.wait_seconds(7.0) == 7.0
    assert due(schedule) == (False, False)


def test_earliest_check_counts_and_is_due_at_its_time(schedule: Schedule, clock: FakeClock) -> None:
    for seconds, wait in ((10.0, 10.0), (30.0, 10.0), (5.0, 5.0)):
        schedule.check_within(seconds)
        assert schedule.wait_seconds(None) == wait
    assert schedule.wait_seconds(2.0) == 2.0
    assert due(schedule) == (False, False)
    clock.now += 5.0
    assert due(schedule) == (True, False)
    assert schedule.wait_seconds(None) == 0.0
    schedule.check_begins(counts=False)
    assert due(schedule) == (False, False)
    assert schedule.wait_seconds(None) is None


def test_second_tick_does_not_put_off_the_check_of_the_first(schedule: Schedule, clock: FakeClock) -> None:
    schedule.ticked(3.0)
    clock.now += 2.0
    schedule.ticked(3.0)
    assert schedule.wait_seconds(None) == 1.0
    assert due(schedule) == (False, False)
    clock.now += 1.0
    assert due(schedule) == (False, True)


def test_only_a_check_that_counts_strikes_answers_a_tick(schedule: Schedule, clock: FakeClock) -> None:
    schedule.ticked(3.0)
    schedule.check_begins(counts=False)
    assert schedule.wait_seconds(None) == 3.0
    schedule.check_begins(counts=True)
    assert schedule.wait_seconds(None) is None


def test_drains_step_at_an_even_pace_and_late_steps_are_due_at_once(
    schedule: Schedule, clock: FakeClock
) -> None:
    schedule.stepped()
    clock.now += 0.25
    assert schedule.wait_seconds(None, 1.0) == 0.75
    clock.now += 5.0
    assert schedule.wait_seconds(None, 1.0) == 0.0


def test_step_that_is_due_earlier_is_done_once(schedule: Schedule, clock: FakeClock) -> None:
    schedule.stepped()
    assert schedule.wait_seconds(None, 1.0, [clock.now + 0.25]) == 0.25
    assert schedule.wait_seconds(None, 1.0, [clock.now, clock.now - 1.0]) == 1.0, "it is done"
    assert schedule.wait_seconds(None, None, [clock.now + 0.25]) is None, "there is no drain"


def test_after_a_failed_turn_the_next_one_waits_whatever_is_due(schedule: Schedule, clock: FakeClock) -> None:
    schedule.check_within(0.0)
    schedule.rest(5.0)
    assert schedule.wait_seconds(None) == 5.0
    clock.now += 4.0
    assert schedule.wait_seconds(None) == 1.0
    clock.now += 2.0
    assert schedule.wait_seconds(None) == 0.0
