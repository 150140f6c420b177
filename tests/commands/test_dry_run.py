"""The dry run: one check, shown as a table or as JSON, that changes nothing."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from supervisor_memkill.commands.dry_run_report import (
    NO_LIMIT,
    NO_PROGRAMS,
    NOT_DRAINED,
    as_json,
    as_table,
)
from supervisor_memkill.commands.output import as_shown
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Advice, LeftBehind
from tests import builders
from tests.commands.dry_runs import report_on, row
from tests.listener_world import FRESH, LIMIT, SharedCoordinator, World, pool_config

FIELDS = {
    "pool",
    "worker",
    "state",
    "pid",
    "memory_bytes",
    "limit_bytes",
    "hard_limit_bytes",
    "busy",
    "peers_in_service",
    "over",
    "would_drain",
    "verdict",
}


def test_measure_that_cannot_be_read_is_noted_once_with_its_cures(world: World) -> None:
    world.measure_lost = "pss of process 812 needs the capability SYS_PTRACE"
    (note,) = [note for note in report_on(world).notes if world.measure_lost in note]
    assert "cap_add" in note and "measure = rss" in note


def test_command_before_the_stop_that_cannot_be_run_is_noted_and_refuses_no_drain(world: World) -> None:
    report = report_on(world, pool_config(before_stop=("/nope/dump", "%(pid)s")))
    assert any("/nope/dump is not an executable file" in note for note in report.notes)
    sound = report_on(world, pool_config(before_stop=("/bin/sh", "-c", "true")))
    assert not any("before_stop" in note for note in sound.notes)
    assert [one.verdict for one in report.rows] == [one.verdict for one in sound.rows]


def test_listener_that_cannot_write_its_journal_drains_nothing(world: World) -> None:
    sound = report_on(world)
    assert row(sound, "one").would_drain and sound.is_whole
    full = "no space is left in the file system of /own"
    report = report_on(world, unwritable=full)
    assert not any(one.would_drain for one in report.rows)
    assert row(report, "one").verdict.endswith("would wait: the listener cannot write its journal")
    assert row(report, "two").verdict == row(report, "one").verdict, "no other drain is in its way"
    assert report.notes[-1] == f"{NOT_DRAINED}: {full}, and the listener cannot write its journal"
    assert not report.is_whole


def test_names_that_the_output_writes_as_escapes_shift_no_column(world: World) -> None:
    report = report_on(world)
    report = dataclasses.replace(
        report, rows=(dataclasses.replace(report.rows[0], worker="größe"), *report.rows)
    )
    lines = as_table(as_shown(report, "ascii")).splitlines()[: len(report.rows) + 1]
    assert r"gr\xf6\xdfe" in lines[1]
    begins = [re.sub(r"(\S+ +\S+ +).*", r"\1", line) for line in lines]
    assert len(set(map(len, begins))) == 1, begins


def test_settings_that_would_lose_jobs_are_noted_and_hold(world: World) -> None:
    world.advice = (Advice("stopsignal=TERM must be INT", refuses=True), Advice("exec is missing"))
    report = report_on(world)
    assert not any(one.would_drain for one in report.rows)
    assert (
        row(report, "one").verdict
        == "over its limit, but its settings in supervisord would lose jobs (stopsignal=TERM must be INT)"
    )
    assert report.notes == (
        "jobs:one and 2 more: stopsignal=TERM must be INT (not drained until this is changed)",
        "jobs:one and 2 more: exec is missing",
    )


def test_most_urgent_would_be_drained_and_the_others_would_wait(world: World) -> None:
    world.workers["jobs:two"].memory = 3 * LIMIT
    report = report_on(world)
    assert row(report, "two").verdict == "over its limit, would be drained now"
    assert row(report, "two").would_drain
    assert row(report, "one").verdict == "over its limit, would wait: max_draining is reached (jobs:two)"
    assert not row(report, "one").would_drain
    assert row(report, "one").over


def test_settings_that_lose_running_jobs_are_noted_with_what_follows(world: World) -> None:
    world.advice = (Advice("stopwaitsecs=10 must be above 25", cuts_jobs=True),)
    report = report_on(world)
    assert sum(one.would_drain for one in report.rows) == 1
    (note,) = report.notes
    assert note.endswith("on_timeout = stop waits for the running jobs)")


@pytest.mark.parametrize(("min_available", "expected"), [(0, 0), (1, 1)])
def test_pool_of_one_is_noted_with_both_ways_out(min_available: int, expected: int) -> None:
    notes = report_on(World(["only"]), pool_config(min_available=min_available)).notes
    assert len(notes) == expected
    for note in notes:
        assert "only 1 worker" in note and "set min_available = 0, or run another worker" in note


def test_peers_are_counted_before_any_worker_is_taken(world: World) -> None:
    assert [one.peers_in_service for one in report_on(world).rows] == [2, 2, 2]


def test_worker_without_peers_is_kept(world: World) -> None:
    for name in ("two", "three"):
        world.end(world.workers[f"jobs:{name}"], ProcessState.STOPPED)
    report = report_on(world)
    assert row(report, "one").verdict.endswith("0 others are in service and min_available is 1")
    stopped = row(report, "two")
    assert stopped.verdict == "not running (STOPPED)"
    assert (stopped.pid, stopped.memory_bytes, stopped.busy) == (None, None, None)


def test_worker_in_a_drain_of_the_live_listener_is_shown_as_such(world: World) -> None:
    one = world.workers["jobs:one"]
    drain = builders.drain(State.DRAINING, pid=one.pid, start=one.start)
    report = report_on(world, contents=Contents({"jobs:one": drain}))
    assert row(report, "one").verdict == "its drain is under way (draining)"
    assert "max_draining is reached (jobs:one)" in row(report, "two").verdict
    assert row(report, "two").peers_in_service == 1


def test_unknown_is_shown_as_unknown(world: World) -> None:
    world.records_away = True
    report = report_on(world)
    assert row(report, "one").busy is None
    words = "its kind cannot tell what it is or does now (Redis is away)"
    assert row(report, "one").verdict == f"over its limit, but {words}"
    assert not any(one.would_drain for one in report.rows)


def test_source_of_readings_that_is_away_is_noted_and_fails_the_dry_run(world: World) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH
    world.records_away = True
    report = report_on(world)
    assert report.notes == ("[memkill:jobs] no worker is drained until this is solved: Redis is away",)
    assert not report.is_whole


def test_process_that_nobody_supervises_is_noted(world: World) -> None:
    world.left_behind = (LeftBehind(812, "web1:812:0a1b"),)
    report = report_on(world)
    (note,) = report.notes
    assert "812 (web1:812:0a1b)" in note and "killasgroup=true" in note
    assert report.is_whole


def test_redis_away_is_noted_though_no_worker_is_over_its_limit(world: World) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH
    coordinator = SharedCoordinator(world)
    coordinator.is_away = True
    report = report_on(world, coordinator=coordinator)
    assert report.notes == ("[memkill:jobs] no worker is drained until this is solved: away",)
    assert not report.is_whole and report_on(world).is_whole


def test_without_a_limit_the_memory_is_shown_and_a_note_says_that_none_is_set(world: World) -> None:
    report = report_on(world, pool_config(max_rss=None))
    assert {one.verdict for one in report.rows} == {"no limit is set"}
    assert all(one.memory_bytes for one in report.rows)
    assert NO_LIMIT in report.notes
    assert f"note: {NO_LIMIT}" in as_table(report)


def test_with_a_limit_there_is_no_such_note(world: World) -> None:
    assert report_on(world).notes == ()


def test_table(world: World) -> None:
    world.workers["jobs:two"].memory = FRESH
    world.end(world.workers["jobs:three"], ProcessState.FATAL)
    assert as_table(report_on(world)) == (
        "POOL  WORKER      PID  MEMORY  LIMIT  BUSY  PEERS  VERDICT\n"
        "jobs  jobs:one    101  400MB   200MB  1     1      over its limit, would be drained now\n"
        "jobs  jobs:two    102  50MB    200MB  1     1      under its limit\n"
        "jobs  jobs:three  -    -       200MB  -     2      not running (FATAL)\n"
    )


def test_without_a_pool_there_are_no_peers_and_no_words_about_patterns(world: World) -> None:
    report = report_on(world, pool_config(max_rss=None, programs=("*",)), has_pools=False)
    assert {one.peers_in_service for one in report.rows} == {None}
    assert report.notes == (NO_LIMIT,)


def test_supervisord_without_programs_is_named_as_such(world: World) -> None:
    world.workers.clear()
    report = report_on(world, pool_config(max_rss=None, programs=("*",)), has_pools=False)
    assert (report.rows, report.notes) == ((), (NO_PROGRAMS,))
    assert as_table(report) == f"note: {NO_PROGRAMS}\n"


def test_workers_that_run_for_less_than_settle_are_named_as_no_peers_yet(world: World) -> None:
    report = report_on(world, pool_config(settle_seconds=10_000.0))
    assert {one.peers_in_service for one in report.rows} == {0}
    (note,) = report.notes
    assert note == (
        "[memkill:jobs] PEERS does not count jobs:one and 2 more yet: up for less than settle (2h46m)"
    )


def test_json_has_every_field_in_plain_units(world: World) -> None:
    report = report_on(world, pool_config(hard_max_rss=Size(exact_bytes=3 * LIMIT)))
    shown = json.loads(as_json(report))
    assert set(shown) == {"workers", "notes", "files", "proposals"} and shown["proposals"] == []
    assert all(set(worker) == FIELDS for worker in shown["workers"])
    first = shown["workers"][0]
    assert (first["memory_bytes"], first["limit_bytes"], first["hard_limit_bytes"]) == (
        2 * LIMIT,
        LIMIT,
        3 * LIMIT,
    )
    assert (first["state"], first["over"], first["would_drain"]) == ("RUNNING", True, True)
