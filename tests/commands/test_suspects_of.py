"""The suspects are the classes that leak, and nobody is a suspect where the intervals do not show it."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.commands.suspects_of import LEAST_INTERVALS, PoolSuspects, Unit, Verdict, suspects_of
from supervisor_memkill.notices.intervals import Interval
from tests.commands.observed import CLASSES, MB, NIGHT, Made
from tests.fuzz.effort import tries

SEEDS = range(1, 7)


def of(made: Made, seed: int = 1) -> PoolSuspects:
    (found,) = suspects_of(made.observe(seed))
    return found


def named(found: PoolSuspects) -> list[str]:
    return [one.job_class for one in found.suspects]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("leaking", CLASSES)
def test_class_that_leaks_is_the_suspect_with_its_figure(leaking: str, seed: int) -> None:
    found = of(Made({leaking: 60.0}), seed)
    assert (found.verdict, found.unit, named(found)) == (Verdict.FOUND, Unit.MINUTE, [leaking])
    (suspect,) = found.suspects
    assert 40 * MB < suspect.bytes_per_unit < 80 * MB
    assert suspect.least_bytes_per_unit <= suspect.bytes_per_unit <= suspect.most_bytes_per_unit
    assert suspect.share > 0.7 and suspect.certainty > 0.95


@pytest.mark.parametrize("intervals", [14, 16])
def test_early_result_names_no_wrong_class_beside_the_right_one(intervals: int) -> None:
    """After seven or eight minutes, in 60 histories: chance must not make a second suspect."""
    made = Made({"Report": 60.0}, intervals=intervals, lives=intervals)
    found = [named(of(made, seed)) for seed in range(1, 61)]
    assert not [names for names in found if set(names) - {"Report"}]
    assert sum(names == ["Report"] for names in found) >= 57


@pytest.mark.parametrize("seed", SEEDS)
def test_figure_is_right_although_most_jobs_are_missed(seed: int) -> None:
    """The least squares alone find less than half of it."""
    found = of(Made({"Report": 60.0}, moments=1, processes=5, intervals=100, lives=100), seed)
    (suspect,) = found.suspects
    assert suspect.least_bytes_per_unit < 40 * MB
    assert 30 * MB < suspect.bytes_per_unit < 70 * MB
    assert 50 * MB < suspect.most_bytes_per_unit < 80 * MB


@pytest.mark.parametrize("seed", SEEDS)
def test_two_that_leak_are_both_named(seed: int) -> None:
    found = of(Made({"Report": 60.0, "Sync": 40.0}, processes=4, intervals=60, lives=60), seed)
    assert set(named(found)) == {"Report", "Sync"}
    figures = {one.job_class: one.bytes_per_unit for one in found.suspects}
    assert 30 * MB < figures["Report"] < 90 * MB and 20 * MB < figures["Sync"] < 80 * MB


@pytest.mark.parametrize("seed", SEEDS)
def test_counted_runs_give_a_figure_for_each_run(seed: int) -> None:
    """One MB per run, of runs that take a second each: 60 MB per minute."""
    found = of(Made({"Import": 60.0}, counts_runs=True), seed)
    assert (found.unit, named(found)) == (Unit.RUN, ["Import"])
    assert 0.8 * MB < found.suspects[0].bytes_per_unit < 1.2 * MB
    assert {one.job_class: one.runs for one in found.classes}["Import"] > 100  # type: ignore[operator]


@pytest.mark.parametrize("seed", SEEDS)
def test_growth_that_goes_on_whatever_runs_is_no_class(seed: int) -> None:
    assert of(Made(grows_always=10.0), seed).verdict is Verdict.UNCLEAR


@pytest.mark.parametrize("jobs", [1.0, 3.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_class_that_runs_all_the_time_is_no_suspect_for_growth_that_goes_on_whatever_runs(
    seed: int, jobs: float
) -> None:
    """Such as a job that consumes a queue for ever: nothing shows whether it or the worker itself grows."""
    chance = random.Random(seed)
    always = [
        dataclasses.replace(
            one,
            running_seconds={
                "Consume": jobs * one.seconds + chance.choice((0.0, 0.01, -0.01)),
                **one.running_seconds,
            },
        )
        for one in Made(grows_always=10.0, classes=("Mail", "Report")).observe(seed)
    ]
    (found,) = suspects_of(always)
    assert (found.verdict, found.suspects) == (Verdict.UNCLEAR, ())


def test_intervals_that_are_all_alike_show_no_suspect() -> None:
    """With the same jobs and the same growth in each of them, every class explains it as well as another."""
    alike = [
        dataclasses.replace(
            one,
            before_bytes=(100 + number) * MB,
            after_bytes=(101 + number) * MB,
            running_seconds={"A": 20.0, "B": 10.0},
        )
        for number, one in enumerate(Made(processes=1).observe())
    ]
    (found,) = suspects_of(alike)
    assert (found.verdict, found.suspects) == (Verdict.UNCLEAR, ())


@pytest.mark.parametrize("seed", SEEDS)
def test_growth_with_every_class_alike_is_no_class(seed: int) -> None:
    assert of(Made(dict.fromkeys(CLASSES, 10.0)), seed).verdict is Verdict.UNCLEAR


@pytest.mark.parametrize("seed", SEEDS)
def test_memory_that_does_not_grow_has_no_suspect(seed: int) -> None:
    """That each process grows while it loads its code is no growth."""
    found = of(Made(), seed)
    assert (found.verdict, named(found)) == (Verdict.NO_GROWTH, [])
    assert found.classes and found.hours > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_teeth_of_a_collector_are_no_growth(seed: int) -> None:
    assert named(of(Made(teeth=50.0), seed)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_leak_is_found_below_the_teeth_of_a_collector(seed: int) -> None:
    made = Made({"Report": 60.0}, teeth=20.0, processes=5, intervals=60, lives=60)
    assert named(of(made, seed)) == ["Report"]


@pytest.mark.parametrize("seed", SEEDS)
def test_classes_that_always_run_together_cannot_be_told_apart(seed: int) -> None:
    """It names none of the three others, and never one of the pair as surely the one."""
    found = of(Made({"Report": 60.0}, together=("Report", "Sync"), misses=False), seed)
    assert set(named(found)) <= {"Report", "Sync"}
    assert named(found) != ["Sync"]


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_that_are_replaced_are_taken_each_for_itself(seed: int) -> None:
    """The fall from the old process to the new one is no shrinkage, and the way back up no growth."""
    assert named(of(Made({"Mail": 60.0}, intervals=80, lives=20), seed)) == ["Mail"]
    assert named(of(Made(intervals=80, lives=20), seed)) == []


def test_many_classes_bring_no_suspect_by_chance() -> None:
    classes = tuple(f"Job{number}" for number in range(60))
    found = [of(Made(classes=classes, grows_always=10.0), seed) for seed in range(1, 6)]
    assert [named(one) for one in found] == [[]] * 5


@pytest.mark.parametrize("seed", SEEDS)
def test_class_among_many_is_found_although_others_ran_as_much(seed: int) -> None:
    classes = tuple(f"Job{number:02}" for number in range(60))
    made = Made({"Job59": 300.0}, classes=classes, processes=4, intervals=150, lives=150)
    assert named(of(made, seed)) == ["Job59"]


def test_classes_that_were_only_counted_stand_in_the_order_of_their_runs() -> None:
    counted = [
        dataclasses.replace(one, running_seconds={}, runs={"A": 1, "B": 3, "C": 2})
        for one in Made(intervals=20).observe()
    ]
    (found,) = suspects_of(counted)
    assert [(one.job_class, one.running_seconds) for one in found.classes] == [("B", 0), ("C", 0), ("A", 0)]


def test_few_intervals_show_nothing() -> None:
    found = of(Made({"Mail": 60.0}, processes=1, intervals=15, lives=15))
    assert (found.verdict, found.suspects) == (Verdict.TOO_FEW, ())


def test_least_number_of_intervals_is_enough() -> None:
    """Three at the start of the process and two at its end do not count."""
    fewest = LEAST_INTERVALS + 3 + 2
    enough = of(Made({"Mail": 60.0}, processes=1, intervals=fewest, lives=fewest))
    assert enough.intervals == LEAST_INTERVALS and enough.verdict is not Verdict.TOO_FEW


def test_one_class_alone_has_nothing_to_be_compared_with() -> None:
    assert of(Made({"Mail": 60.0}, classes=("Mail",))).verdict is Verdict.ONE_CLASS


def test_idle_workers_have_no_suspect() -> None:
    idle = [dataclasses.replace(one, running_seconds={}) for one in Made(grows_always=10.0).observe()]
    (found,) = suspects_of(idle)
    assert (found.verdict, found.classes) == (Verdict.NO_JOBS, ())


def test_pools_are_calculated_apart() -> None:
    intervals = [*Made({"Mail": 60.0}).observe(1, "b"), *Made({"Sync": 60.0}).observe(2, "a")]
    assert [(one.pool, named(one)) for one in suspects_of(intervals)] == [("a", ["Sync"]), ("b", ["Mail"])]


def test_same_intervals_give_the_same_result_in_any_order() -> None:
    intervals = Made({"Mail": 60.0}).observe()
    assert suspects_of(intervals) == suspects_of(reversed(intervals))


def test_no_interval_is_no_pool() -> None:
    assert suspects_of([]) == ()


def test_basis_of_the_result_is_said() -> None:
    found = of(Made({"Mail": 60.0}))
    assert (found.processes, found.since, found.until) == (3, NIGHT, NIGHT + 1200)
    assert found.hours == pytest.approx(1.0)
    assert found.intervals == 3 * (40 - 8 - 2), "without the first ones and the last ones of each process"
    assert found.growth_bytes > 500 * MB


SECONDS = st.floats(0.01, 1e6)
CLASS = st.sampled_from(["A", "B", "C"])
ANY = st.builds(
    Interval,
    at=st.floats(1.0, 1e9),
    pool=st.just("jobs"),
    worker=st.sampled_from(["one", "two"]),
    pid=st.just(1),
    start=st.just(1),
    seconds=SECONDS,
    before_bytes=st.integers(0, 2**50),
    after_bytes=st.integers(0, 2**50),
    running_seconds=st.dictionaries(CLASS, st.floats(0.0, 1e10)),
    runs=st.none() | st.dictionaries(CLASS, st.integers(0, 2**62)),
)


@tries(30)
@given(st.lists(ANY, min_size=20, max_size=40))
def test_whatever_the_file_holds_the_result_is_made_of_numbers(intervals: list[Interval]) -> None:
    (found,) = suspects_of(intervals)
    for suspect in found.suspects:
        assert 0 <= suspect.least_bytes_per_unit <= suspect.bytes_per_unit <= suspect.most_bytes_per_unit
        assert suspect.most_bytes_per_unit < math.inf and 0 <= suspect.share <= 1
