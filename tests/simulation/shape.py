"""The parts of one world, drawn from its seed: machines, pools, workers, settings."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.rules.hours import DrainHours
from supervisor_memkill.rules.shortage import Yields
from supervisor_memkill.rules.step import OnTimeout
from supervisor_memkill.units import Size
from tests.simulation.process import Habits

LIMIT, HARD_LIMIT = 200, 400
LONGEST_CLOSED_MINUTES = 2
"""How long the hours of a pool are closed at a time."""
FRESH, BLOATED, HUGE = 50, 300, 450
"""Bytes: the memory of a worker after its start, over its limit, and over its hard limit."""


@dataclass(frozen=True)
class PoolShape:
    """One pool, the same on every machine unless a test changes that."""

    config: PoolConfig
    habits: Habits
    workers: int
    """The number of workers on each machine."""
    stop_wait: int = 10
    start_secs: int = 1
    restarts: str = "unexpected"
    are_uneven: bool = False
    """Some of its workers serve only some of its queues."""


@dataclass(frozen=True)
class Shape:
    """A whole world."""

    machines: tuple[str, ...]
    pools: tuple[PoolShape, ...]
    shares: bool = True
    """Whether the machines coordinate through Redis."""
    heartbeat: float = 4.0
    slot_ttl: float = 20.0
    tick: float = 5.0
    latency: float = 0.01
    bloated: float = 0.6
    """The share of workers that are over their limit at the start."""
    on_disk: bool = False
    """Whether the real journal is used, in a directory."""
    without_events: frozenset[str] = frozenset()
    """The machines whose listener subscribes to TICKs alone."""
    memory: int = 10**6
    """Bytes of each machine."""
    min_free: int | None = None
    """Bytes; None: the memory of the machine is no reason for a drain."""
    namesake_seconds: float = 0.0
    """Beside each Sidekiq's record stands one of the same host and pid that began so much later, and is
    quiet; 0: there is none."""


NAMESAKE = 40_000.0
"""Seconds: further away than the wall clock is ever set."""
BEFORE_STOP = ("dump", "%(group)s:%(name)s", "%(pid)s")
"""The command of a pool; see evidence.py."""
NAMES = ("east", "north", "south", "west")


def draw(rng: random.Random, seed: int) -> Shape:
    """Small worlds, mostly with two or three machines."""
    also, events = random.Random(f"{seed} reasons"), random.Random(f"{seed} events")
    machines = NAMES[: rng.choice((1, 2, 2, 2, 3, 3, 4))]
    heartbeat = rng.choice((2.0, 4.0, 4.0, 6.0))
    drawn = [_pool(rng, f"pool{number}", len(machines)) for number in range(rng.choice((1, 1, 1, 2)))]
    pools = tuple(_with_reasons(pool, also) for pool in drawn)
    shape = Shape(
        machines=machines,
        pools=pools,
        shares=len(machines) > 1 or rng.random() < 0.3,
        heartbeat=heartbeat,
        slot_ttl=heartbeat * rng.choice((5, 5, 6)),
        tick=rng.choice((5.0, 5.0, 60.0)) if len(machines) == 1 else 5.0,
        latency=rng.choice((0.002, 0.02, 0.2)),
        bloated=rng.choice((0.3, 0.6, 1.0)),
        on_disk=seed % 16 == 0,
        without_events=frozenset(name for name in machines if events.random() < 0.3),
        namesake_seconds=random.Random(f"{seed} namesake").choice((0.0, 0.0, -NAMESAKE, NAMESAKE)),
    )
    shape = _short_of_memory(shape, also) if also.random() < 0.25 else shape
    return _with_evidence(shape, random.Random(f"{seed} evidence"))


def _with_evidence(shape: Shape, rng: random.Random) -> Shape:
    """Some pools run a command before the stop."""
    pools = tuple(
        dataclasses.replace(
            pool,
            config=dataclasses.replace(
                pool.config,
                before_stop=BEFORE_STOP,
                before_stop_timeout_seconds=rng.choice((3.0, 10.0, 20.0)),
            ),
        )
        if pool.habits.kind != "stops" and rng.random() < 0.4
        else pool
        for pool in shape.pools
    )
    return dataclasses.replace(shape, pools=pools)


def _short_of_memory(shape: Shape, rng: random.Random) -> Shape:
    """Machines that have enough for their workers after a start, and not for all that grow."""
    min_free = rng.choice((LIMIT // 2, LIMIT, 4 * LIMIT, 4 * LIMIT))
    fresh = sum(pool.workers for pool in shape.pools) * FRESH
    pools = tuple(
        dataclasses.replace(pool, config=dataclasses.replace(pool.config, yields=rng.choice(tuple(Yields))))
        for pool in shape.pools
    )
    memory = fresh + min_free + rng.choice((FRESH, LIMIT, 2 * LIMIT))
    return dataclasses.replace(shape, pools=pools, memory=memory, min_free=min_free)


def _with_reasons(pool: PoolShape, rng: random.Random) -> PoolShape:
    """Some pools drain for other reasons than a worker's own limit, or in some minutes of the hour only."""
    total = Size(exact_bytes=int(LIMIT * pool.workers * rng.choice((0.5, 0.9))))
    config = dataclasses.replace(
        pool.config,
        max_age_seconds=rng.choice((20.0, 60.0, 120.0)) if rng.random() < 0.3 else None,
        max_total_rss=total if rng.random() < 0.3 else None,
        drain_hours=EveryThirdMinute(()) if rng.random() < 0.2 else None,
    )
    return dataclasses.replace(pool, config=config)


