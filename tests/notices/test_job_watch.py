"""Looks become intervals: bounded in number and size, of one process each, with all that ran."""

from __future__ import annotations

import pytest

from supervisor_memkill.notices.intervals import MAX_NAME, Interval
from supervisor_memkill.notices.job_watch import (
    CROWD,
    INTERVAL_LOOKS,
    INTERVAL_SECONDS,
    LONGEST_SECONDS,
    MAX_CLASSES,
    MAX_GAP_SECONDS,
    MAX_PROCESSES,
    JobWatch,
)
from supervisor_memkill.notices.pool_events import WorkerJobs

WALL = 5000.0


def look(
    size: int = 100,
    *jobs: str,
    pid: int = 7,
    start: int = 900,
    worker: str = "jobs:one",
    age: float = 60.0,
    runs: dict[str, int] | None = None,
) -> WorkerJobs:
    return WorkerJobs(worker, "jobs", pid, start, size, age, jobs, runs)


def ended(watch: JobWatch, *looks: tuple[float, WorkerJobs]) -> list[Interval]:
    """The intervals that these looks, each with its time, end."""
    found = [watch.see(event, now, WALL + now) for now, event in looks]
    return [one for one in found if one is not None]


def test_interval_has_the_growth_and_the_time_that_each_class_ran() -> None:
    """Half of the time between two looks has the jobs of the first one, half those of the second."""
    looks = [(0.0, look(100, "A", "A")), (10.0, look(120, "A")), (20.0, look(90)), (30.0, look(300, "B"))]
    (interval,) = ended(JobWatch(), *looks)
    assert interval == Interval(
        WALL + 30, "jobs", "jobs:one", 7, 900, 30.0, 100, 300, {"A": 15.0 + 5.0, "B": 5.0}
    )


def test_next_interval_begins_where_the_last_one_ended() -> None:
    first, second = ended(JobWatch(), *((10.0 * n, look(100 + n, "A")) for n in range(7)))
    assert (first.seconds, second.seconds) == (30.0, 30.0)
    assert (first.after_bytes, second.before_bytes, second.after_bytes) == (103, 103, 106)


def test_interval_ends_after_its_time_or_after_enough_looks() -> None:
    fast = ended(JobWatch(), *((float(n), look(age=1.0)) for n in range(2 * INTERVAL_LOOKS + 1)))
    assert [one.seconds for one in fast] == [INTERVAL_LOOKS, INTERVAL_LOOKS]
    slow = ended(JobWatch(), (0.0, look()), (INTERVAL_SECONDS, look()))
    assert [one.seconds for one in slow] == [INTERVAL_SECONDS]


@pytest.mark.parametrize(("age", "expected"), [(1200.0, 30.0), (6000.0, 100.0), (1e6, LONGEST_SECONDS)])
def test_intervals_of_an_old_process_are_longer_up_to_a_bound(age: float, expected: float) -> None:
    looks = [(10.0 * number, look(age=age)) for number in range(200)]
    assert ended(JobWatch(), *looks)[0].seconds == expected


def test_intervals_of_many_processes_are_longer() -> None:
    watch = JobWatch()
    for number in range(5 * CROWD):
        watch.see(look(worker=f"jobs:{number}"), 0.0, WALL)
    looks = [(INTERVAL_SECONDS * number, look(worker="jobs:7")) for number in range(1, 9)]
    assert [one.seconds for one in ended(watch, *looks)] == [5 * INTERVAL_SECONDS]


def test_day_of_a_process_makes_a_few_hundred_intervals() -> None:
    looks = ((10.0 * number, look(age=10.0 * number)) for number in range(8640))
    assert len(ended(JobWatch(), *looks)) < 400


