"""The listener of the supervisord that is asked: found by hand, and what the dry run says about it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.commands.configuration import find_configuration
from supervisor_memkill.commands.context import build
from supervisor_memkill.commands.dry_run_notes import of_listener, of_outages
from supervisor_memkill.commands.dry_run_report import NOT_DRIVEN
from supervisor_memkill.commands.found_listener import FoundListener, find_listener
from supervisor_memkill.config.loaded import Loaded, loaded
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.supervisord_files import read_supervisord
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.journal import read_boot_id
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.state_values import ListenerState, Origin, OutageState, process_began
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.world.supervisord import SupervisordError
from tests import builders
from tests.commands.dry_runs import report_on, row
from tests.listener_world import World
from tests.real.listener_process import AnsweringSupervisord

SUPERVISORD_PID = os.getpid()
"""What AnsweringSupervisord answers."""


def state(**values: Any) -> ListenerState:
    """The state of a listener that lives: this process."""
    pid = os.getpid()
    defaults: dict[str, Any] = {
        "version": "1",
        "pid": pid,
        "created": process_began(pid),
        "boot_id": read_boot_id(),
        "host": "here",
        "dry_run": False,
        "started_at": 0.0,
        "written_at": boot_clock(),
        "ticked_at": None,
        "origin": Origin("memkill:memkill", SUPERVISORD_PID),
    }
    return ListenerState(**{**defaults, **values})


DEAD = {"pid": 2**22 + 1}


class ByHand:
    """A configuration, a supervisord that answers, and the journal's place."""

    def __init__(self, directory: Path, url: str) -> None:
        self.config = directory / "memkill.conf"
        self.journal = directory / "own" / "x.journal"
        self.config.write_text(f"[memkill]\njournal = {self.journal}\n[memkill:job]\nmax_rss = 1GB\n")
        self.url = url

    def write(self, written: ListenerState) -> None:
        path = state_file.path_beside(self.journal, is_dry_run=written.dry_run)
        assert state_file.write(path, written)

    def find(self) -> FoundListener:
        given = {"config": self.config, "serverurl": self.url, "dry_run": False}
        arguments = argparse.Namespace(**given, username=None, password=None)
        configuration = find_configuration(arguments, {})
        context = build(configuration, configuration.supervisord(arguments, {}), {}, own_group="")
        return find_listener(configuration, context)


@pytest.fixture
def by_hand(tmp_path: Path) -> Any:
    supervisord = AnsweringSupervisord()
    yield ByHand(tmp_path, supervisord.url)
    supervisord.close()


def test_state_of_the_living_listener_is_found(by_hand: ByHand) -> None:
    by_hand.write(state())
    found = by_hand.find()
    assert (found.journal, found.is_alive, found.is_dead, found.name) == (
        by_hand.journal,
        True,
        False,
        "memkill:memkill",
    )


def test_listener_whose_process_ended_is_dead(by_hand: ByHand) -> None:
    by_hand.write(state(**DEAD))
    found = by_hand.find()
    assert (found.is_alive, found.is_dead) == (False, True)
    assert found.why_dead == f"its last process was pid {2**22 + 1}; supervisord has no memkill:memkill"


@pytest.mark.parametrize("origin", [Origin(supervisord_pid=SUPERVISORD_PID + 1), Origin()])
def test_state_of_another_supervisord_is_not_taken(by_hand: ByHand, origin: Origin) -> None:
    by_hand.write(state(origin=origin))
    found = by_hand.find()
    assert found.state is None
    assert f"(pid {SUPERVISORD_PID}) has written its state yet" in found.problem


def test_listener_that_drains_comes_before_a_dry_run_and_a_living_one_before_a_dead_one(
    by_hand: ByHand,
) -> None:
    by_hand.write(state(dry_run=True))
    assert by_hand.find().state == state_file.read(state_file.path_beside(by_hand.journal, is_dry_run=True))
    by_hand.write(state(**DEAD))
    found = by_hand.find().state
    assert found is not None and found.dry_run
    by_hand.write(state())
    found = by_hand.find().state
    assert found is not None and not found.dry_run


def test_damaged_state_is_a_problem_in_words(by_hand: ByHand) -> None:
    by_hand.write(state())
    state_file.path_beside(by_hand.journal).write_text("{")
    found = by_hand.find()
    assert found.state is None and "damaged" in found.problem
    assert (found.is_unreadable, found.is_hidden) == (True, False)


def test_changed_configuration_is_named_by_its_sections(by_hand: ByHand) -> None:
    before = loaded(read_file(by_hand.config), by_hand.config)
    by_hand.write(state(origin=Origin("m:m", SUPERVISORD_PID, configuration=before)))
    assert by_hand.find().changes == ()
    by_hand.config.write_text(by_hand.config.read_text().replace("1GB", "2GB"))
    assert by_hand.find().changes == (f"[memkill:job] was changed in {by_hand.config}",)
    by_hand.write(state(origin=Origin("m:m", SUPERVISORD_PID, configuration=Loaded())))
    assert by_hand.find().changes is None


def test_change_in_an_included_file_is_named(by_hand: ByHand) -> None:
    included = by_hand.config.with_name("pools.conf")
    included.write_text("[memkill:more]\nmax_rss = 1GB\n")
    by_hand.config.write_text(f"{by_hand.config.read_text()}[include]\nfiles = pools.conf\n")
    before = loaded(read_supervisord(by_hand.config, {}, "here"), by_hand.config)
    by_hand.write(state(origin=Origin("m:m", SUPERVISORD_PID, configuration=before)))
    assert by_hand.find().changes == ()
    included.write_text(included.read_text().replace("1GB", "2GB"))
    assert by_hand.find().changes == (f"[memkill:more] was changed in {included}",)


