"""What a new listener reads from the journal, writes into it, and reports, before its first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.journal_format import LONG_AGO_SECONDS, Contents
from supervisor_memkill.notices.drain_events import DryRunDrainLeft
from supervisor_memkill.notices.event import Event
from supervisor_memkill.rules.drain import State
from tests.builders import drain
from tests.listener_world import FRESH, Life, SharedCoordinator, World


class History:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)


class Named(SharedCoordinator):
    """A coordinator that gives the listener this name."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world)
        self.name = name


def left_behind(path: Path, **contents: Any) -> bytes:
    """The journal of a listener that is gone."""
    Journal(path, "boot").save(Contents(**{"instance": "former", **contents}))
    return path.read_bytes()


def begin(world: World, path: Path, **values: Any) -> Life:
    """A listener after its first turn."""
    life = Life(world, path, **values)
    life.listener.turn(ticked=False)
    return life


def test_dry_run_reports_each_drain_that_may_have_touched_its_worker_and_leaves_the_journal(
    world: World, path: Path
) -> None:
    drains = {"jobs:one": drain(State.DRAINING), "jobs:two": drain(State.ASKING, worker="jobs:two")}
    before = left_behind(path, drains=drains)
    life = begin(world, path, dry_run=True, coordinate=lambda contents: Named(world, "here/other"))
    (line,) = life.stream.having(DryRunDrainLeft.name)
    assert "jobs:one" in line and "state=draining" in line
    assert path.read_bytes() == before
    Journal(path, "boot").lock()


def test_dry_run_adds_nothing_to_the_history(world: World, path: Path) -> None:
    looks, works = History(), History()
    begin(world, path, dry_run=True, history=looks).tick()
    assert looks.events == []
    begin(world, path, history=works).tick()
    assert works.events


def test_events_of_a_drain_reach_the_stream_of_its_pool(world: World, path: Path) -> None:
    shared = SharedCoordinator(world)
    Life(world, path, coordinate=lambda contents: shared).run_to(State.DRAINING)
    assert "drain.draining" in [name for name, _ in shared.events]


def test_journal_that_another_listener_held_is_back_when_that_one_is_gone(world: World, path: Path) -> None:
    """At once, though there is nothing to write: no drain begins before."""
    for worker in world.workers.values():
        worker.memory = FRESH
    first = begin(world, path)
    second = begin(world, path)
    assert second.stream.having("journal.away") and not second.stream.having("journal.back")
    first.die()
    world.advance(30.0)
    second.listener.turn(ticked=True)
    assert len(second.stream.having("journal.back")) == 1


@pytest.mark.parametrize(
    ("damage", "boot", "reported"),
    [(b"", "boot", ""), (b"x", "boot", "journal.damaged"), (b"", "former", "journal.of_another_boot")],
)
def test_journal_that_cannot_be_taken_up_is_reported_and_a_sound_one_is_not(
    world: World, path: Path, damage: bytes, boot: str, reported: str
) -> None:
    Journal(path, boot).save(Contents(instance="former", drains={"jobs:one": drain(State.DRAINING)}))
    path.write_bytes(damage + path.read_bytes())
    life = begin(world, path)
    found = [name for name in ("journal.damaged", "journal.of_another_boot") if life.stream.having(name)]
    assert found == ([reported] if reported else [])


def test_only_a_damaged_journal_lets_quiet_workers_be_adopted(world: World, path: Path) -> None:
    """A new journal has no drain that it could have lost."""
    assert not begin(world, path).listener._ledger.contents.adopts
    damaged = path.with_name("damaged")
    damaged.write_bytes(b"x")
    life = begin(world, damaged)
    assert life.listener._ledger.contents.adopts
    assert life.listener._ledger.contents.instance


def test_listener_keeps_instance_pools_and_drains_of_the_journal(world: World, path: Path) -> None:
    left_behind(path, epochs={"jobs": "e"}, drains={"jobs:one": drain(State.DRAINING, pid=1)})
    told: list[Contents] = []

    def coordinate(contents: Contents) -> SharedCoordinator:
        told.append(contents)
        return SharedCoordinator(world)

    life = begin(world, path, coordinate=coordinate)
    (contents,) = told
    assert (contents.instance, contents.epochs, list(contents.drains)) == (
        "former",
        {"jobs": "e"},
        ["jobs:one"],
    )
    assert life.stream.having("drain.taken_up")


@pytest.mark.parametrize(
    ("former", "name", "listener", "is_new"),
    [
        ("", "here/a", "here/a", False),
        ("here/a", "here/a", "here/a", False),
        ("here/a", "here/b", "here/b", True),
        ("here/a", "", "here/a", False),
    ],
)
def test_name_is_new_only_where_it_replaced_another_one(
    world: World, path: Path, former: str, name: str, listener: str, is_new: bool
) -> None:
    """A new name makes the listener wait until its workers count no more under the former one."""
    left_behind(path, listener=former)
    life = begin(world, path, coordinate=lambda contents: Named(world, name))
    for contents in (life.listener._ledger.contents, life.journal.load().contents):
        assert contents.listener == listener
        assert (contents.listener_since > -LONG_AGO_SECONDS) is is_new
