"""When drains may begin by the clock on the wall."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from supervisor_memkill.rules.hours import ALLOWED, DAYS, parse_drain_hours

MONDAY = datetime(2026, 11, 30)
"""00:00 on a Monday."""


def on(day: str, clock: str) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return MONDAY + timedelta(days=DAYS.index(day), hours=hours, minutes=minutes)


@pytest.mark.parametrize(
    ("hours", "day", "clock", "opens"),
    [
        ("22:00-06:00", "Mon", "21:59", "Mon at 22:00"),
        ("22:00-06:00", "Mon", "22:00", ""),
        ("22:00-06:00", "Tue", "05:59", ""),
        ("22:00-06:00", "Tue", "06:00", "Tue at 22:00"),
        ("9:30-17:00", "Sun", "09:30", ""),
        ("9:30-17:00", "Sun", "17:00", "Mon at 09:30"),
        ("Mon-Fri 22:00-06:00", "Sat", "05:00", ""),
        ("Mon-Fri 22:00-06:00", "Sat", "22:00", "Mon at 22:00"),
        ("Mon-Fri 22:00-06:00", "Mon", "05:00", "Mon at 22:00"),
        ("sat-mon 10:00-11:00", "Mon", "10:30", ""),
        ("Sat-Mon 10:00-11:00", "Mon", "11:30", "Sat at 10:00"),
        ("Sun 00:00-24:00", "Sun", "23:59", ""),
        ("Sun 00:00-24:00", "Mon", "00:00", "Sun at 00:00"),
        ("Wed 03:00-04:00", "Wed", "04:00", "Wed at 03:00"),
        ("01:00-02:00, 04:00-05:00", "Thu", "03:00", "Thu at 04:00"),
        ("01:00-02:00,Thu 04:00-05:00", "Fri", "03:00", "Sat at 01:00"),
        ("06:00-06:00", "Thu", "05:59", ""),
    ],
)
def test_drains_may_begin_in_each_window_and_at_no_other_time(
    hours: str, day: str, clock: str, opens: str
) -> None:
    words = parse_drain_hours(hours).closed_words(on(day, clock))
    assert words == (f"drain_hours open on {opens}" if opens else "")


def test_window_that_opens_next_is_found_in_every_minute_of_a_week() -> None:
    hours = parse_drain_hours("Tue 23:00-01:00, Sat 12:00-12:01")
    for minute in range(7 * 24 * 60):
        local = MONDAY + timedelta(minutes=minute)
        opens = hours.opens_at(local)
        if opens is not None:
            assert opens > local
            assert hours.opens_at(opens) is None
            assert hours.opens_at(opens - timedelta(minutes=1)) == opens


@pytest.mark.parametrize(
    "text", ["", "22-06", "22:00", "25:00-06:00", "22:60-06:00", "Mon-Fri", "Mo 22:00-06:00", "22:00-06:00,"]
)
def test_other_text_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=ALLOWED[:20]):
        parse_drain_hours(text)
