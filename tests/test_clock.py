"""The clocks of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from supervisor_memkill.clock import local_time
from supervisor_memkill.rules.hours import parse_drain_hours


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    local_time()  # The C library knows the former zone again.


def test_local_time_follows_a_time_zone_that_was_changed_meanwhile(zone: pytest.MonkeyPatch) -> None:
    """drain_hours are in local time, and a listener runs for months."""
    zone.setenv("TZ", "AAA-1")
    before = local_time()
    zone.setenv("TZ", "BBB-9")
    assert local_time() - before > timedelta(hours=7)


@pytest.mark.parametrize(
    ("day", "minutes"),
    [((2026, 3, 29), 10), ((2026, 10, 25), 130), ((2026, 6, 7), 70)],
    ids=["an hour is left out", "an hour comes twice", "no change"],
)
def test_drain_hours_go_by_the_clock_on_the_wall_when_summer_time_begins_and_ends(
    zone: pytest.MonkeyPatch, day: tuple[int, int, int], minutes: int
) -> None:
    """In Berlin the hour between 02:00 and 03:00 is left out in March, and comes twice in October."""
    zone.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    local_time()
    hours = parse_drain_hours("01:50-03:00")
    begin = datetime(*day)
    moments = (datetime.fromtimestamp(begin.timestamp() + 60 * minute) for minute in range(26 * 60))
    assert sum(hours.opens_at(at) is None for at in moments if at.date() == begin.date()) == minutes