@pytest.mark.parametrize("other", [{"pid": 8}, {"start": 901}])
def test_interval_is_of_one_process(other: dict[str, int]) -> None:
    """Also of a new process with the same pid: what the old one used is no shrinkage of it."""
    looks = [
        (0.0, look(500)),
        (20.0, look(500)),
        (40.0, look(100, **other)),  # type: ignore[arg-type]
        (60.0, look(110, **other)),  # type: ignore[arg-type]
        (70.0, look(120, **other)),  # type: ignore[arg-type]
    ]
    (interval,) = ended(JobWatch(), *looks)
    assert (interval.before_bytes, interval.after_bytes, interval.seconds) == (100, 120, 30.0)


def test_long_time_without_a_look_is_in_no_interval() -> None:
    later = MAX_GAP_SECONDS + 11
    looks = [(0.0, look(100, "A")), (10.0, look(100, "A")), (later, look(900)), (later + 30, look(950))]
    (interval,) = ended(JobWatch(), *looks)
    assert (interval.before_bytes, interval.running_seconds) == (900, {})


def test_counted_runs_are_those_of_the_interval() -> None:
    looks = [(0.0, look(runs={"A": 5, "B": 1})), (30.0, look(runs={"A": 9, "B": 1, "C": 2}))]
    (interval,) = ended(JobWatch(), *looks)
    assert interval.runs == {"A": 4, "C": 2}


def test_runs_that_were_not_counted_at_both_ends_are_unknown() -> None:
    (interval,) = ended(JobWatch(), (0.0, look()), (30.0, look(runs={"A": 9})))
    assert interval.runs is None
    (interval,) = ended(JobWatch(), (0.0, look(runs={"A": 9})), (30.0, look()))
    assert interval.runs is None


def test_names_and_their_number_are_bounded() -> None:
    looks = [(10.0 * n, look(100, *(f"{n}-{m}" + "x" * 200 for m in range(50)))) for n in range(4)]
    watch = JobWatch()
    (interval,) = ended(watch, *looks)
    assert len(interval.running_seconds) == MAX_CLASSES
    watch.drain_begins("jobs:one", 7)
    sightings = watch.drain_ends("jobs:one")
    assert len(sightings) == MAX_CLASSES and max(map(len, sightings)) == MAX_NAME


def test_class_that_is_followed_is_counted_on_when_no_other_one_is_followed_any_more() -> None:
    names, watch = [f"Job{number}" for number in range(MAX_CLASSES)], JobWatch()
    looks = [(0.0, look(100, *names)), (15.0, look(100, "Other", *names)), (30.0, look(100, *names))]
    (interval,) = ended(watch, *looks)
    assert interval.running_seconds == dict.fromkeys(names, 30.0)
    watch.drain_begins("jobs:one", 7)
    assert watch.drain_ends("jobs:one") == dict.fromkeys(names, 3)


def test_only_so_many_processes_are_followed_those_that_were_seen_last() -> None:
    watch = JobWatch()
    for number in range(MAX_PROCESSES + 1):
        watch.see(look(worker=f"jobs:{number}"), 0.0, WALL)
    later = MAX_GAP_SECONDS
    assert watch.see(look(worker="jobs:1"), later, WALL) is not None, "the oldest of the most"
    assert watch.see(look(worker="jobs:0"), later, WALL) is None, "it was forgotten"
    assert watch.see(look(worker=f"jobs:{MAX_PROCESSES}"), later, WALL) is not None


def test_drain_keeps_what_its_process_ran_also_when_another_one_runs() -> None:
    watch = JobWatch()
    ended(watch, (0.0, look(100, "A", "A")), (10.0, look(100, "A", "B")))
    watch.drain_begins("jobs:one", 7)
    ended(watch, (20.0, look(100, "B")), (40.0, look(50, "C", pid=8)))
    assert watch.drain_ends("jobs:one") == {"A": 3, "B": 2}
    assert watch.drain_ends("jobs:one") == {}


def test_drain_of_a_process_that_was_not_followed_has_no_classes() -> None:
    watch = JobWatch()
    ended(watch, (0.0, look(100, "A")))
    watch.drain_begins("jobs:one", 8)
    watch.drain_begins("jobs:two", 7)
    assert watch.drain_ends("jobs:one") == {} and watch.drain_ends("jobs:two") == {}
