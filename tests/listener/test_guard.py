"""An error of one worker is reported under its name, with the place where it was raised."""

from __future__ import annotations

from supervisor_memkill.listener.guard import Guard
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.events import CoordinationAway, CoordinationBack, Failed


class Kept:
    """A sink that keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)


def fail() -> None:
    raise RuntimeError("broken")


def test_failure_names_the_line_that_raised_it() -> None:
    """Not the line of the guard, and none in between."""
    kept = Kept()
    notifier = Notifier([kept])
    coordination = Outage(CoordinationAway, CoordinationBack, notifier, lambda: 0.0)
    with Guard(notifier, coordination).guarded("worker a:b"):
        fail()
    line = fail.__code__.co_firstlineno + 1
    assert kept.events == [Failed("worker a:b", "RuntimeError: broken", f"test_guard.py:{line}")]
