"""How long a worker, or its pool, is left alone after a drain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.rules.back_off import BACK_OFF_SECONDS, BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.units import Size
from tests.listener.situations import (
    only_one_is_bloated,
    peers_stop,
    shrinks,
    work,
)
from tests.listener_world import (
    BLOATED,
    FRESH,
    Life,
    World,
    pool_config,
)


def back_offs(life: Life) -> dict[str, BackOff]:
    return dict(life.journal.load().contents.back_offs)


@pytest.mark.parametrize("happens", [peers_stop, shrinks])
def test_drain_that_did_not_begin_does_not_back_off(
    world: World, path: Path, happens: Callable[[World], None]
) -> None:
    """The cause is not the worker's, and may be over at the next check."""
    only_one_is_bloated(world)
    life, asked = Life(world, path), list[str]()

    def at(place: str) -> None:
        asked.append(place)
        happens(world)

    life.at = at
    life.tick()
    assert asked == ["asking.saved"] and world.happened == []
    assert not life.drains() and not back_offs(life)


def test_drain_that_is_done_ends_the_workers_back_off(world: World, path: Path) -> None:
    """The next back-off is to have the first one's length, not twice that."""
    only_one_is_bloated(world)
    world.finish_jobs()
    Journal(path, "boot").save(
        Contents(back_offs={"jobs:one": BackOff(world.now, 600.0, BackOffCause.BELOW_BASELINE)}, instance="x")
    )
    life = Life(world, path)
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("drain.done") and not back_offs(life)


def test_back_off_outlives_the_listener(world: World, path: Path) -> None:
    world.finish_jobs()
    config = pool_config(max_rss=Size(exact_bytes=FRESH - 1))
    life = Life(world, path, config=config)
    life.run(120, until=lambda: len(life.stream.having("limit.below_baseline")) == 3)
    before = list(world.happened)
    life.die()
    life = Life(world, path, config=config)
    life.run(300)
    assert world.happened == before
    assert BackOffCause.BELOW_BASELINE.words in life.stream.having("worker.held")[0]


def test_restarts_for_max_age_do_not_begin_the_row_of_delays_anew(world: World, path: Path) -> None:
    """A limit below the baseline would restart the worker some times after each of its ages."""
    world.finish_jobs()
    config = pool_config(max_rss=Size(exact_bytes=FRESH - 1), max_age_seconds=1800.0)
    life = Life(world, path, config=config)
    life.run(3 * 3600)
    done = [one for one in life.stream.having("drain.done") if "jobs:one" in one]
    aged = [one for one in done if Reason.MAX_AGE.value in one]
    assert len(aged) >= 2, done
    assert back_offs(life)["jobs:one"].seconds >= 4 * BACK_OFF_SECONDS
    assert len(life.stream.having("limit.below_baseline")) == 3 * (len(done) - len(aged)), "each says it anew"


def test_hard_limit_counts_while_max_rss_is_too_low_for_a_new_process(world: World, path: Path) -> None:
    """The worker that nobody drains for max_rss would grow until the kernel kills it."""
    only_one_is_bloated(world)
    world.finish_jobs()
    hard = Size(exact_bytes=2 * BLOATED)
    life = Life(world, path, config=pool_config(max_rss=Size(exact_bytes=FRESH + 1), hard_max_rss=hard))
    life.run(60, until=lambda: "jobs:one" in back_offs(life))
    acts = list(world.happened)
    life.run(30)
    assert world.happened == acts, "it backs off"
    world.workers["jobs:one"].memory = 3 * BLOATED
    life.run(30, until=lambda: bool(world.happened[len(acts) :]))
    assert world.happened[len(acts)] == "stop jobs:one"


def test_new_process_above_the_hard_limit_is_not_restarted_again_and_again(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    hard = Size(exact_bytes=FRESH)
    life = Life(world, path, config=pool_config(max_rss=Size(exact_bytes=FRESH - 1), hard_max_rss=hard))
    life.run(60, until=lambda: "jobs:one" in back_offs(life))
    world.workers["jobs:one"].memory = FRESH + 1
    acts = list(world.happened)
    life.run(60)
    assert world.happened == acts


def test_back_off_ends_with_the_limit_it_was_for(world: World, path: Path) -> None:
    life = Life(world, path, config=pool_config(max_rss=Size(exact_bytes=FRESH)))
    work(life, world, 120)
    assert life.stream.having("limit.below_baseline")
    life.die()
    life = Life(world, path)  # max_rss raised, as the hint says
    for worker in world.workers.values():
        worker.memory = BLOATED
    work(life, world, 300)
    assert all(worker.memory == FRESH for worker in world.workers.values()), life.stream.lines


def test_pool_rests_for_its_cooldown_after_each_drain(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path, config=pool_config(cooldown_seconds=60.0))
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    acts = list(world.happened)
    life.run(58)  # A second has gone by since the end.
    assert world.happened == acts and "cooldown" in life.stream.having("worker.held")[-1]
    life.run(15)
    assert world.happened[len(acts) :], "within a heartbeat of its end"


def test_cooldown_of_an_earlier_boot_holds_nothing(path: Path) -> None:
    """Without a boot id (macOS, FreeBSD), a clock that had run longer shows an earlier boot."""
    Journal(path, "", lambda: 1e6).save(Contents(drain_ended_at={"jobs": 1e6}, instance="x"))
    loaded = Journal(path, "", lambda: 100.0).load()
    assert loaded.other_boot and not loaded.contents.drain_ended_at
    assert Journal(path, "", lambda: 1e6 + 1).load().contents.drain_ended_at
