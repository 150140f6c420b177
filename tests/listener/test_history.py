"""The listener that holds the journal keeps the history of its drains, and of what it held for long."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from supervisor_memkill.listener import history_file, interval_file
from supervisor_memkill.listener.history_file import HistoryFile
from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import HistoryAway, HistoryBack
from supervisor_memkill.notices.history import HistorySink
from supervisor_memkill.notices.intervals import Interval
from supervisor_memkill.notices.records import DrainRecord, HeldRecord
from supervisor_memkill.rules.drain import State
from tests.listener.situations import only_one_is_bloated, peers_stop
from tests.listener_world import BLOATED, FRESH, Life, QuietKind, World, pool_config


def history_of(world: World, path: Path) -> HistorySink:
    """Written to the disk, as the listener has it."""
    outage = Outage(HistoryAway, HistoryBack, Notifier([]), world.clock)
    return HistorySink(HistoryFile(path, outage, world.clock), "here", lambda: float(world.epoch))


def life_with_history(world: World, path: Path, **values: object) -> Life:
    return Life(world, path, history=history_of(world, path), **values)  # type: ignore[arg-type]


def drains(path: Path) -> list[DrainRecord]:
    return [one for one in history_file.read(path).records if isinstance(one, DrainRecord)]


def holds(path: Path) -> list[HeldRecord]:
    return [one for one in history_file.read(path).records if isinstance(one, HeldRecord)]


def test_drain_is_in_the_history_with_what_the_log_says(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    world.finish_jobs()
    life = life_with_history(world, path)
    life.run(120, until=lambda: bool(life.stream.having("drain.done")))
    (record,), (line,) = drains(path), life.stream.having("drain.done")
    assert (record.worker, record.pool, record.host) == ("jobs:one", "jobs", "here")
    assert (record.kind, record.outcome, record.reason) == ("fake", "done", "max_rss")
    assert record.cause == "idle" and "cause=idle" in line
    assert (record.before_bytes, record.after_bytes) == (BLOATED, FRESH)
    for seconds in (record.quiet_seconds, record.stopped_seconds, record.took_seconds):
        assert seconds is not None and seconds >= 0
    assert record.curve is not None and record.curve[-1][1] == BLOATED


def test_stop_because_of_the_timeout_is_said(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    life = life_with_history(world, path, config=pool_config(drain_timeout_seconds=20.0))
    life.run(120, until=lambda: bool(drains(path)))
    (record,) = drains(path)
    assert record.cause == "drain_timeout"


def test_cause_of_the_stop_survives_the_listener(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    world.finish_jobs()
    life = life_with_history(world, path)
    life.run_to(State.SETTLING)
    life.die()
    life = life_with_history(world, path)
    life.run(120, until=lambda: bool(drains(path)))
    assert drains(path)[0].cause == "idle"


def test_killed_worker_is_recorded_with_its_jobs(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    for worker in world.workers.values():
        worker.stop_seconds = 60
    life = life_with_history(world, path, config=pool_config(drain_timeout_seconds=20.0))
    life.run(240, until=lambda: bool(drains(path)))
    (record,) = drains(path)
    assert (record.outcome, record.jobs_cut, record.jobs) == ("killed", 1, ("Job",))
    assert life.stream.having("drain.killed") and not life.stream.having("drain.done")


def test_killed_worker_that_the_operator_keeps_stopped_is_one_record(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    for worker in world.workers.values():
        worker.stop_seconds = 60
    life = life_with_history(world, path, config=pool_config(drain_timeout_seconds=20.0))
    life.run_to(State.SETTLING)
    world.operator_stops("jobs:one")
    life.run(60, until=lambda: not life.drains())
    (record,) = drains(path)
    assert (record.outcome, record.cause) == ("killed", "stopped_by_others")


def test_dry_run_writes_no_history(world: World, path: Path) -> None:
    life = life_with_history(world, path, dry_run=True)
    life.run(30)
    assert not path.parent.exists()


def test_listener_that_waits_for_the_journal_writes_no_history(world: World, path: Path) -> None:
    first = life_with_history(world, path)
    first.tick()
    second = life_with_history(world, path)
    world.finish_jobs()
    for _ in range(30):
        second.tick()
        world.advance(60.0)
    assert not history_file.paths_beside(path)[0].exists()


def test_disk_that_fails_disturbs_no_drain(world: World, path: Path) -> None:
    """The journal is on a disk that works; the history's place is taken by a directory."""
    only_one_is_bloated(world)
    world.finish_jobs()
    history_file.paths_beside(path)[0].mkdir(parents=True)
    path.parent.chmod(0o700)
    life = life_with_history(world, path)
    life.run(120, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("drain.done") and not life.stream.having("failed")


# --- held for long -----------------------------------------------------------------------------------


def hours(life: Life, number: float) -> None:
    """One turn with a TICK each minute."""
    for _ in range(int(number * 60)):
        life.tick()
        life.world.advance(60.0)


def test_worker_that_waits_for_more_than_an_hour_is_said_once(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    peers_stop(world)
    life = life_with_history(world, path)
    hours(life, 0.99)
    assert not holds(path)
    hours(life, 5)
    (record,) = holds(path)
    assert (record.worker, record.pool, record.is_over) == ("jobs:one", "jobs", False)
    assert record.cause == "too_few_in_service" and 3600 < record.held_seconds < 3800
    (line,) = life.stream.having("worker.held_long")
    assert "held=1h" in line and "cause=too_few_in_service" in line


def test_end_of_a_long_wait_is_said_with_its_length(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    world.finish_jobs()
    peers_stop(world)
    life = life_with_history(world, path)
    hours(life, 3)
    for name in world.workers:
        if name != "jobs:one":
            world.operator_restarts(name)
    hours(life, 0.2)
    first, over = holds(path)
    assert not first.is_over and over.is_over and 3 * 3600 <= over.held_seconds < 3.2 * 3600
    assert life.stream.having("worker.held_long_over")


def test_wait_goes_on_when_its_cause_changes(world: World, path: Path) -> None:
    """The worker waits all the while, first for its peers, then for its own record."""
    only_one_is_bloated(world)
    peers_stop(world)
    life = life_with_history(world, path)
    hours(life, 0.7)
    world.records_away = True
    hours(life, 0.7)
    (record,) = holds(path)
    assert record.cause == "unreadable" and record.held_seconds > 3600


@pytest.mark.parametrize("change", ["shrinks", "restarts", "is removed"])
def test_worker_without_a_reason_any_more_waits_no_longer(world: World, path: Path, change: str) -> None:
    only_one_is_bloated(world)
    peers_stop(world)
    life = life_with_history(world, path)
    hours(life, 0.9)
    if change == "shrinks":
        world.workers["jobs:one"].memory = FRESH
    elif change == "restarts":
        world.operator_restarts("jobs:one")
    else:
        removed = world.workers.pop("jobs:one")
    hours(life, 0.05)
    if change == "is removed":
        world.workers["jobs:one"] = removed
    world.workers["jobs:one"].memory = BLOATED
    hours(life, 0.9)
    assert not holds(path)


def test_look_that_failed_ends_no_wait(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    peers_stop(world)

    class Fails(QuietKind):
        def read(self, *arguments: object) -> dict[str, object]:  # type: ignore[override]
            if world.records_away:
                raise RuntimeError("odd")
            return dict(super().read(*arguments))  # type: ignore[arg-type]

    life = life_with_history(world, path, kind=Fails)
    hours(life, 0.8)
    world.records_away = True
    hours(life, 0.1)
    world.records_away = False
    hours(life, 0.3)
    (record,) = holds(path)
    assert record.held_seconds > 3600


def test_dry_run_says_nothing_of_long_waits(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    peers_stop(world)
    life = life_with_history(world, path, dry_run=True)
    hours(life, 2)
    assert not life.stream.having("worker.held_long")


def test_journal_with_a_cause_of_a_newer_version_is_no_damage(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    world.finish_jobs()
    life = life_with_history(world, path)
    life.run_to(State.SETTLING)
    journal = Journal(path, "boot")
    contents = journal.load().contents
    (drain,) = contents.drains.values()
    assert drain.stop.cause is not None
    life.die()
    unknown = dataclasses.replace(drain.stop, cause=Newer())  # type: ignore[arg-type]
    journal.save(
        dataclasses.replace(contents, drains={drain.worker: dataclasses.replace(drain, stop=unknown)})
    )
    loaded = journal.load()
    assert not loaded.damaged and loaded.contents.drains[drain.worker].stop.cause is None


class Newer:
    """A cause that this version does not have."""

    value = "full_moon"


# --- the running jobs ---------------------------------------------------------------------------------------


def with_intervals(world: World, path: Path) -> HistorySink:
    outage = Outage(HistoryAway, HistoryBack, Notifier([]), world.clock)
    return HistorySink(
        HistoryFile(path, outage, world.clock),
        "here",
        lambda: float(world.epoch),
        intervals=lambda: interval_file.IntervalFile(path, outage, world.clock),
        ticks=world.clock,
    )


def observed(path: Path) -> list[Interval]:
    return list(interval_file.read(path).intervals)


def test_drain_has_the_job_classes_of_its_old_process(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    life = life_with_history(world, path)
    life.run_to(State.DRAINING)
    world.finish_jobs()
    life.run(240, until=lambda: bool(drains(path)))
    (record,) = drains(path)
    assert record.job_classes is not None and list(record.job_classes) == ["Job"]


def test_intervals_of_each_worker_are_kept_and_those_of_the_next_listener_follow(
    world: World, path: Path
) -> None:
    life = Life(world, path, history=with_intervals(world, path))
    life.run(180, until=lambda: len(observed(path)) >= 4)
    life.die()
    before = observed(path)
    life = Life(world, path, history=with_intervals(world, path))
    life.run(180, until=lambda: len(observed(path)) > len(before))
    after = observed(path)
    assert after[: len(before)] == before
    assert {one.worker for one in after} <= set(world.workers)
    assert all(set(one.running_seconds) <= {"Job"} for one in after)
    assert any(one.running_seconds for one in after)
    assert all(one.seconds > 0 for one in after)


def test_reading_without_the_jobs_is_in_no_interval(world: World, path: Path) -> None:
    """The source of the readings is away: nobody knows what runs."""
    world.records_away = True
    life = Life(world, path, history=with_intervals(world, path))
    life.run(180)
    assert observed(path) == []
    assert not interval_file.paths_beside(path).present.exists()
