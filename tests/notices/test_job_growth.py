"""The growth goes to the classes that ran, each byte once, and the classes that are shown are few."""

from __future__ import annotations

import pytest

from supervisor_memkill.notices import job_growth
from supervisor_memkill.notices.job_growth import JobGrowth
from supervisor_memkill.notices.pool_events import WorkerJobs


def look(size: int, *jobs: str, pid: int = 7, start: int = 900, worker: str = "jobs:one") -> WorkerJobs:
    return WorkerJobs(worker, "jobs", pid, start, size, 60.0, jobs)


def shown(*looks: WorkerJobs) -> dict[str, float]:
    growth = JobGrowth()
    for event in looks:
        growth.see(event)
    return {name: size for (_, name), size in growth.shown().items()}


def test_growth_is_shared_by_the_jobs_of_both_looks() -> None:
    assert shown(look(100, "A", "A"), look(400, "A", "B", "C", "C")) == {"A": 150.0, "B": 50.0, "C": 100.0}


def test_memory_that_comes_again_after_it_went_is_no_growth() -> None:
    assert shown(look(100, "A"), look(200, "A"), look(50, "B"), look(200, "B"), look(210, "B")) == {
        "A": 100.0,
        "B": 10.0,
    }


@pytest.mark.parametrize("other", [{"pid": 8}, {"start": 901}])
def test_new_process_did_not_grow(other: dict[str, int]) -> None:
    assert shown(look(100, "A"), look(500, "A", **other)) == {}  # type: ignore[arg-type]


def test_growth_of_an_idle_worker_goes_to_no_class() -> None:
    assert shown(look(100), look(500)) == {}


def test_few_classes_are_shown_those_with_the_most() -> None:
    growth, size = JobGrowth(), 100
    growth.see(look(size))
    for number in range(1000):
        growth.see(look(size := size + number, f"Job{number:04}"))
        growth.see(look(size))
    names = [name for _, name in growth.shown()]
    assert len(names) == job_growth.SHOWN_CLASSES
    assert names[0] == "Job0999"


def test_workers_beyond_a_bound_are_forgotten() -> None:
    many = [look(100, "A", worker=f"jobs:{number}") for number in range(job_growth.MAX_PROCESSES + 1)]
    assert shown(*many, look(200, "A", worker="jobs:0")) == {}
    assert shown(*many, look(200, "A", worker="jobs:1")) == {"A": 100.0}
