"""Which worker is drained, and what must still be true when its drain begins."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import PoolView
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.rules.drain import State
from supervisor_memkill.workers.contract import Advice
from tests.listener.situations import (
    Meanwhile,
    only_one_is_bloated,
    peers_stop,
    shrinks,
)
from tests.listener_world import (
    BLOATED,
    LIMIT,
    Life,
    QuietKind,
    SharedCoordinator,
    StopKind,
    World,
    pool_config,
)


def test_workers_under_their_limit_are_left_alone(world: World, path: Path) -> None:
    for worker in world.workers.values():
        worker.memory = LIMIT
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    assert life.listener.wait_seconds() is None, "idle, it wakes for its events only"


def test_only_worker_of_a_pool_is_never_drained(path: Path) -> None:
    world = World(["only"])
    life = Life(world, path)
    life.run(120)
    assert world.happened == []
    (warned,) = life.stream.having("worker.held_for_ever")
    assert "min_available is 1" in warned and "only 1 worker" in warned and "min_available = 0" in warned
    assert life.stream.having("worker.held") == [], "said once"


def _given(coordinator: SharedCoordinator, contents: Contents) -> SharedCoordinator:
    return coordinator


def test_pool_with_too_few_workers_is_warned_about_and_one_with_enough_is_not(path: Path) -> None:
    """Of the two that would be enough, one is stopped: it may come back."""

    class Counting(SharedCoordinator):
        views = 0

        def view(self, pool: str) -> PoolView:
            self.views += 1
            return super().view(pool)

    for min_available, expected in ((2, "only 2 workers"), (1, "")):
        world = World(["one", "two"])
        world.operator_stops("jobs:two")
        world.advance(5)
        own = path.with_name(f"{min_available}.journal")
        coordinator = Counting(world)
        config = pool_config(min_available=min_available)
        life = Life(world, own, config=config, coordinate=partial(_given, coordinator))
        life.run(60)
        warned = life.stream.having("worker.held_for_ever")
        assert [expected in one for one in warned] == ([True] if expected else [])
        assert len(life.stream.having("worker.held")) == (0 if expected else 1)
        assert (coordinator.views > 0) is bool(expected), "the whole pool is read only if it may be too small"


def queued(why_no_peers: str = "", **queues: set[str]) -> type[QuietKind]:
    """A kind whose workers take from these queues, by their names."""

    class Queued(QuietKind):
        def _read(self, target: Any) -> Any:
            own = frozenset(queues[target.process.name])
            return dataclasses.replace(super()._read(target), queues=own, why_no_peers=why_no_peers)

    return Queued


def test_worker_is_not_drained_while_no_other_serves_its_queues(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    why, one = "its queues are unknown: set queues = any", {"default", "mail"}
    life = Life(world, path, kind=queued(why, one=one, two={"default"}, three={"default"}))
    life.run(60)
    assert world.happened == []
    (held,) = life.stream.having("worker.held")
    assert "0 others are in service and min_available is 1: its queues are unknown: set queues = any" in held


@pytest.mark.parametrize(
    ("third", "said"),
    [
        ({"default"}, ": only those count that take from all of its queues (default, mail)"),
        ({"default", "mail"}, ""),
    ],
    ids=["other queues", "the same"],
)
def test_a_refusal_names_the_queues_if_others_of_the_pool_have_others(
    world: World, path: Path, third: set[str], said: str
) -> None:
    both = {"default", "mail"}
    only_one_is_bloated(world)
    world.operator_stops("jobs:two")
    kind = queued(one=both, two=both, three=third)
    life = Life(world, path, kind=kind, config=pool_config(min_available=2))
    life.run(60)
    (held,) = [*life.stream.having("worker.held"), *life.stream.having("worker.held_for_ever")]
    assert re.search(f'others are in service and min_available is 2{re.escape(said)}[;"]', held)


def test_the_only_worker_of_a_queue_is_warned_about(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    life = Life(world, path, kind=queued(one={"mail"}, three={"default"}, two={"default"}))
    life.run(60)
    assert world.happened == []
    (warned,) = life.stream.having("worker.held_for_ever")
    assert "the pool has only 1 worker for the queues mail, so that none is ever drained" in warned
    assert life.stream.having("worker.held") == []


def test_own_group_is_never_drained(world: World, path: Path) -> None:
    life = Life(world, path)
    life.listener._surveyor._own_group = "jobs"
    life.run(60)
    assert world.happened == []


def test_most_urgent_worker_is_drained_first(world: World, path: Path) -> None:
    world.workers["jobs:three"].memory = 3 * BLOATED
    Life(world, path).tick()
    assert world.happened == ["quiet jobs:three"]


def test_heartbeats_count_no_strikes(world: World, path: Path) -> None:
    """Only a TICK is a check: ten heartbeats are not ten checks in a row."""
    coordinator = SharedCoordinator(world)
    life = Life(world, path, config=pool_config(strikes=2), coordinate=lambda contents: coordinator)
    for _ in range(10):
        life.listener.turn(ticked=False)
        world.advance(10.0)
    assert len(coordinator.told) == 10
    assert world.happened == []


def test_peers_that_stopped_after_the_last_heartbeat_do_not_count_as_in_service(
    world: World, path: Path
) -> None:
    """S2: the last report on them is older than the request for the slot."""
    only_one_is_bloated(world)
    life = Life(world, path)
    life.at = lambda place: peers_stop(world) if place == "asking.saved" else None
    life.tick()
    assert world.workers["jobs:two"].stopped_by_operator, "it asked"
    assert world.happened == [] and not world.broken_promises


def record_goes_away(world: World) -> None:
    world.records_away = True


@pytest.mark.parametrize("happens", [shrinks, record_goes_away])
def test_change_during_the_request_for_a_slot_is_seen_before_the_quiet(
    world: World, path: Path, happens: Callable[[World], None]
) -> None:
    only_one_is_bloated(world)
    coordinator = Meanwhile(world, happens)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.tick()
    assert coordinator.granted == [True]
    assert world.happened == [] and not life.drains()


def settings_become_unknown(world: World) -> None:
    world.tells_programs = False


def settings_turn_out_to_lose_jobs(world: World) -> None:
    world.advice = (Advice("stopsignal=TERM must be INT", refuses=True),)


@pytest.mark.parametrize("happens", [settings_become_unknown, settings_turn_out_to_lose_jobs])
@pytest.mark.parametrize("kind", [QuietKind, StopKind])
def test_drain_that_waits_for_its_slot_does_not_begin_with_settings_that_may_lose_jobs(
    world: World, path: Path, kind: type[QuietKind], happens: Callable[[World], None]
) -> None:
    only_one_is_bloated(world)
    redis = SharedCoordinator(world)
    life = Life(world, path, kind=kind, coordinate=partial(_given, redis))

    def lose_redis(place: str) -> None:
        redis.is_away = redis.is_away or place == "asking.saved"

    life.at = lose_redis
    life.run(10)
    assert life.only_drain() == ("jobs:one", State.ASKING)
    happens(world)
    world.operator_restarts("jobs:two")  # The listener asks for the settings again.
    life.at, redis.is_away = (lambda place: None), False
    life.run(60)
    assert world.happened == [] and not life.drains()


@pytest.mark.parametrize(("slot_ttl_seconds", "seconds"), [(60.0, 30.0), (10.0, 10.0)])
@pytest.mark.parametrize("kind", [QuietKind, StopKind])
def test_action_is_not_sent_when_its_observation_or_slot_is_too_old(
    world: World, path: Path, kind: type[QuietKind], slot_ttl_seconds: float, seconds: float
) -> None:
    """A slow disk made the observation too old, or another worker may have the slot by now."""
    life = Life(world, path, kind=kind, slot_ttl_seconds=slot_ttl_seconds, heartbeat_seconds=2.0)
    saved = list[str]()

    def at(place: str) -> None:
        if place in ("quieting.saved", "stopping.saved"):
            saved.append(place)
            world.advance(seconds)

    life.at = at
    life.tick()
    assert saved and world.happened == []
