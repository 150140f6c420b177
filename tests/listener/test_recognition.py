"""A pool none of whose workers is recognised is reported at the first checks, with what is there instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.contract import Reading, Target, unknown, unrecognised
from supervisor_memkill.world.memory import ProcessTable
from tests.listener_world import EPOCH, Life, QuietKind, World


class Stranger(QuietKind):
    """Recognises the workers of `known` alone."""

    known: frozenset[str] = frozenset()
    why = "no record of this process"
    is_unknown = False
    found = "records of the host 'other' exist"
    asked = 0

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        readings = dict(super().read(targets, table))
        for worker in readings.keys() - type(self).known:
            make = unknown if type(self).is_unknown else unrecognised
            readings[worker] = make(self.why)
        return readings

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        type(self).asked += 1
        return self.found


def kind(**values: object) -> type[Stranger]:
    return type("Kind", (Stranger,), values)


def calm(world: World) -> None:
    for worker in world.workers.values():
        worker.memory, worker.start = 1, EPOCH - 3600


def test_it_is_reported_at_the_first_check_once_and_with_what_is_there(world: World, path: Path) -> None:
    calm(world)
    made = kind()
    life = Life(world, path, kind=made)
    life.run(2)
    (line,) = life.stream.having("pool.unrecognised")
    assert "pool=jobs" in line and "workers=3" in line
    assert "no record of this process; records of the host 'other' exist" in line
    life.run(500)
    assert len(life.stream.having("pool.unrecognised")) == 1
    assert made.asked == 1, "the search may be long"
    life.run(700)
    assert made.asked == 2, "what is there may change"


def test_it_is_reported_again_after_one_was_recognised(world: World, path: Path) -> None:
    calm(world)
    made = kind()
    life = Life(world, path, kind=made)
    for known in (frozenset(), frozenset({"jobs:one"}), frozenset()):
        made.known = known
        life.run(10)
    assert len(life.stream.having("pool.unrecognised")) == 2


def test_one_recognised_worker_is_enough(world: World, path: Path) -> None:
    calm(world)
    life = Life(world, path, kind=kind(known=frozenset({"jobs:two"})))
    life.run(60)
    assert not life.stream.having("pool.unrecognised")


def test_workers_that_may_still_boot_are_given_time(world: World, path: Path) -> None:
    calm(world)
    for worker in world.workers.values():
        worker.start = world.epoch
    life = Life(world, path, kind=kind())
    life.run(50)
    assert not life.stream.having("pool.unrecognised")
    life.run(30)
    assert life.stream.having("pool.unrecognised")


def test_one_missing_answer_is_no_report(world: World, path: Path) -> None:
    """Redis was restarted: nothing is known about any worker for a moment."""
    calm(world)
    made = kind(is_unknown=True)
    life = Life(world, path, kind=made)
    life.run(2)
    made.known = frozenset(world.workers)
    life.run(10)
    assert not life.stream.having("pool.unrecognised")
    made.known = frozenset()
    life.run(10)
    assert life.stream.having("pool.unrecognised")


def test_each_time_it_happens_is_judged_anew(world: World, path: Path) -> None:
    """What was found the last time may be gone, and a short outage later is no report either."""
    calm(world)
    made = kind(is_unknown=True)
    life = Life(world, path, kind=made)
    life.run(10)
    made.known = frozenset(world.workers)
    life.run(10)
    made.known, made.found = frozenset(), "records in database 3 exist"
    life.run(1)
    assert len(life.stream.having("pool.unrecognised")) == 1
    life.run(10)
    assert "records in database 3 exist" in life.stream.having("pool.unrecognised")[-1]


def test_search_that_fails_says_why(world: World, path: Path) -> None:
    calm(world)

    def fails(self: Stranger, targets: Sequence[Target], table: ProcessTable) -> str:
        raise Unknown("Redis: refused")

    life = Life(world, path, kind=kind(find_others=fails))
    life.run(2)
    assert "Redis: refused" in life.stream.having("pool.unrecognised")[0]


def test_cause_is_not_said_twice(world: World, path: Path) -> None:
    """The search fails by the same error as the reading."""
    calm(world)
    life = Life(world, path, kind=kind(why="Redis: refused", found="Redis: refused"))
    life.run(2)
    assert life.stream.having("pool.unrecognised")[0].count("refused") == 1


def test_nothing_found_adds_nothing(world: World, path: Path) -> None:
    calm(world)
    life = Life(world, path, kind=kind(found=""))
    life.run(2)
    assert 'why="no record of this process"' in life.stream.having("pool.unrecognised")[0]


def test_kind_without_a_search_is_reported_all_the_same(world: World, path: Path) -> None:
    calm(world)

    class Plain(QuietKind):
        def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
            readings = super().read(targets, table)
            return {name: dataclasses.replace(one, recognised=False) for name, one in readings.items()}

    life = Life(world, path, kind=Plain)
    life.run(2)
    assert "its kind recognises none of them" in life.stream.having("pool.unrecognised")[0]


def test_pool_without_a_running_worker_is_not_reported(world: World, path: Path) -> None:
    calm(world)
    for name in world.workers:
        world.operator_stops(name)
    world.advance(5)
    life = Life(world, path, kind=kind())
    life.run(60)
    assert not life.stream.having("pool.unrecognised")
