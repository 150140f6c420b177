"""The quiet, and the wait for running jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests.listener.situations import (
    any_is_fresh,
    run_until_replaced,
)
from tests.listener_world import (
    Life,
    QuietKind,
    World,
)


def test_worker_with_a_running_job_is_not_stopped(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run(120)
    assert not [act for act in world.happened if act.startswith("stop")]
    world.finish_jobs()
    run_until_replaced(life, world)


def test_draining_worker_is_looked_at_every_poll_interval(world: World, path: Path) -> None:
    life = Life(world, path, poll_interval_seconds=0.5)
    life.run_to(State.DRAINING)
    life.listener.turn(ticked=False)
    assert life.listener.wait_seconds() == 0.5


def test_kind_reads_running_processes_only_with_a_note_only_during_a_drain(world: World, path: Path) -> None:
    """`Target.note` is None outside a drain and while a drain only asks."""
    states, notes = set[ProcessState](), list[Any]()

    class Watched(QuietKind):
        def _read(self, target: Any) -> Any:
            states.add(target.process.state)
            if not world.happened:
                notes.append(target.note)
            return super()._read(target)

    world.finish_jobs()
    life = Life(world, path, kind=Watched)
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert states == {ProcessState.RUNNING}
    assert notes and notes == [None] * len(notes)


def test_unreadable_records_hold_all_drains(world: World, path: Path) -> None:
    world.records_away = True
    world.finish_jobs()
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    assert "Redis is away" in life.stream.having("worker.held")[0]
    world.records_away = False
    run_until_replaced(life, world)


def test_unreadable_records_during_a_drain_delay_its_stop(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    world.records_away = True
    world.finish_jobs()
    life.run(120)
    assert not [act for act in world.happened if act.startswith("stop")]
    world.records_away = False
    run_until_replaced(life, world)


def test_slow_disk_does_not_keep_a_worker_quiet_forever(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    save = life.journal.save

    def slowly(contents: Contents) -> None:
        save(contents)
        world.advance(3.2)

    life.journal.save = slowly  # type: ignore[method-assign]
    world.finish_jobs()
    life.run(600, until=lambda: any_is_fresh(world))
    assert any_is_fresh(world), life.stream.lines
