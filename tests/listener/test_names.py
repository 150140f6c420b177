"""The name by which the other hosts know a listener."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Answer, Published
from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.journal_format import Contents
from tests.listener.situations import (
    others_stop,
)
from tests.listener_world import (
    Life,
    SharedCoordinator,
    StopKind,
    World,
)


def test_restarted_listener_keeps_its_instance(world: World, path: Path) -> None:
    """With a new instance, its name would count as taken by another listener."""
    told: list[str] = []

    def coordinate(contents: Contents) -> SharedCoordinator:
        told.append(contents.instance)
        return SharedCoordinator(world)

    for _ in range(2):
        life = Life(world, path, coordinate=coordinate)
        life.tick()
        life.die()
    first, second = told
    assert first == second != ""


def test_name_that_another_listener_has_is_logged_once_per_conflict(world: World, path: Path) -> None:
    class Taken(SharedCoordinator):
        is_taken = True

        def publish(self, *arguments: Any) -> Published:
            return dataclasses.replace(super().publish(*arguments), name_is_taken=self.is_taken)

    coordinator = Taken(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(60)
    (line,) = life.stream.having("listener.name_is_taken")
    assert "host=here" in line and "set host" in line
    for coordinator.is_taken in (False, True):
        life.run(60)
    assert len(life.stream.having("listener.name_is_taken")) == 2


def test_former_process_of_this_listener_is_waited_for_and_no_error(world: World, path: Path) -> None:
    class Former(SharedCoordinator):
        seconds: float | None = 27.0

        def publish(self, *arguments: Any) -> Published:
            is_taken = self.seconds is not None
            published = super().publish(*arguments)
            return dataclasses.replace(published, name_is_taken=is_taken, former_seconds=self.seconds)

    coordinator = Former(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(60)
    (line,) = life.stream.having("listener.waits_for_former")
    assert line.endswith("host=here expires_in=27s")
    for coordinator.seconds in (None, 29.0):
        life.run(60)
    assert len(life.stream.having("listener.waits_for_former")) == 2
    assert life.stream.having("listener.name_is_taken") == []


class Epochs(SharedCoordinator):
    """Answers with the epoch of the pool's data."""

    epoch = "first"

    def publish(self, *arguments: Any) -> Published:
        return dataclasses.replace(super().publish(*arguments), epoch=self.epoch)


def test_pools_that_it_saw_are_known_to_the_next_listener(world: World, path: Path) -> None:
    """Else it could take lost data for a new pool."""
    seen: list[object] = []

    def coordinate(contents: Contents) -> Epochs:
        seen.append(contents.epochs)
        return Epochs(world)

    for epoch in ("first", "second"):
        Epochs.epoch = epoch
        life = Life(world, path, coordinate=coordinate)
        life.tick()
        assert life.journal.load().contents.epochs == {"jobs": epoch}
        life.die()
    assert seen == [{}, {"jobs": "first"}]


def test_each_pool_has_its_own_epoch() -> None:
    seen = Contents(epochs={"a": "1"}).with_epoch("b", "2")
    assert seen.epochs == {"a": "1", "b": "2"}
    assert Contents(epochs=None).with_epoch("b", "2").epochs == {"b": "2"}


def test_pool_of_which_it_has_reported_nothing_is_not_one_that_it_saw(world: World, path: Path) -> None:
    """Another listener has its name, or nothing is shared: the answer has no epoch."""
    life = Life(world, path, coordinate=lambda contents: SharedCoordinator(world))
    life.tick()
    assert life.journal.load().contents.epochs == {}


@pytest.mark.parametrize("text", ["damaged", ""])
def test_after_a_damaged_journal_any_pool_may_have_been_seen(world: World, path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text(text)
    seen: list[object] = []

    def coordinate(contents: Contents) -> Epochs:
        seen.append(contents.epochs)
        return Epochs(world)

    life = Life(world, path, coordinate=coordinate)
    life.tick()
    assert seen == [{"jobs": ""}]


def test_journal_of_the_former_version_does_not_say_which_pools_were_seen(world: World, path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes((Path(__file__).parent / "journals" / "format-1.journal").read_bytes())
    seen: list[object] = []

    def coordinate(contents: Contents) -> Epochs:
        seen.append(contents.epochs)
        return Epochs(world)

    life = Life(world, path, coordinate=coordinate)
    life.journal = Journal(path, "this boot")
    life.tick()
    assert seen == [{"jobs": ""}]


def test_pools_that_were_seen_before_a_reboot_are_known(path: Path) -> None:
    Journal(path, "one boot").save(Contents(instance="i", epochs={"jobs": "e"}))
    loaded = Journal(path, "another boot").load()
    assert loaded.other_boot and loaded.contents == Contents(epochs={"jobs": "e"})


def test_stop_is_not_repeated_while_own_workers_count_under_a_former_name(world: World, path: Path) -> None:
    """S2: the worker would be its own peer."""

    class Named(SharedCoordinator):
        ends_at = 0.0

        def __init__(self, name: str) -> None:
            super().__init__(world)
            self.name = name

        def acquire(self, *arguments: Any) -> Answer:
            answer = super().acquire(*arguments)
            itself = 1 if self._world.now < self.ends_at else 0
            return dataclasses.replace(answer, others_in_service=answer.others_in_service + itself)

    former = Named("former")
    life = Life(world, path, kind=StopKind, die_at="stopping.saved", coordinate=lambda contents: former)
    others_stop(world, life.run_to_death())
    present = Named("present")
    present.ends_at = world.now + 30.0
    life = Life(world, path, kind=StopKind, coordinate=lambda contents: present)
    life.run(60)
    assert not world.broken_promises, world.broken_promises
    assert life.stream.having("drain.let_go"), "its peers do not suffice any more"
