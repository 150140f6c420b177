"""The work of a look grows with the number of workers, not with its square: counted in calls, not in time."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

import supervisor_memkill
from tests.listener_world import FRESH, Life, World, pool_config

PACKAGE = str(Path(supervisor_memkill.__file__).parent)
FEW, TIMES = 50, 4


def calls_of_a_check(path: Path, count: int, *, asking: int) -> int:
    """The calls of our own functions and the steps of our own generators."""
    world = World([f"w{number}" for number in range(count)])
    for number, worker in enumerate(world.workers.values()):
        worker.memory = worker.memory if number < asking else FRESH
    life = Life(world, path, config=pool_config(min_available=count), has_state=True)  # Nobody may drain.
    life.tick()
    world.advance(60)
    calls = 0

    def count_call(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    former = sys.getprofile()
    sys.setprofile(count_call)
    try:
        life.tick()
    finally:
        sys.setprofile(former)
    return calls


@pytest.mark.parametrize("asking", [0, 5])
def test_check_of_four_times_the_workers_is_at_most_four_times_the_work(tmp_path: Path, asking: int) -> None:
    few = calls_of_a_check(tmp_path / "few", FEW, asking=asking)
    many = calls_of_a_check(tmp_path / "many", TIMES * FEW, asking=asking)
    assert few > FEW
    assert many <= 1.1 * TIMES * few
