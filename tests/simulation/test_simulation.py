"""Some of the seeds that ``python -m tests.simulation`` runs by the thousand: no promise breaks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.simulation import Result, run

CHUNK = 25


def _assert_kept(result: Result) -> None:
    replay = f"python -m tests.simulation --seed {result.seed} --mode {result.mode}"
    trace = "\n".join(result.trace.lines())
    assert not result.broken, f"{trace}\n{result.broken}\n{replay}"


@pytest.mark.parametrize("first", range(0, 150, CHUNK))
def test_whatever_fails_no_promise_is_broken(first: int) -> None:
    """Safety: faults all the while."""
    for seed in range(first, first + CHUNK):
        _assert_kept(run(seed, "safety"))


@pytest.mark.parametrize("first", range(50, 100, CHUNK))
def test_once_all_faults_are_over_everything_owed_comes_about(first: int) -> None:
    """Liveness: what is over its limit is drained, what was stopped is back, nothing is left behind."""
    for seed in range(first, first + CHUNK):
        _assert_kept(run(seed, "liveness"))


def test_seeds_do_drain_and_do_meet_faults() -> None:
    """Promises that nothing puts to the test are kept easily."""
    results = [run(seed, "safety") for seed in range(20)]
    counts = sum((result.counts for result in results), start=results[0].counts.__class__())
    acts = sum(count for name, count in counts.items() if name.startswith("act: "))
    assert acts > 100
    assert sum(counts.values()) - acts > 200


def test_seed_is_the_same_history_in_another_process() -> None:
    """Whatever order that process gives to sets: otherwise no broken promise could be looked at again."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "7", "--mode", "liveness"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count(b"\n") > 50
