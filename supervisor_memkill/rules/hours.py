"""The hours in which drains may begin. Pure: the local time is a parameter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta

from supervisor_memkill.dataclass import dataclass

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "|".join(DAYS)
_WINDOW = re.compile(
    rf"(?:(?P<first>{_DAY})(?:-(?P<last>{_DAY}))?\s+)?(?P<opens>\d\d?:\d\d)-(?P<closes>\d\d?:\d\d)",
    re.IGNORECASE,
)
ALLOWED = "one or more windows such as 22:00-06:00 or Mon-Fri 22:00-06:00, separated by commas"


@dataclass(frozen=True)
class Window:
    """One window of local time. A window that ends before it begins ends on the next day."""

    days: frozenset[int]
    """The days on which the window begins; Monday is 0."""
    opens: time
    closes: time
    """The window is closed from here on. The same time as `opens`: it lasts for a day."""

    def beginning_on(self, day: datetime) -> tuple[datetime, datetime] | None:
        """When the window that begins on this day opens and closes; None: none begins on this day."""
        if day.weekday() not in self.days:
            return None
        opens = datetime.combine(day.date(), self.opens)
        closes = datetime.combine(day.date(), self.closes)
        return opens, closes if closes > opens else closes + timedelta(days=1)


@dataclass(frozen=True)
class DrainHours:
    """When drains may begin, by the machine's local time."""

    windows: tuple[Window, ...]

    def opens_at(self, local: datetime) -> datetime | None:
        """When a drain may begin next; None: now. `local` is the local time without a time zone."""
        ahead = []
        for opens, closes in self._around(local):
            if opens <= local < closes:
                return None
            if opens > local:
                ahead.append(opens)
        return min(ahead)

    def _around(self, local: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Each window that begins between yesterday and this day in a week."""
        for offset in range(-1, len(DAYS) + 1):
            for window in self.windows:
                found = window.beginning_on(local + timedelta(days=offset))
                if found is not None:
                    yield found

    def closed_words(self, local: datetime) -> str:
        """When drains may begin again, for an operator; empty: they may begin now."""
        opens = self.opens_at(local)
        return "" if opens is None else f"drain_hours open on {DAYS[opens.weekday()]} at {opens:%H:%M}"


def parse_drain_hours(text: str) -> DrainHours:
    """The windows as the configuration names them. Raises ValueError with the text that is allowed."""
    return DrainHours(tuple(_window(part.strip()) for part in text.split(",")))


def _window(text: str) -> Window:
    matched = _WINDOW.fullmatch(text)
    if matched is None:
        raise ValueError(ALLOWED)
    return Window(_days(matched["first"], matched["last"]), _time(matched["opens"]), _time(matched["closes"]))


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(len(DAYS)))
    begin = DAYS.index(first.capitalize())
    end = begin if last is None else DAYS.index(last.capitalize())
    return frozenset((begin + offset) % len(DAYS) for offset in range((end - begin) % len(DAYS) + 1))


def _time(text: str) -> time:
    """A time of day; 24:00 is midnight, as people write it at the end of a window."""
    hours, minutes = map(int, text.split(":"))
    try:
        return time(0 if (hours, minutes) == (24, 0) else hours, minutes)
    except ValueError:
        raise ValueError(ALLOWED) from None
