"""What the doctor finds about the listener."""

from __future__ import annotations

import dataclasses

import pytest

from supervisor_memkill.commands.doctor.catalogue import examine
from supervisor_memkill.commands.doctor.facts import Facts
from supervisor_memkill.processes import ProcessState
from tests.builders import info
from tests.commands.doctor import facts_with
from tests.commands.doctor.facts_with import LISTENER, NOW, STATE, names, whats


def test_listener_that_has_not_heard_a_tick_yet_has_time_from_its_start() -> None:
    young = facts_with.state(ticked_at=None, started_at=NOW - 100)
    old = facts_with.state(ticked_at=None, started_at=NOW - 200)
    assert names(young) == []
    assert names(old) == ["listener-hears-no-ticks"]


def test_listener_whose_section_has_no_tick_is_not_blamed_for_hearing_none() -> None:
    """One cause is one finding: that its section subscribes to none."""
    origin = dataclasses.replace(STATE.origin, tick_seconds=0.0)
    silent = facts_with.state(origin=origin, ticked_at=None, started_at=NOW - 86400)
    assert names(silent) == []
    unknown = dataclasses.replace(origin, tick_seconds=None)
    for seconds, expected in ((8000, []), (9500, ["listener-hears-no-ticks"])):
        at = NOW - seconds
        assert names(facts_with.state(origin=unknown, ticked_at=at, started_at=at)) == expected


@pytest.mark.parametrize(
    ("spawnerr", "last_line", "expected"),
    [
        ("", "", "it is BACKOFF"),
        ("can't find command", "", "it is BACKOFF; can't find command"),
        ("", "a line", "it is BACKOFF; its log ends with: a line"),
    ],
)
def test_listener_that_is_down_is_described_as_far_as_it_is_known(
    spawnerr: str, last_line: str, expected: str
) -> None:
    process = info(ProcessState.BACKOFF, group="memkill", name="memkill", spawnerr=spawnerr)
    facts = facts_with.listener(processes=(process,), last_lines={LISTENER: last_line})
    (finding,) = examine(facts)
    assert (finding.what, finding.at) == (expected, LISTENER)
    assert finding.change.endswith(f"supervisorctl start {LISTENER}")


def test_listener_of_a_supervisord_that_is_away_is_not_called_missing() -> None:
    facts = facts_with.supervisord(silence="connection refused")
    listener = dataclasses.replace(facts.listener, processes=(), in_files=())
    assert names(dataclasses.replace(facts, listener=listener)) == ["supervisord-unreachable"]


def test_dead_listeners_state_is_no_evidence() -> None:
    facts = facts_with.listener(
        is_alive=False,
        state=dataclasses.replace(STATE, ticked_at=0.0, version="0.0.1", dry_run=True),
    )
    assert names(facts) == []


def test_listener_whose_disk_is_full_is_not_called_deaf() -> None:
    full = "no space is left in the file system of /own"
    made = facts_with.state(ticked_at=NOW - 200)
    made = dataclasses.replace(made, listener=dataclasses.replace(made.listener, unwritable=full))
    assert names(made) == ["listener-outage"]
    assert full in whats(made)[0]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (facts_with.state(ticked_at=NOW - 150), []),
        (
            facts_with.state(ticked_at=NOW - 151),
            ["no TICK came for 2m31s, since the last one"],
        ),
        (
            facts_with.state(ticked_at=None),
            ["no TICK came for 10m00s, since its start"],
        ),
        (
            facts_with.state(ticked_at=None, origin=dataclasses.replace(STATE.origin, tick_seconds=0)),
            [],
        ),
        (facts_with.listener(events={}), []),
        (facts_with.listener(user=""), []),
        (facts_with.listener(asking_user=""), []),
    ],
)
def test_listener_is_blamed_only_for_what_is_known(facts: Facts, expected: list[str]) -> None:
    assert whats(facts) == expected


def test_damaged_state_of_a_listener_that_does_not_run_is_no_finding_of_its_own() -> None:
    """The next listener writes a new one."""
    process = info(ProcessState.STOPPED, group="memkill", name="memkill")
    facts = facts_with.listener(state=None, is_alive=False, unreadable="it is damaged", processes=(process,))
    assert names(facts) == ["listener-down"]


def test_listener_in_the_unknown_state_is_one_finding() -> None:
    facts = facts_with.listener(
        state=dataclasses.replace(STATE, ticked_at=NOW - 1000),
        in_unknown_state=frozenset({LISTENER}),
    )
    assert names(facts) == ["listener-in-unknown-state"]


def test_restart_of_the_listener_is_named_with_its_own_name() -> None:
    own = dataclasses.replace(STATE.origin, name="watch:watch")
    facts = facts_with.listener(changes=("x",), state=dataclasses.replace(STATE, origin=own))
    assert "supervisorctl restart watch:watch;" in examine(facts)[0].change
    nameless = dataclasses.replace(STATE.origin, name="")
    facts = facts_with.listener(changes=("x",), state=dataclasses.replace(STATE, origin=nameless))
    assert "supervisorctl restart memkill;" in examine(facts)[0].change
