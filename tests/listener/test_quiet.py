"""The quiet, and the wait for running jobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessState, ProgramInfo
from supervisor_memkill.rules.drain import State
from supervisor_memkill.workers.contract import Advice, Target, Tools
from supervisor_memkill.workers.custom import Custom
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


class SuspendedKind(Custom):
    """A worker that does not catch its `quiet_signal`: the signal suspends it."""

    def __init__(self, values: Mapping[str, Any], tools: Tools, world: World) -> None:
        def signal(name: str, sent: str) -> None:
            assert sent == "TSTP"
            world.signal(name, sent)
            world.workers[name].suspended = True

        options = {**dict.fromkeys(Custom.options), "quiet_signal": "TSTP"}
        super().__init__(
            {**options, "busy_command": ("count-jobs",)}, dataclasses.replace(tools, signal=signal)
        )
        self._world = world

    def _busy(self, target: Target, count: object) -> int:
        return self._world.workers[target.process.worker].jobs

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        return ()


@pytest.mark.parametrize("place", ["quieting.acted", "draining.saved"])
def test_worker_that_its_quiet_suspended_goes_on_though_the_listener_died(
    world: World, path: Path, place: str
) -> None:
    """Its job would never end, and a stop would cut it."""
    kind: Any = SuspendedKind
    name = Life(world, path, kind=kind, die_at=place).run_to_death()
    assert place == "draining.saved" or world.workers[name].suspended
    Life(world, path, kind=kind).run(10)
    assert not world.workers[name].suspended
    assert f"stop {name}" not in world.happened
