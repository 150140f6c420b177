"""Which worker is read again between two checks, and which is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener.growth import GrowthWatch
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world.memory import Gone

HARD = 200


class Scene:
    """A machine and its workers, of which the watch reads what it wants."""

    def __init__(self) -> None:
        self.now = 100.0
        self.available = 1000
        self.rss: dict[int, int] = {}
        self.reads: list[int] = []
        self.asked = 0
        self.watch = GrowthWatch(self._left, lambda: SimpleNamespace(memory=self._memory), lambda: self.now)  # type: ignore[arg-type, return-value]

    def _left(self) -> int:
        self.asked += 1
        return self.available

    def _memory(self, pid: int, measure: str, with_children: bool) -> int:
        self.reads.append(pid)
        if pid not in self.rss:
            raise Gone(f"no process {pid}")
        return self.rss[pid]

    def looked(
        self, *findings: Any, hard: int | None = HARD, failure: Exception | None = None, measure: str = "rss"
    ) -> None:
        pool = SimpleNamespace(name="jobs", measure=measure, counts_children=lambda process, table: False)
        terms = SimpleNamespace(hard_limit_bytes=hard)
        survey: Any = SimpleNamespace(pool=pool, terms=terms, failure=failure, findings=findings)
        self.watch.looked(survey)

    def probe(self, seconds: float = 1.0, available: int | None = None) -> bool:
        """A second later; whether a check is wanted."""
        self.now += seconds
        self.available = self.available if available is None else available
        return self.watch.wants_check()


def finding(
    size: int | None, pid: int = 7, state: ProcessState = ProcessState.RUNNING, draining: object = None
) -> Any:
    process = ProcessInfo("jobs", "one", state, pid=pid, start=1, stop=0, now=50)
    seen = SimpleNamespace(process=process, sure_bytes=size, draining=draining)
    return SimpleNamespace(seen=seen, process=process, worker=process.worker)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_worker_is_read_once_half_of_its_way_may_be_gone(scene: Scene) -> None:
    """100 of 200 bytes used: the way is 50."""
    scene.rss[7] = 100
    scene.looked(finding(100))
    assert not scene.probe(available=951)
    assert scene.reads == []
    assert not scene.probe(available=950)
    assert scene.reads == [7]


def test_most_that_was_left_since_the_reading_counts(scene: Scene) -> None:
    """Others gave memory back, and the worker took it."""
    scene.rss[7] = 100
    scene.looked(finding(100))
    scene.probe(available=1040)
    scene.probe(available=990)
    assert scene.reads == [7]


def test_growth_of_its_own_calls_for_a_reading(scene: Scene) -> None:
    scene.rss[7] = 120
    scene.looked(finding(100))
    scene.probe(available=950)  # 20 bytes a second; the way from 120 is 40.
    assert not scene.probe(1.9, available=950)
    assert scene.reads == [7]
    scene.probe(0.1, available=950)
    assert scene.reads == [7, 7]


def test_only_a_worker_past_its_hard_limit_makes_a_check_due(scene: Scene) -> None:
    scene.looked(finding(100))
    scene.rss[7] = HARD
    assert not scene.probe(available=900)
    scene.rss[7] = HARD + 1
    assert scene.probe(available=800)


def test_machine_without_any_memory_left_is_not_one_that_cannot_tell(scene: Scene) -> None:
    scene.rss[7] = 100
    scene.available = 0
    scene.looked(finding(100))
    scene.probe()
    assert scene.reads == []
    scene.probe(available=-1)
    assert scene.reads == [7]


def test_worker_that_the_look_took_over_keeps_its_reading(scene: Scene) -> None:
    scene.rss[7] = 100
    known = finding(100)
    scene.looked(known)
    scene.available = 960
    scene.looked(known)
    scene.probe(available=950)
    assert scene.reads == [7]


def test_worker_that_was_measured_anew_begins_a_new_way(scene: Scene) -> None:
    scene.rss[7] = 100
    scene.looked(finding(100))
    scene.available = 960
    scene.looked(finding(100))
    scene.probe(available=911)
    assert scene.reads == []


@pytest.mark.parametrize(("pid", "reads"), [(7, [7, 7]), (8, [7])])
def test_speed_is_that_of_the_same_process(scene: Scene, pid: int, reads: list[int]) -> None:
    scene.rss |= {7: 140, 8: 140}
    scene.looked(finding(100))
    scene.probe(available=940)  # 40 bytes a second; the way from 140 is 30.
    scene.looked(finding(140, pid=pid))
    scene.probe(available=940)
    assert scene.reads == reads


def test_other_measure_is_compared_by_what_the_rss_has_more(scene: Scene) -> None:
    """Memory by pss is 100, the RSS 130: at an RSS of 231 the pss is past 200."""
    scene.rss[7] = 130
    scene.looked(finding(100), measure="pss")
    assert scene.reads == [7]
    scene.rss[7] = HARD + 30
    assert not scene.probe(available=900)
    scene.rss[7] = HARD + 31
    assert scene.probe(available=800)


def test_rss_needs_no_second_reading_at_the_look(scene: Scene) -> None:
    scene.looked(finding(100))
    assert scene.reads == []


def test_worker_whose_rss_is_unknown_at_the_look_is_not_watched(scene: Scene) -> None:
    scene.looked(finding(100), measure="pss")
    assert not scene.watch.is_watching


def test_process_that_ended_makes_one_check_due_and_is_not_read_again(scene: Scene) -> None:
    scene.looked(finding(100))
    assert scene.probe(available=900)
    assert not scene.probe(available=100)
    assert (scene.reads, scene.watch.is_watching) == ([7], False)


@pytest.mark.parametrize("size", [HARD, 0])
def test_worker_up_to_its_hard_limit_is_watched(scene: Scene, size: int) -> None:
    scene.looked(finding(size))
    assert scene.watch.is_watching


@pytest.mark.parametrize(
    "one",
    [
        finding(HARD + 1),
        finding(None),
        finding(100, state=ProcessState.STOPPED),
        finding(100, draining=object()),
    ],
    ids=["past its limit", "unknown memory", "stopped", "draining"],
)
def test_other_workers_are_not_watched(scene: Scene, one: Any) -> None:
    scene.looked(one)
    assert not scene.watch.is_watching


def test_pool_without_a_hard_limit_is_not_watched(scene: Scene) -> None:
    scene.looked(finding(100), hard=None)
    assert not scene.watch.is_watching


def test_pool_whose_look_failed_is_not_watched(scene: Scene) -> None:
    scene.looked(finding(100), failure=Unknown("its kind failed"))
    assert not scene.watch.is_watching


def test_worker_that_starts_makes_checks_due_until_it_runs(scene: Scene) -> None:
    scene.looked(finding(None, state=ProcessState.STARTING))
    assert scene.watch.is_watching
    assert scene.probe()
    scene.looked(finding(100))
    assert not scene.probe()


def test_nothing_is_read_where_nothing_is_watched(scene: Scene) -> None:
    assert not scene.probe()
    assert scene.asked == 0
