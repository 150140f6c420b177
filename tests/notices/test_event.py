"""Events reach every sink, and what has not changed is reported once."""

from __future__ import annotations

import pytest

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.notices.drain_events import DrainBusy, DrainEvent, DrainNotInServiceYet
from supervisor_memkill.notices.event import Event, Level, Notifier
from supervisor_memkill.notices.events import SupervisordAway, UnexpectedEvent
from supervisor_memkill.notices.log import line_of
from supervisor_memkill.notices.pool_events import WorkerHeld
from supervisor_memkill.rules.policy import Hold


class Kept:
    """A sink that keeps what it takes."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)


def reported(*events: Event) -> list[Event]:
    sink = Kept()
    notifier = Notifier([sink])
    for event in events:
        notifier.report(event)
    return sink.events


def busy(jobs: int | None, worker: str = "jobs:one") -> DrainBusy:
    return DrainBusy(worker, 7, jobs, None)


def held(cause: Cause | Hold | None, memory: int = 1) -> WorkerHeld:
    return WorkerHeld("jobs:one", 7, memory, cause, "why")


def test_every_sink_takes_every_event_from_when_it_is_attached() -> None:
    first, second = Kept(), Kept()
    notifier = Notifier([first])
    notifier.report(busy(1))
    notifier.attach(second)
    notifier.report(busy(2))
    assert (first.events, second.events) == ([busy(1), busy(2)], [busy(2)])


def test_event_without_a_subject_is_always_reported() -> None:
    assert len(reported(SupervisordAway("refused"), SupervisordAway("refused"))) == 2


def test_event_about_one_subject_is_reported_when_it_changed() -> None:
    assert reported(busy(1), busy(1), busy(2), busy(1)) == [busy(1), busy(2), busy(1)]
    assert reported(busy(1), busy(1, "jobs:two"), busy(1)) == [busy(1), busy(1, "jobs:two")]


@pytest.mark.parametrize(
    ("cause", "level"),
    [
        (Cause.MORE_URGENT, Level.INFO),
        (Cause.TOO_FEW_IN_SERVICE, Level.INFO),
        (Hold.UNREADABLE, Level.INFO),
        (Hold.DRAIN_HOURS, Level.INFO),
        (None, Level.INFO),
        (Hold.UNSAFE_SETTINGS, Level.WARNING),
        (Hold.NOT_RECOGNISED, Level.WARNING),
        (Hold.MEMORY_UNKNOWN, Level.WARNING),
        (Cause.NOT_BACK, Level.WARNING),
        (Cause.NAME_TAKEN, Level.WARNING),
    ],
)
def test_worker_that_waits_for_a_person_is_a_warning_and_one_that_waits_its_turn_is_none(
    cause: Cause | Hold | None, level: Level
) -> None:
    event = held(cause)
    assert event.level is level
    assert line_of(event).startswith(f"{level.name} worker.held ")
    assert "level" not in event.fields()


def test_refusal_is_reported_once_until_its_cause_changes() -> None:
    """The memory differs at each look: that alone is no change."""
    first, again, other = held(Cause.COOLDOWN, 1), held(Cause.COOLDOWN, 2), held(Cause.SLOTS_TAKEN, 3)
    assert reported(first, again, other, again) == [first, other, again]


def test_event_that_compares_no_field_is_reported_once() -> None:
    assert len(reported(UnexpectedEvent("PROCESS_STATE"), UnexpectedEvent("other"))) == 1


def test_what_was_forgotten_is_reported_again() -> None:
    sink = Kept()
    notifier = Notifier([sink])
    late, elsewhere = DrainNotInServiceYet("jobs:one", 7, ""), busy(1, "jobs:two")
    for _ in range(2):
        for event in (busy(1), late, elsewhere, held(Cause.COOLDOWN)):
            notifier.report(event)
        notifier.forget(DrainEvent, "jobs:one")
    assert sink.events == [busy(1), late, elsewhere, held(Cause.COOLDOWN), busy(1), late]