def test_secret_written_anew_is_named(by_hand: ByHand) -> None:
    secret = by_hand.config.with_name("url")
    secret.write_text("redis://:old@127.0.0.1:1/0")
    os.utime(secret, (1, 1))
    before = loaded(read_file(by_hand.config), by_hand.config, [str(secret)])
    by_hand.write(state(origin=Origin("m:m", SUPERVISORD_PID, configuration=before)))
    assert by_hand.find().changes == ()
    secret.write_text("redis://:new@127.0.0.1:1/0")
    assert by_hand.find().changes == (f"redis_file {secret} was written anew",)


def test_supervisord_on_another_machine_shows_no_state_of_this_one(by_hand: ByHand) -> None:
    by_hand.write(state())
    given = {"config": by_hand.config, "serverurl": by_hand.url, "dry_run": False}
    arguments = argparse.Namespace(**given, username=None, password=None)
    configuration = find_configuration(arguments, {})
    context = build(configuration, configuration.supervisord(arguments, {}), {}, own_group="")
    context.supervisord.url = "http://192.0.2.1:9001"
    found = find_listener(dataclasses.replace(configuration, supervisord_pid=None), context)
    assert found.is_hidden and not found.is_dead and "http://192.0.2.1:9001 is on another" in found.problem


def test_another_machine_that_does_not_answer_is_away(tmp_path: Path) -> None:
    """A misspelt host name is not taken for a machine whose listener cannot be seen from here."""
    by_hand = ByHand(tmp_path, "http://127.0.0.1:9")
    given = {"config": by_hand.config, "serverurl": by_hand.url, "dry_run": False}
    arguments = argparse.Namespace(**given, username=None, password=None)
    configuration = find_configuration(arguments, {})
    context = build(configuration, configuration.supervisord(arguments, {}), {}, own_group="")
    context.supervisord.url = "http://web-l:9001"
    with pytest.raises(SupervisordError, match=re.escape("cannot be reached at http://web-l:9001")):
        find_listener(configuration, context)


# --- what the dry run says --------------------------------------------------------------------------


def drained(world: World) -> Contents:
    one = world.workers["jobs:one"]
    drain = builders.drain(State.DRAINING, pid=one.pid, start=one.start)
    return Contents({"jobs:one": dataclasses.replace(drain, since=world.now - 65)})


def notes(found: FoundListener, world: World) -> list[str]:
    return list(of_listener(found, drained(world), world.now))


PATH = Path("/own/x.journal")
STOPPED = ProcessInfo("memkill", "memkill", ProcessState.STOPPED, 0, 0, 0, 0)


def test_living_listener_drives_the_drain() -> None:
    (note,) = notes(FoundListener(PATH, state(), changes=()), World())
    assert note == (
        f"the listener memkill:memkill (pid {os.getpid()}) drives the drain of jobs:one (draining, for 1m05s)"
    )


def test_dead_listener_drives_nothing() -> None:
    (note,) = notes(FoundListener(PATH, state(**DEAD), process=STOPPED), World())
    assert note == (
        f"no listener works (its last process was pid {2**22 + 1}; supervisord shows memkill:memkill as"
        " STOPPED), and nobody drives the drain of jobs:one (draining, for 1m05s); start it:"
        " supervisorctl start memkill:memkill"
    )


def test_supervisord_without_a_listener_is_no_news_until_a_drain_is_left() -> None:
    found = FoundListener(PATH, problem="none")
    assert list(of_listener(found, Contents(), 0.0)) == []
    (note,) = notes(found, World())
    assert "nobody drives the drain of jobs:one" in note and "[eventlistener:memkill]" in note


def test_older_configuration_in_force_is_named_with_what_to_do() -> None:
    found = FoundListener(PATH, state(), changes=("[memkill:jobs] was changed in /x",))
    (note,) = of_listener(found, Contents(), 0.0)
    assert "works with an older one: [memkill:jobs] was changed in /x" in note
    assert note.endswith("supervisorctl restart memkill:memkill")


def test_dry_run_listener_is_named_as_such() -> None:
    (note,) = notes(FoundListener(PATH, state(dry_run=True), changes=()), World())
    assert note.endswith("is a dry run: it drains nothing")


def test_outage_of_the_running_listener_is_named_unless_another_note_has_it() -> None:
    """A Redis without memory answers a dry run, which only reads, and refuses the listener."""
    away = {"coordination": OutageState("Redis: full", 1.0)}
    found = FoundListener(PATH, state(away=away), changes=())
    assert list(of_outages(found, [], 66.0)) == [
        "coordination has not answered the running listener for 1m05s, and no drain begins: Redis: full"
    ]
    assert not list(of_outages(found, ["no worker is drained until this is solved: Redis: full"], 66.0))
    assert not list(of_outages(FoundListener(PATH, state(away=away, **DEAD)), [], 66.0))


def test_state_of_another_user_is_named_as_the_cause_of_ignorance() -> None:
    assert notes(FoundListener(PATH, problem="it belongs to root", is_hidden=True), World()) == [
        "it belongs to root"
    ]


def test_state_that_cannot_be_understood_is_named_while_a_listener_runs() -> None:
    running = dataclasses.replace(STOPPED, state=ProcessState.RUNNING, pid=7)
    found = FoundListener(PATH, problem="its format is 9", is_unreadable=True, process=running)
    assert notes(found, World()) == ["who drives a drain is not known: its format is 9"]
    (note,) = notes(dataclasses.replace(found, process=STOPPED), World())
    assert "nobody drives the drain of jobs:one" in note


def test_verdict_on_a_left_drain_says_that_no_listener_works() -> None:
    world = World()
    report = report_on(world, contents=drained(world), has_listener=False)
    assert row(report, "one").verdict == f"{NOT_DRIVEN} (draining)"