class EveryThirdMinute(DrainHours):
    """Hours short enough for a history of some minutes."""

    def opens_at(self, local: datetime) -> datetime | None:
        closed_minutes = -local.minute % (LONGEST_CLOSED_MINUTES + 1)
        if not closed_minutes:
            return None
        return local.replace(second=0, microsecond=0) + timedelta(minutes=closed_minutes)


def pool_config(**values: object) -> PoolConfig:
    """A pool with short times."""
    defaults = PoolConfig(
        name="pool0",
        programs=("pool0",),
        max_rss=Size(exact_bytes=LIMIT),
        min_uptime_seconds=0.0,
        settle_seconds=3.0,
        drain_timeout_seconds=30.0,
    )
    return dataclasses.replace(defaults, **values)  # type: ignore[arg-type]


KINDS = ("sidekiq", "sidekiq", "sidekiq", "celery", "custom", "custom-resumes", "stops", "stops")


def _pool(rng: random.Random, name: str, machines: int) -> PoolShape:
    kind = rng.choice(KINDS)
    config = pool_config(
        name=name,
        programs=(name,),
        worker=kind.partition("-")[0],
        hard_max_rss=Size(exact_bytes=HARD_LIMIT) if rng.random() < 0.3 else None,
        strikes=rng.choice((1, 1, 2)),
        min_uptime_seconds=rng.choice((0.0, 5.0)),
        min_available=rng.choice((0, 1, 1, 1, 2)),
        max_draining=rng.choice((1, 1, 1, 2)),
        drain_timeout_seconds=rng.choice((12.0, 30.0, 60.0)),
        on_timeout=rng.choice((OnTimeout.STOP, OnTimeout.STOP, OnTimeout.WAIT, OnTimeout.RESUME)),
        cooldown_seconds=rng.choice((0.0, 0.0, 8.0)),
        settle_seconds=rng.choice((2.0, 5.0)),
    )
    return PoolShape(
        config=config,
        habits=_habits(rng, kind),
        workers=rng.choice((1, 2, 2)) if machines > 2 else rng.choice((2, 3, 3, 4)),
        stop_wait=rng.choice((4, 10)),
        start_secs=rng.choice((0, 1, 3)),
        restarts=rng.choice(("unexpected", "true", "false")),
        are_uneven=kind in ("sidekiq", "celery") and rng.random() < 0.5,
    )


def _habits(rng: random.Random, kind: str) -> Habits:
    longest = rng.choice((1.0, 6.0, 20.0))
    return Habits(
        kind=kind,
        queues=rng.choice((frozenset[str](),) * 3 + (frozenset({"a"}), frozenset({"a", "b"}))),
        lanes=rng.choice((1, 1, 2)),
        job=(0.2, min(longest, 3.0) if kind == "stops" else longest),
        gap=(0.1, rng.choice((0.5, 5.0))),
        endless=rng.choice((0.0, 0.0, 0.05)),
        # A kind that reads nothing of its workers takes `settle` for their boot.
        boots=rng.choice((0.3, 2.0, 6.0)) if kind in ("sidekiq", "celery") else rng.choice((0.3, 1.0)),
        torn=rng.choice((0.0, 0.4, 1.9)),
        patience=rng.choice((3.0, 25.0)),
        orphan_seconds=rng.choice((0.0, 0.0, 2.0, 30.0)),
    )
