"""A seed fixes the plan, and the plan leaves nothing out."""

from __future__ import annotations

import pytest

from tests.chaos.doings import Doing, Doings, Span
from tests.chaos.judges import Broken
from tests.chaos.plan import HOLDS, LISTENERS, WORKERS, Sort, make_plan
from tests.chaos.story import lines_of, story
from tests.places import PLACES


def test_same_seed_same_plan_and_a_longer_one_begins_alike() -> None:
    assert make_plan(7, 30) == make_plan(7, 60)[:30]
    assert make_plan(7, 30) != make_plan(8, 30)


@pytest.mark.parametrize("seed", range(5))
def test_a_long_plan_does_everything_everywhere(seed: int) -> None:
    plan = make_plan(seed, 200)
    assert {todo.sort for todo in plan} == set(Sort)
    assert {todo.place for todo in plan} - {""} == set(PLACES)
    touched = {todo.target for todo in plan}
    assert {*WORKERS, *LISTENERS, "a", "b", "coordination", "jobs"} <= touched


def test_what_lasts_lasts_as_long_as_it_may() -> None:
    for todo in make_plan(1, 300):
        shortest, longest = HOLDS.get(todo.sort, (0.0, 0.0))
        assert shortest <= todo.hold_seconds <= longest


def test_a_deed_elsewhere_is_the_same_on_the_other_host() -> None:
    for todo in make_plan(1, 100):
        other = todo.elsewhere()
        assert (other is None) == (todo.target in ("coordination", "jobs"))
        assert other is None or (other.elsewhere() == todo and other.host != todo.host)


def test_what_is_begun_and_not_ended_lasts() -> None:
    now = [100.0]
    doings = Doings(clock=lambda: now[0])
    doing = doings.begin("a", "killed")
    now[0] = 200.0
    assert doings.touched("a/rq_0", 150.0, 160.0)
    assert doings.hindrances("a", 90.0, 150.0) == [Span(100.0, 150.0)]
    assert doings.hindrances("a", 130.0, 150.0) == [Span(130.0, 150.0)], "what was before does not count"
    doings.end(doing)
    assert not doings.touched("a/rq_0", 203.0, 204.0)


def test_hindrances_with_little_between_them_are_one() -> None:
    doings = Doings()
    doings.all += [
        Doing("jobs", "frozen", 10.0, 11.0),
        Doing("b/memkill", "frozen", 11.0, 19.0),
        Doing("a/memkill", "killed", 12.0, 13.0),
        Doing("coordination", "frozen", 20.0, 22.0),
    ]
    assert doings.hindrances("a", 0.0, 30.0) == [Span(10.0, 13.0), Span(20.0, 22.0)]


def test_redis_loses_its_data_by_a_restart_and_by_a_flush_only() -> None:
    doings = Doings()
    doings.all += [
        Doing("coordination", "down", 10.0, 12.0),
        Doing("coordination", "frozen", 20.0, 29.0),
        Doing("flushed", "flushed", 30.0, 30.1),
    ]
    assert doings.losses(0.0, 40.0) == [10.0, 30.0]
    assert doings.losses(11.0, 29.0) == []


def test_the_story_is_told_by_time_with_the_command_to_see_it_again() -> None:
    log = "2026-11-24 03:05:52,410 INFO drain.stopping worker=rq_0:rq_0\nno line of a log\n"
    (said,) = lines_of(log, "a listener")
    assert said[1:] == ("a listener", "drain.stopping worker=rq_0:rq_0")
    lines = [said, (said[0] - 1, "hand", "killed it"), (said[0] - 900, "hand", "long ago")]
    told = story(Broken("S1", said[0], "two were out"), lines, "python -m tests.chaos --seed 1").splitlines()
    assert "S1" in told[0] and "two were out" in told[0]
    assert [line.split(" ", 1)[1].split()[0] for line in told[1:-1]] == ["hand", "a"]
    assert told[-1].endswith("python -m tests.chaos --seed 1")
