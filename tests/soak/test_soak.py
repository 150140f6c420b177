"""A few restarts of a soak. ``python -m tests.soak`` does as many as one has time for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.real.frameworks import FrameworkFleet, Run
from tests.soak.run import Account, End, Progress, Shape, account, keep_records, soak
from tests.soak.workers import WORKERS

RESTARTS = 6
CLEAN = Account(
    framework="RQ",
    version="3.0",
    restarts=6,
    during_a_job=6,
    sent=100,
    lost=0,
    dropped=0,
    twice=0,
    cut=0,
    killed=0,
    minutes=1.0,
)


@pytest.mark.real
def test_no_job_is_lost_run_twice_or_cut() -> None:
    shape = Shape(fleets=2, workers=4, max_draining=2, most_waiting=12)
    done = soak(WORKERS["laravel"], shape, RESTARTS, 300, print)
    print(done.story, done.table())  # pytest shows it of a failed test only
    assert (done.status, done.stuck) == (0, "")
    assert done.restarts >= RESTARTS and done.during_a_job


@pytest.mark.parametrize("fault", ["lost", "twice", "cut", "killed"])
def test_each_fault_of_a_job_gives_status_1(fault: str) -> None:
    assert replace(CLEAN, **{fault: 1}).status == 1  # type: ignore[arg-type]
    assert CLEAN.status == 0


def test_what_the_framework_itself_drops_is_named_and_no_fault() -> None:
    done = replace(CLEAN, lost=1, dropped=1)
    assert done.status == 0
    assert "1 (1 dropped by RQ itself)" in done.table()


class Fleet:
    """A fleet whose soak is over: two restarts, one job that ran during a drain, and one that did not."""

    def __init__(self, directory: Path, runs: Sequence[Run]) -> None:
        self.directory = directory
        self._runs = list(runs)

    def replaced(self) -> Counter[str]:
        return Counter({"soak_0": 2})

    def in_hand_then_finished(self) -> list[Run]:
        return self._runs[:1]

    def pushed(self) -> list[str]:
        return ["job-0", "job-1"]

    def runs(self) -> list[Run]:
        return self._runs

    lost, twice, finished = FrameworkFleet.lost, FrameworkFleet.twice, FrameworkFleet.finished

    def events(self, name: str) -> list[str]:
        return ["drain.killed"] if name == "drain.killed" and not self._runs else []

    def story(self) -> str:
        return f"the logs of {self.directory.name}"


def run(job: str, finished: float | None = 2.0) -> Run:
    return Run(job, 1, frozenset([1]), 1.0, finished)


def test_the_faults_of_every_fleet_count(tmp_path: Path) -> None:
    runs = [
        [run("job-0"), run("job-1")],
        [run("job-0"), run("job-1", finished=None)],
        [run("job-0"), run("job-1"), run("job-1")],
        [],
    ]
    fleets: Any = [Fleet(tmp_path / str(number), some) for number, some in enumerate(runs)]
    done = account(WORKERS["laravel"], "8", fleets, 1.0)
    assert (done.restarts, done.sent, done.during_a_job) == (8, 8, 3)
    assert (done.lost, done.twice, done.cut, done.killed) == (3, 1, 1, 1)
    assert done.story == "the logs of 0\nthe logs of 1\nthe logs of 2\nthe logs of 3"


def test_the_logs_and_the_record_of_a_fleet_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "memkill.log").write_text("drain.done\n")
    fleet: Any = Fleet(tmp_path, [run("job-0")])
    keep_records(fleet, tmp_path / "kept" / "0")
    kept = {path.name: path.read_text() for path in (tmp_path / "kept" / "0").iterdir()}
    assert kept.keys() == {"memkill.log", "sent", "runs"}
    assert kept["sent"] == "job-0\njob-1" and "job='job-0'" in kept["runs"]


def test_a_soak_that_does_not_get_on_gives_status_2() -> None:
    assert replace(CLEAN, stuck="no more restarts").status == 2


def test_it_waits_while_something_gets_on_and_gives_up_when_nothing_does() -> None:
    now, counts, said = [0.0], iter([0, 0, 1, 1, 1, 2, *[2] * 100]), list[str]()
    progress = Progress(10.0, said.append, lambda: now[0], lambda seconds: now.append(now.pop() + seconds))
    why = progress.wait("restarts", lambda: next(counts), lambda: 3)
    assert why == "no more restarts for 10 s: 2 of 3 are done"
    assert progress.wait("restarts", lambda: 3, lambda: 3) == ""
    assert said == ["1 of 3 restarts", "2 of 3 restarts"]


def test_a_signal_or_the_time_ends_it_in_good_order() -> None:
    assert End(minutes=0).has_come() and not End(minutes=9).has_come()
    end = End()
    assert not end.has_come()
    end.call()
    assert end.has_come()
    with pytest.raises(SystemExit):
        end.call()


def test_the_shape_of_a_seed_is_the_same_each_time_and_keeps_workers_in_service() -> None:
    for seed in range(50):
        shape = Shape.drawn(seed)
        assert shape == Shape.drawn(seed) and 0 < shape.max_draining < shape.workers
