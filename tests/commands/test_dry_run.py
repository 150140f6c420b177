"""The dry run: one check, shown as a table or as JSON, that changes nothing."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.commands.dry_run_notes import FirstWait
from supervisor_memkill.commands.dry_run_report import (
    NO_LIMIT,
    NO_PROGRAMS,
    Report,
    Row,
    as_json,
    as_table,
    check,
)
from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.coordination.contract import ListenerRules, PoolView
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.coordination.read_only import ReadOnlyCoordinator
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Advice, LeftBehind, Tools
from tests import builders
from tests.listener_world import FRESH, LIMIT, QuietKind, SharedCoordinator, World, WorldTable, pool_config
from tests.real.conftest import StartPool, start_pool

__all__ = ["start_pool"]

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


@pytest.fixture
def world() -> World:
    return World()


def report_on(
    world: World,
    config: PoolConfig | None = None,
    contents: Contents | None = None,
    coordinator: Any = None,
    **settings: Any,
) -> Report:
    """One dry run in the world; nothing may have happened in it. `settings` are for `check`."""
    tools = Tools(redis=lambda: None, signal=world.signal, clock=world.clock, host="here")
    supervisord: Any = world
    surveyor = Surveyor(
        supervisord,
        [Pool(config or pool_config(), QuietKind({}, tools, world))],
        world.clock,
        own_group="",
        process_table=lambda: WorldTable(world),
        machine_bytes=lambda: 10 * LIMIT,
    )
    coordinator = coordinator or InProcessCoordinator(world.clock)
    report = check(surveyor, coordinator, contents or Contents(), world.clock, **settings)
    assert world.happened == []
    return report


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


def row(report: Report, name: str) -> Row:
    return next(one for one in report.rows if one.worker == f"jobs:{name}")


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


# --- with other listeners ------------------------------------------------------------------------

WAIT = FirstWait(new_seconds=30.0, lost_seconds=60.0)


class Shared:
    """What the others reported to Redis."""

    def __init__(self, view: PoolView) -> None:
        self._view = view

    def view(self, pool: str) -> PoolView:
        return self._view


def report_beside(world: World, view: PoolView, contents: Contents | None = None) -> Report:
    coordinator = ReadOnlyCoordinator(Shared(view), "here/s", world.clock)
    return report_on(world, contents=contents, coordinator=coordinator, first_wait=WAIT)


def test_new_pool_is_named_with_its_first_wait_and_nothing_is_drained_now(world: World) -> None:
    report = report_beside(world, PoolView((), is_new=True))
    assert row(report, "one").verdict == "over its limit, would be drained after the first wait"
    assert "max_draining is reached" in row(report, "two").verdict
    (note,) = report.notes
    assert note.startswith(
        "[memkill:jobs] the pool is new in Redis: after its start, the listener waits 30s "
    )


def test_pool_that_the_listener_saw_before_and_redis_lost_is_no_new_pool(world: World) -> None:
    report = report_beside(world, PoolView((), is_new=True), Contents(epochs={"jobs": "e"}))
    (note,) = report.notes
    assert note.startswith("[memkill:jobs] Redis has lost the data of this pool: after its start, the ")
    assert "waits 60s" in note or "waits 1m00s" in note


def test_listeners_that_are_silent_are_named(world: World) -> None:
    view = PoolView(
        (builders.report("two/s/jobs:a"),),
        silent=frozenset({"two/s/jobs:a", "two/s/jobs:b", "here/s/jobs:c"}),
    )
    assert report_beside(world, view).notes == (
        "[memkill:jobs] PEERS does not count the workers of silent listeners: two/s",
    )


def test_setting_of_another_listener_is_named_in_the_verdict(world: World) -> None:
    view = PoolView((), rules=(ListenerRules("two/s", 3, 1),))
    report = report_beside(world, view)
    assert row(report, "one").verdict == (
        "over its limit, would wait: 2 others are in service and min_available is 3 (a setting of two/s)"
    )
    assert report.notes == ()


def test_relaxed_setting_is_previewed_and_the_running_listeners_own_is_named(world: World) -> None:
    view = PoolView((), rules=(ListenerRules("here/s", 3, 1),))
    report = report_beside(world, view)
    assert row(report, "one").would_drain
    (note,) = report.notes
    assert note == (
        "[memkill:jobs] this table is made with min_available = 1 and max_draining = 1, but the running"
        " listener has 3 and 1: restart it to change its settings"
    )


def test_running_listener_with_the_same_settings_is_no_news(world: World) -> None:
    assert report_beside(world, PoolView((), rules=(ListenerRules("here/s", 1, 1),))).notes == ()


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


# --- by hand, at a real supervisord ------------------------------------------------------------


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor_memkill", "--dry-run", *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def by_worker(output: str) -> Mapping[str, Any]:
    return {worker["worker"]: worker for worker in json.loads(output)["workers"]}


@pytest.mark.real
def test_by_hand_it_shows_all_and_touches_nothing(start_pool: StartPool) -> None:
    pool = start_pool("custom", listener=shlex.join([sys.executable, "-c", "import time; time.sleep(600)"]))
    bloated = pool.bloat("first")
    config = str(pool.directory / "memkill.conf")
    # settle, by supervisord's whole seconds
    pool.wait_for(lambda: all(pool.process(worker).uptime_seconds > 1 for worker in pool.workers))
    table = run(pool.directory, "--config", config)
    assert table.returncode == 0, table
    heading, *rows, files = table.stdout.splitlines()
    assert heading.split() == ["POOL", "WORKER", "PID", "MEMORY", "LIMIT", "BUSY", "PEERS", "VERDICT"]
    assert [line.split()[1] for line in rows] == pool.workers
    assert files == f"configuration: {config}"
    (line,) = [line for line in rows if "would be drained now" in line]
    assert line.split()[:3] == ["job", bloated, str(pool.process(bloated).pid)]

    workers = by_worker(run(pool.directory, "--config", config, "--json").stdout)
    assert set(workers) == set(pool.workers)
    assert workers[bloated]["would_drain"]
    assert workers[bloated]["memory_bytes"] > workers[bloated]["limit_bytes"] == 40 * 1024 * 1024
    assert workers[bloated]["peers_in_service"] == 1

    assert not pool.told()
    assert not pool.journal.parent.exists()
    assert pool.ups() == 2


@pytest.mark.real
def test_by_hand_without_any_limit_it_shows_every_workers_memory(start_pool: StartPool) -> None:
    pool = start_pool("custom")
    (pool.directory / "memkill.conf").unlink()
    table = run(pool.directory)
    assert table.returncode == 0, table
    assert NO_LIMIT in table.stdout
    workers = by_worker(run(pool.directory, "--json").stdout)
    assert set(workers) == set(pool.workers), "and no event listener"
    assert all(worker["memory_bytes"] > 0 for worker in workers.values())
    assert {worker["verdict"] for worker in workers.values()} == {"no limit is set"}


@pytest.mark.real
def test_by_hand_it_shows_the_drain_under_way(start_pool: StartPool) -> None:
    pool = start_pool("custom")
    pool.hold()
    worker = pool.give("first")
    assert pool.wait_for_drain(State.DRAINING) == worker
    workers = by_worker(
        run(pool.directory, "--config", str(pool.directory / "memkill.conf"), "--json").stdout
    )
    assert workers[worker]["verdict"].startswith("its drain is under way (draining)")
    assert pool.wait_for_drain(State.DRAINING) == worker
