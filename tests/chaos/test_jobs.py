"""The judge of the jobs can fail, and excuses no more than the hand did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.doings import Kill
from tests.chaos.jobs import Evidence, JobsJudge, Run, Verdict, runs_of

WORKER, PARENT = 11, 10


def fact(word: str, job: str, at: float, pid: int = WORKER, parent: int = PARENT) -> list[object]:
    return [word, job, at, pid, parent, pid]


def ran(job: str, at: float, pid: int = WORKER) -> list[list[object]]:
    return [fact("start", job, at, pid), fact("finish", job, at + 0.5, pid)]


def kill(at: float, pid: int = WORKER, workers: Sequence[str] = ("a/rq_0",)) -> Kill:
    return Kill(at, frozenset({pid}), frozenset(workers))


def judged(
    pushed: Sequence[str],
    facts: Sequence[Sequence[object]],
    kills: Sequence[Kill] = (),
    taken: Sequence[str] = (),
    stops: Sequence[float] = (),
    in_hand: int = 1,
) -> Verdict:
    evidence = Evidence(pushed, runs_of(facts), kills, frozenset(taken), stops)
    return JobsJudge("rq", in_hand, evidence).verdict()


def test_jobs_that_ran_once_are_in_no_list() -> None:
    assert judged(["x", "y"], [*ran("x", 1), *ran("y", 2)]) == Verdict(2, (), (), (), (), 0)


def test_a_finish_belongs_to_the_run_of_its_process() -> None:
    """An orphan has another parent at its end."""
    facts = [fact("start", "x", 1, parent=PARENT), fact("finish", "x", 2, parent=1)]
    assert runs_of(facts)["x"] == [Run("x", frozenset({WORKER, PARENT}), 1, 2)]


def test_a_job_that_was_begun_and_not_finished_is_lost() -> None:
    assert judged(["x"], [fact("start", "x", 1.0)]).lost == ("x",)


def test_a_job_that_was_never_begun_is_lost() -> None:
    assert judged(["w", "x", "y"], [*ran("w", 1.0), *ran("y", 2.0)]).lost == ("x",)


def test_a_job_that_was_finished_twice_is_told_whatever_was_killed() -> None:
    verdict = judged(["x"], [*ran("x", 1.0), *ran("x", 5.0, pid=12)], [kill(4.0), kill(6.0, pid=12)])
    assert verdict.twice == ("x",)


def test_a_job_that_was_begun_twice_is_told_unless_the_first_run_was_cut() -> None:
    facts = [fact("start", "x", 1.0), *ran("x", 5.0, pid=12)]
    assert judged(["x"], facts).twice == ("x",)
    assert judged(["x"], facts, [kill(2.0)]).excused == ("x",)


def test_the_kill_of_its_process_or_of_its_parent_excuses_a_job() -> None:
    facts = [fact("start", "x", 1.0)]
    assert judged(["x"], facts, [kill(2.0)]).excused == ("x",)
    assert judged(["x"], facts, [kill(2.0, pid=PARENT)]).excused == ("x",)


def test_no_other_kill_excuses_it() -> None:
    facts = [fact("start", "x", 1.0)]
    assert judged(["x"], facts, [kill(2.0, pid=99)]).lost == ("x",)
    assert judged(["x"], facts, [kill(0.5)]).lost == ("x",), "its pid was another process's then"


def test_a_kill_excuses_no_more_jobs_than_were_in_hand() -> None:
    facts = [fact("start", "x", 1.0), fact("start", "y", 1.1)]
    assert judged(["x", "y"], facts, [kill(2.0)]).lost == ("y",)
    assert judged(["x", "y"], facts, [kill(2.0)], in_hand=2).lost == ()
    both = kill(2.0, workers=("a/rq_0", "a/rq_1"))
    assert judged(["x", "y"], facts, [both]).lost == ()


def test_a_kill_of_another_pools_worker_excuses_nothing() -> None:
    facts = [fact("start", "x", 1.0)]
    assert judged(["x"], facts, [kill(2.0, workers=("a/sidekiq_0",))]).lost == ("x",)


def test_a_job_never_begun_is_excused_by_a_kill_when_it_was_taken_off_its_queue() -> None:
    pushed, facts = ["w", "x", "y"], [*ran("w", 10.0), *ran("y", 11.0)]
    assert judged(pushed, facts, [kill(10.5, pid=99)]).excused == ("x",)
    assert judged(pushed, facts, [kill(5.0, pid=99)]).lost == ("x",)
    assert judged(pushed, facts, [kill(20.0, pid=99)]).lost == ("x",)


def test_a_host_that_is_suspended_and_killed_later_excuses_the_jobs_of_that_time() -> None:
    """On a busy machine seconds pass in between, in which others go on."""
    facts = [*ran("w", 1.0), *ran("y", 2.0), *ran("z", 9.0)]
    died = replace(kill(8.0), since=2.5)
    assert judged(["w", "x", "y", "z"], facts, [died]).excused == ("x",)
    assert judged(["w", "x", "y", "z"], facts, [kill(8.0)]).lost == ("x",)
    assert judged(["w", "x", "y", "z"], facts, [replace(died, since=5.5)]).lost == ("x",)


def test_a_job_that_was_taken_seconds_before_a_kill_and_had_not_begun_is_excused() -> None:
    """A busy machine may need seconds from the one to the other."""
    facts = [*ran("w", 1.0), *ran("y", 2.0)]
    assert judged(["w", "x", "y"], facts, [kill(4.9)]).excused == ("x",)
    assert judged(["w", "x", "y"], facts, [kill(5.1)]).lost == ("x",)


def test_a_job_is_dropped_by_the_framework_only_by_its_word_and_at_a_stop() -> None:
    pushed, facts = ["w", "x", "y"], [*ran("w", 10.0), *ran("y", 11.0)]
    assert judged(pushed, facts, taken=["x"], stops=[10.5]).dropped == ("x",)
    assert judged(pushed, facts, taken=["x"], stops=[30.0]).lost == ("x",)
    assert judged(pushed, facts, stops=[10.5]).lost == ("x",)


def test_a_stop_drops_one_job_at_most() -> None:
    pushed, facts = ["w", "x", "y", "z"], [*ran("w", 10.0), *ran("z", 11.0)]
    one = judged(pushed, facts, taken=["x", "y"], stops=[10.5])
    assert (one.dropped, one.lost) == (("x",), ("y",))
    two = judged(pushed, facts, taken=["x", "y"], stops=[10.5, 10.6])
    assert (two.dropped, two.lost) == (("x", "y"), ())


@pytest.mark.parametrize(
    ("drops", "stops", "too_many"), [(0, 0, False), (2, 2, False), (3, 19, True), (3, 20, False)]
)
def test_more_than_a_few_dropped_jobs_are_too_many(drops: int, stops: int, *, too_many: bool) -> None:
    dropped = tuple(f"job-{number}" for number in range(drops))
    assert Verdict(500, (), (), (), dropped, stops).drops_too_many is too_many
