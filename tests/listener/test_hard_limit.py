"""A worker over its hard limit is stopped without waiting for its jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import Size
from supervisor_memkill.world.supervisord import NoAnswer
from tests.listener.situations import (
    only_one_is_bloated,
    others_stop,
    run_until_replaced,
)
from tests.listener_world import (
    BLOATED,
    LIMIT,
    Life,
    World,
    pool_config,
)


def test_worker_over_its_hard_limit_is_stopped_before_its_jobs_end(world: World, path: Path) -> None:
    config = pool_config(hard_max_rss=Size(exact_bytes=3 * LIMIT))
    life = Life(world, path, config=config)
    name = life.run_to(State.DRAINING)
    world.workers[name].memory = 4 * LIMIT
    life.run(5)
    assert f"stop {name}" in world.happened
    world.finish_jobs()
    run_until_replaced(life, world)


def test_hard_limit_counts_where_it_is_below_max_rss_on_this_machine(world: World, path: Path) -> None:
    """A size and a share of the machine's memory can be compared only there: 10 % are LIMIT here."""
    only_one_is_bloated(world)
    config = pool_config(max_rss=Size(exact_bytes=2 * BLOATED), hard_max_rss=Size(percent=10))
    life = Life(world, path, config=config)
    life.run(5)
    assert world.happened[0] == "stop jobs:one"
    world.finish_jobs()
    life.run(60)
    assert len(world.happened) == 2 and not life.drains()


def test_jobs_are_not_cut_for_memory_that_may_be_counted_twice(world: World, path: Path) -> None:
    """Without SYS_PTRACE: the RSS is over both limits, and the half of it is sure."""
    world.measure_lost = "pss needs the capability SYS_PTRACE"
    life = Life(world, path, config=pool_config(hard_max_rss=Size(exact_bytes=3 * LIMIT)))
    name = life.run_to(State.DRAINING)
    world.workers[name].memory = 4 * LIMIT
    life.run(60)
    assert f"stop {name}" not in world.happened
    world.workers[name].memory = 7 * LIMIT
    life.run(5)
    assert f"stop {name}" in world.happened
    assert len(life.stream.having("pool.measure_unreadable")) == 1


@pytest.mark.parametrize("hard_max_rss", [None, Size(exact_bytes=2 * BLOATED)])
def test_draining_worker_is_measured_only_if_there_is_a_hard_limit(
    world: World, path: Path, hard_max_rss: Size | None
) -> None:
    """Measuring pss or uss of a large process costs time in the kernel."""
    life = Life(world, path, config=pool_config(hard_max_rss=hard_max_rss))
    life.run_to(State.DRAINING)
    world.times_measured.clear()
    for _ in range(10):
        world.advance(1.0)
        life.listener.turn(ticked=False)
    measured = world.times_measured
    assert (measured["one"] > measured["two"]) == (hard_max_rss is not None), "checks measure all alike"


def test_lost_stop_for_the_hard_limit_is_sent_again(world: World, path: Path) -> None:
    """It was never quieted, so it takes jobs all the time; that is no sign that somebody resumed it."""
    stop, sent = world.stop, list[str]()

    def lose(name: str) -> None:
        sent.append(name)
        world.stop = stop  # type: ignore[method-assign]
        raise NoAnswer("the request got lost")

    world.stop = lose  # type: ignore[method-assign]
    only_one_is_bloated(world)
    life = Life(world, path, config=pool_config(hard_max_rss=Size(exact_bytes=LIMIT + 1)))
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert sent == ["jobs:one"] and "stop jobs:one" in world.happened
    assert life.stream.having("drain.let_go") == []


def test_worker_that_somebody_resumed_does_not_count_as_quiet_at_its_hard_limit(
    world: World, path: Path
) -> None:
    """S2: it is the last worker in service, and passes the hard limit at the moment it is resumed."""
    life = Life(world, path, config=pool_config(hard_max_rss=Size(exact_bytes=2 * BLOATED)))
    name = life.run_to(State.DRAINING)
    others_stop(world, name)
    world.workers[name].quiet, world.workers[name].memory = False, 3 * BLOATED
    life.run(60)
    assert not world.broken_promises, world.broken_promises


def test_stop_of_a_new_process_goes_by_the_stopwaitsecs_in_force(world: World, path: Path) -> None:
    """`supervisorctl update` raised it: a long stop without an answer is the listener's own all the same."""
    only_one_is_bloated(world)
    world.finish_jobs()
    hard = Size(exact_bytes=3 * LIMIT)
    life = Life(world, path, config=pool_config(hard_max_rss=hard, settle_seconds=60.0))
    life.run_to(State.SETTLING)
    world.stopwaitsecs = 60
    world.operator_restarts("jobs:one")
    life.run(20)
    world.workers["jobs:one"].memory = 4 * LIMIT
    life.run(20, until=lambda: world.happened.count("stop jobs:one") == 2)
    assert life.only_drain() == ("jobs:one", State.STOPPING)
    assert life.drains()["jobs:one"].stop.wait_seconds == 60.0
