"""A person hears of what needs a person, and of what they chose."""

from __future__ import annotations

import pytest

from supervisor_memkill.notices.catalogue import CATALOGUE
from supervisor_memkill.notices.choice import BY_DEFAULT, DELIVERABLE, chooser, chosen, parse_events
from supervisor_memkill.notices.event import Level
from supervisor_memkill.notices.pool_events import DryRunVerdict, WorkerHeld
from supervisor_memkill.rules.policy import Hold


def test_default_is_what_needs_a_person_and_the_ends_of_outages() -> None:
    assert chosen(()) == BY_DEFAULT
    assert {"drain.killed", "listener.deaf", "coordination.away", "drain.start_failed"} <= BY_DEFAULT
    assert {"coordination.back", "supervisord.back"} <= BY_DEFAULT
    assert not {"drain.done", "drain.quieting", "worker.held", "listener.started"} & BY_DEFAULT


def test_event_with_a_grave_cause_is_chosen_by_default_alone() -> None:
    """The same event with a cause that passes is not."""
    grave = WorkerHeld("jobs:one", 7, None, Hold.UNSAFE_SETTINGS, "why")
    passing = WorkerHeld("jobs:one", 7, None, Hold.STRIKES, "why")
    assert [chooser(())(event) for event in (grave, passing)] == [True, False]
    assert not chooser(["drain.done"])(grave)
    assert all(chooser(["worker.held"])(event) for event in (grave, passing))
    assert not chooser(())(DryRunVerdict("jobs:one", 7, None, Hold.UNSAFE_SETTINGS, "why"))


def test_every_error_that_can_be_delivered_is_among_them() -> None:
    errors = {name for name in DELIVERABLE if CATALOGUE[name].level is Level.ERROR}
    assert errors <= BY_DEFAULT


def test_names_and_patterns_choose_events_in_place_of_the_default() -> None:
    assert chosen(["drain.done", "*.back"]) == {
        "drain.done",
        *(name for name in CATALOGUE if name.endswith(".back")),
    }


@pytest.mark.parametrize("pattern", ["*", "*.*"])
def test_no_pattern_reaches_debugging_dry_runs_or_the_delivery_itself(pattern: str) -> None:
    names = chosen([pattern])
    assert all(CATALOGUE[name].level > Level.DEBUG for name in names)
    assert not [name for name in names if name.startswith(("hook.", "notify.", "metrics.", "dry_run."))]
    assert "listener.not_started" not in names


def test_patterns_are_read_with_spaces_and_commas() -> None:
    assert parse_events(" drain.*,  listener.deaf\n pool.note") == ("drain.*", "listener.deaf", "pool.note")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drain.dome", "no event is named drain.dome, did you mean drain.done?"),
        ("drain.done zebra", "no event is named zebra"),
        ("worker.seen", "worker.seen reaches the log alone"),
        ("hook.failed", "hook.failed reaches the log alone"),
        (" , ", "names of events"),
    ],
)
def test_pattern_that_chooses_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        parse_events(text)
