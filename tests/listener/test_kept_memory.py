"""What a listener keeps of each worker while nothing happens: there may be thousands."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

from tests.listener.test_former_looks import NamelessKind
from tests.listener_world import FRESH, Life, World

FEW, MANY, LOOKS = 100, 400, 5
MOST_BYTES = 2500
"""Of each worker. Python 3.11 needed 1,900, and 2,900 while each part of the listener kept a copy."""


def kept_bytes(path: Path, count: int) -> int:
    world = World([f"w{number}" for number in range(count)])
    for worker in world.workers.values():
        worker.memory = FRESH
    gc.collect()
    tracemalloc.start()
    try:
        life = Life(world, path, kind=NamelessKind, has_state=True)
        for _ in range(LOOKS):
            life.tick()
            world.advance(60)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_each_worker_takes_little_memory(tmp_path: Path) -> None:
    kept_bytes(tmp_path / "first", 1)  # What is loaded at the first use is no worker's.
    few, many = (kept_bytes(tmp_path / str(count), count) for count in (FEW, MANY))
    assert 0 < (many - few) / (MANY - FEW) < MOST_BYTES
