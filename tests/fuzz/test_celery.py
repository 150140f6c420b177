"""What Celery's nodes answer, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.celery.broker import parse_broker
from supervisor_memkill.workers.celery.nodes import (
    QUESTIONS,
    host_of,
    lives_of,
    name_in,
    nodes_in,
    state_of,
)
from supervisor_memkill.workers.ownership import Began
from tests.fuzz.effort import tries
from tests.fuzz.kinds import NODE, QUEUE, RIGHT_ANSWERS, TASK
from tests.fuzz.values import JSON, TEXTS, assert_one_line, is_whole, near, near_json

ANSWERS = st.fixed_dictionaries(
    {
        question: st.lists(
            st.tuples(
                st.sampled_from([NODE, NODE, NODE, "celery@other"]),
                st.one_of(
                    st.just(RIGHT_ANSWERS[question]),
                    near_json(RIGHT_ANSWERS[question]),
                    near_json([TASK, QUEUE]),
                    JSON,
                ),
            ),
            min_size=1,
            max_size=2,
        )
        for question in QUESTIONS
    }
)


def right(**values: Any) -> Mapping[str, Any]:
    return {question: [(NODE, value)] for question, value in {**RIGHT_ANSWERS, **values}.items()}


@tries(150)
@example(right(reserved=[{}]))
@example(right(active=[{"name": None}]))
@example(right(active=[{"name": ["x"]}]))
@given(ANSWERS)
def test_any_answers_are_a_nodes_state_or_unknown(answers: Any) -> None:
    """A task whose name is not told is none whose name is known: it may be one of protect_jobs."""
    try:
        state = state_of(NODE, answers)
    except Unknown as error:
        assert_one_line(str(error))
        return
    given_tasks = [
        one
        for question in ("reserved", "active")
        for name, value in answers[question]
        if name == NODE
        for one in value
    ]
    assert sorted(state.jobs) == sorted(task["name"] for task in given_tasks)
    assert all(isinstance(job, str) for job in state.jobs)
    assert is_whole(state.pid, 1)
    assert all(isinstance(queue["queue"], str) for queue in state.queues)


@tries(80)
@given(ANSWERS, st.sets(st.integers(0, 200)))
def test_any_answers_name_the_nodes_of_these_pids_or_nothing(answers: Any, pids: set[int]) -> None:
    assert set(nodes_in(dict.fromkeys(pids, Began(0.0, 0.0)), 500.0, answers)) <= {
        name for name, _ in answers["stats"]
    }
    try:
        assert all(is_whole(life.pid, 1) for life in lives_of(NODE, answers))
    except Unknown as error:
        assert_one_line(str(error))


TITLES = near(
    st.sampled_from(
        [
            "[celeryd: w1@host:MainProcess] -active-",
            "/usr/bin/python3 /usr/bin/celery -A app worker -n w%i@%h",
            "celery worker",
        ]
    )
)


@tries(150)
@given(TITLES | TEXTS, st.text(max_size=9))
def test_any_title_leads_to_a_node_or_to_none(title: str, hostname: str) -> None:
    name = name_in(title, hostname)
    assert name is None or isinstance(host_of(name), str)


@tries(150)
@given(near(st.sampled_from(["amqp://user:secretpass@host:5672/vhost", "redis://host:6379/0?x=y"])) | TEXTS)
def test_any_broker_is_one_or_is_refused_without_being_repeated(url: str) -> None:
    try:
        parse_broker(url)
    except ValueError as error:
        assert_one_line(str(error))
        assert "secretpass" not in str(error)
