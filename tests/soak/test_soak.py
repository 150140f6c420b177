"""A few restarts of a soak. ``python -m tests.soak`` does as many as one has time for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak.run import Account, End, Progress, Shape, soak
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
    done = soak(WORKERS["laravel"], Shape(workers=4, max_draining=2, most_waiting=12), RESTARTS, 300, print)
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
