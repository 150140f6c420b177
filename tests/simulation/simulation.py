"""One seed: a world that is drawn from it, run and judged."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass

from tests.simulation.liveness import demand
from tests.simulation.promises.judge import BrokenPromise
from tests.simulation.shape import draw
from tests.simulation.trace import Trace
from tests.simulation.world import World

FAULTS_FROM, FAULTS_FOR = 3.0, 110.0
"""Seconds: faults begin after the first, and end the second after slot_ttl, when a new pool grants slots."""


@dataclass(frozen=True)
class Result:
    """The result of one seed."""

    seed: int
    mode: str
    broken: str
    """The broken promise; empty if none broke."""
    virtual_seconds: float
    cpu_seconds: float
    counts: Counter[str]
    trace: Trace


def run(seed: int, mode: str) -> Result:
    """One seed in one mode, ``safety`` or ``liveness``."""
    began = time.process_time()
    world = World(draw(random.Random(f"{mode} {seed}"), seed), seed)
    broken = ""
    try:
        world.begin()
        until = world.shape.slot_ttl + FAULTS_FOR
        world.weather.heals = mode == "liveness"
        world.weather.schedule(FAULTS_FROM, until)
        world.engine.run_until(until)
        if mode == "liveness":
            demand(world)
    except BrokenPromise as promise:
        broken = str(promise)
    finally:
        world.end()
        world.trace.close()
    counts = world.trace.counts
    if not broken and counts["faults of the listener's own"]:
        broken = "a fault of the listener's own"
    return Result(seed, mode, broken, world.engine.now, time.process_time() - began, counts, world.trace)
