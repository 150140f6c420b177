"""What a look takes over from the last one, and what it never takes over."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.listener.findings import Finding
from supervisor_memkill.listener.former_looks import (
    EXAMINE_SECONDS,
    YOUNG_SECONDS,
    FormerLook,
    FormerLooks,
    Surroundings,
)
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import MemorySize, ProcessInfo, ProcessState
from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import Sighting, Terms, judge
from supervisor_memkill.rules.requests import Act, OperatorRequest, Pause, RunningProcess, TakenRequest
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Reading, Target
from supervisor_memkill.world.memory import ProcessTable
from tests.builders import EPOCH, PID, START, drain, info, reading
from tests.listener_world import FRESH, LIMIT, Life, QuietKind, World, pool_config


class NamelessKind(QuietKind):
    """It counts the running jobs, and cannot name them."""

    def read(self, targets: Sequence[Target], table: ProcessTable) -> dict[str, Reading]:
        found = super().read(targets, table)
        return {worker: dataclasses.replace(one, jobs=None) for worker, one in found.items()}


def life_of(world: World, path: Path, **values: Any) -> Life:
    return Life(world, path, kind=NamelessKind, **values)


@pytest.fixture
def world() -> World:
    world = World(["one", "two", "three"])
    for worker in world.workers.values():
        worker.memory = FRESH
    return world


def look(life: Life) -> None:
    """A look between two checks, as a heartbeat makes it."""
    life.listener._schedule.check_within(0.0)
    life.listener.turn(ticked=False)


def measured(world: World) -> dict[str, int]:
    before = dict(world.times_measured)
    world.times_measured.clear()
    return before


def test_look_between_two_checks_measures_no_calm_worker(world: World, path: Path) -> None:
    life = life_of(world, path)
    life.run(2)
    measured(world)
    look(life)
    assert measured(world) == {}
    life.listener.turn(ticked=True)
    assert measured(world) == {"one": 1, "two": 1, "three": 1}


def test_worker_with_a_reason_for_a_drain_is_measured_at_each_look(world: World, path: Path) -> None:
    world.workers["jobs:two"].memory = 2 * LIMIT
    life = life_of(world, path, config=pool_config(min_available=5))
    life.run(2)
    measured(world)
    look(life)
    assert measured(world).keys() == {"two"}


def test_strikes_are_counted_again_from_the_first_after_a_check_within_the_limit(
    world: World, path: Path
) -> None:
    """A look between the checks saw it within its limit before the check did, and counted nothing."""
    worker = world.workers["jobs:two"]
    life = life_of(world, path, config=pool_config(strikes=2))
    life.run(2)
    for memory in (2 * LIMIT, FRESH, 2 * LIMIT):
        worker.memory = memory
        look(life)
        life.tick()
    assert world.happened == []
    life.tick()
    assert world.happened == ["quiet jobs:two"]


def test_worker_whose_jobs_are_named_is_measured_at_each_look(world: World, path: Path) -> None:
    """What a job class does to the memory is learnt from each look: one without a reading is no growth."""
    life = Life(world, path, log_level="debug")
    life.run(2)
    measured(world)
    world.workers["jobs:two"].memory += 1024 * 1024
    look(life)
    assert len(measured(world)) == 3
    (line,) = [one for one in life.stream.having("worker.jobs") if "jobs:two" in one][-1:]
    assert "rss=51MB" in line


def test_new_memory_counts_at_the_next_check(world: World, path: Path) -> None:
    life = life_of(world, path)
    life.run(2)
    world.workers["jobs:two"].memory = 2 * LIMIT
    life.run(30)
    assert "quiet jobs:two" in world.happened


def test_worker_whose_process_changed_is_looked_at(world: World, path: Path) -> None:
    life = life_of(world, path)
    life.run(2)
    world.operator_restarts("jobs:two")
    world.advance(30)
    measured(world)
    look(life)
    assert measured(world).keys() == {"two"}


def test_workers_of_a_pool_with_max_age_are_looked_at(world: World, path: Path) -> None:
    life = life_of(world, path, config=pool_config(max_age_seconds=10.0**8))
    life.run(2)
    measured(world)
    look(life)
    assert len(measured(world)) == 3


def test_memory_that_changed_below_the_limit_is_shown(world: World, path: Path) -> None:
    life = life_of(
        world, path, log_level="debug", config=pool_config(hard_max_rss=Size(exact_bytes=3 * LIMIT))
    )
    life.run(2)
    world.workers["jobs:two"].memory = FRESH + 1024 * 1024
    life.listener.turn(ticked=True)
    (line,) = [one for one in life.stream.having("worker.seen") if "jobs:two" in one][-1:]
    assert "rss=51MB" in line


def test_every_worker_is_examined_anew_after_some_minutes(world: World, path: Path) -> None:
    """Its command line may say something else by then."""
    life = life_of(world, path)
    life.run(2)
    examined: list[str] = []
    (pool,) = life.pools
    advise = pool.kind.advice
    pool.kind.advice = lambda program, timeout: examined.append(program.worker) or advise(program, timeout)  # type: ignore[method-assign, assignment, func-returns-value]
    life.listener.turn(ticked=True)
    assert examined == []
    for _ in range(int(EXAMINE_SECONDS / 60)):
        world.advance(60)
        life.listener.turn(ticked=True)
    assert sorted(set(examined)) == ["jobs:one", "jobs:three", "jobs:two"]


TERMS = Terms(limit_bytes=200, hard_limit_bytes=None, strikes=1, min_uptime_seconds=60.0, settle_seconds=10.0)


def sighting(**values: Any) -> Sighting:
    calm = {"process": info(), "memory_bytes": 100, "memory_least_bytes": 100, "reading": reading()}
    return Sighting(**{**calm, **values})


def keeps(seen: Sighting, terms: Terms = TERMS) -> bool:
    looks = FormerLooks()
    finding = Finding(seen, judge(seen, terms, 0.0))
    looks.keep("jobs", terms, [FormerLook(finding, counts_children=False, examined_at=0.0)])
    return finding.worker in looks.of("jobs", terms)


def test_calm_worker_is_taken_over() -> None:
    assert keeps(sighting())
    assert keeps(sighting(process=info(start=EPOCH - int(YOUNG_SECONDS))))
    assert keeps(sighting(), dataclasses.replace(TERMS, settle_seconds=600.0))


@pytest.mark.parametrize(
    "values",
    [
        {"process": info(ProcessState.STARTING)},
        {"draining": State.DRAINING},
        {"memory_bytes": 300, "memory_least_bytes": 300},
        {"restart_requested": True},
        {"pause": Pause(0.0, None)},
        {"memory_bytes": None, "memory_least_bytes": None},
        {"memory_bytes": 100, "memory_least_bytes": 90},
        {"memory_lost": "another user's process"},
        {"refusals": ("stopwaitsecs is too short",)},
        {"strikes": 1},
        {"process": info(start=EPOCH - int(YOUNG_SECONDS) + 1)},
    ],
)
def test_worker_that_is_not_calm_is_looked_at_again(values: dict[str, Any]) -> None:
    assert not keeps(sighting(**values))


def test_worker_that_settles_is_looked_at_again() -> None:
    assert not keeps(sighting(), dataclasses.replace(TERMS, settle_seconds=601.0))


def test_whole_pool_is_taken_over_while_nothing_around_it_changes() -> None:
    terms, process, programs = TERMS, info(), object()
    nameless = reading(jobs=None)
    finding = Finding(sighting(process=process, reading=nameless), judge(sighting(), terms, 0.0))
    around = Surroundings(terms, [process], {"jobs:one": nameless}, programs, {})
    looks = FormerLooks()
    looks.keep("jobs", terms, [FormerLook(finding, counts_children=False, examined_at=0.0)])
    assert looks.whole("jobs", around) is None
    looks.keep_whole("jobs", around, (finding,))
    assert looks.whole("jobs", around) == (finding,)
    changes: list[dict[str, Any]] = [
        {"terms": dataclasses.replace(terms, strikes=2)},
        {"processes": [info(pid=7)]},
        {"processes": []},
        {"readings": {}},
        {"programs": object()},
        {"back_offs": {"jobs:one": BackOff(9.0, 9.0, BackOffCause.NOT_BEGUN)}},
    ]
    for change in changes:
        assert looks.whole("jobs", dataclasses.replace(around, **change)) is None, change
    assert looks.whole("other", around) is None


def test_pool_with_one_worker_that_is_not_calm_is_not_taken_over_whole() -> None:
    calm, process = sighting(reading=reading(jobs=None)), info(name="two")
    unsure = dataclasses.replace(calm, process=process, memory_least_bytes=1)
    findings = tuple(Finding(seen, judge(seen, TERMS, 0.0)) for seen in (calm, unsure))
    around = Surroundings(TERMS, [calm.process, process], {}, object(), {})
    looks = FormerLooks()
    looks.keep("jobs", TERMS, [FormerLook(one, counts_children=False, examined_at=0.0) for one in findings])
    looks.keep_whole("jobs", around, findings)
    assert looks.whole("jobs", around) is None


def test_pool_whose_jobs_are_named_is_not_taken_over_whole() -> None:
    named = sighting(reading=reading(jobs=("Report",)))
    finding = Finding(named, judge(named, TERMS, 0.0))
    around = Surroundings(TERMS, [named.process], {}, object(), {})
    looks = FormerLooks()
    looks.keep("jobs", TERMS, [FormerLook(finding, counts_children=False, examined_at=0.0)])
    looks.keep_whole("jobs", around, (finding,))
    assert looks.whole("jobs", around) is None


def calm_look(terms: Terms = TERMS) -> FormerLook:
    seen = sighting(reading=reading(jobs=None))
    return FormerLook(Finding(seen, judge(seen, terms, 0.0)), counts_children=False, examined_at=0.0)


def test_other_settings_of_the_pool_let_nothing_be_taken_over() -> None:
    looks, aged = FormerLooks(), dataclasses.replace(TERMS, max_age_seconds=9.0)
    looks.keep("jobs", TERMS, [calm_look()])
    assert looks.of("jobs", TERMS)
    assert not looks.of("jobs", dataclasses.replace(TERMS, strikes=2))
    looks.keep("jobs", aged, [calm_look(aged)])
    assert not looks.of("jobs", aged)
    assert not looks.of("jobs", TERMS), "the look before the last one is too old"


def test_pool_that_was_calm_once_is_looked_at_when_it_is_not_calm_any_more() -> None:
    looks, look = FormerLooks(), calm_look()
    around = Surroundings(TERMS, [look.finding.seen.process], {}, object(), {})
    looks.keep("jobs", TERMS, [look])
    looks.keep_whole("jobs", around, (look.finding,))
    looks.keep("jobs", TERMS, [])
    looks.keep_whole("jobs", around, (look.finding,))
    assert looks.whole("jobs", around) is None


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        (MemorySize(200, 200), True),
        (MemorySize(201, 201), False),
        (MemorySize(100, 90), False),
        (MemorySize(100, 100, lost="another user's process"), False),
    ],
)
def test_memory_fits_that_is_exact_and_gives_no_reason(size: MemorySize, fits: bool) -> None:
    assert calm_look().fits(size, TERMS) is fits
    assert calm_look().fits(size, dataclasses.replace(TERMS, hard_limit_bytes=300)) is fits


def test_memory_above_the_hard_limit_alone_fits_not() -> None:
    terms = dataclasses.replace(TERMS, limit_bytes=None, hard_limit_bytes=300)
    assert calm_look().fits(MemorySize(300, 300), terms)
    assert not calm_look().fits(MemorySize(301, 301), terms)


PROGRAM: Any = object()
"""Settings: the same ones, or others."""


def holds(process: ProcessInfo | None = None, **changes: Any) -> bool:
    """Whether a look holds with these differences; `contents` is the journal's."""
    seen, program = sighting(process=info()), PROGRAM
    former = FormerLook(Finding(seen, judge(seen, TERMS, 0.0), (), program), False, 0.0)
    now: dict[str, Any] = {"reading": reading(), "program": program, "contents": Contents(), **changes}
    return former.holds(process or info(), now["reading"], now["program"], now["contents"])


REQUESTED = TakenRequest(
    OperatorRequest("ab" * 8, Act.RESTART, ("jobs",), 60.0),
    0.0,
    None,
    {"jobs:one": RunningProcess(PID, START)},
)


@pytest.mark.parametrize(
    "changes",
    [
        {"process": info(pid=PID + 1)},
        {"process": info(start=START + 1)},
        {"process": info(ProcessState.STOPPING)},
        {"reading": reading(busy=2)},
        {"reading": None},
        {"program": None},
        {"contents": Contents(back_offs={"jobs:one": BackOff(9.0, 9.0, BackOffCause.NOT_BEGUN)})},
        {"contents": Contents(drains={"jobs:one": drain(State.ASKING)})},
        {"contents": Contents(requests={"a": REQUESTED})},
    ],
)
def test_look_holds_only_while_all_but_the_memory_is_the_same(changes: dict[str, Any]) -> None:
    assert holds()
    assert not holds(**changes)
