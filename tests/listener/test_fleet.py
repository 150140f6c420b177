"""What a listener answers to the open requests that all hosts of a pool got through Redis."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import AnswerLine
from supervisor_memkill.listener.findings import Finding, PoolSurvey
from supervisor_memkill.listener.fleet import NOT_LOOKED, Fleet
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.requests import Refusal
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import Hold, Sighting, Terms, Verdict
from supervisor_memkill.rules.requests import Act, OperatorRequest, RunningProcess, TakenRequest
from tests.builders import PID, START, drain, info, reading

NOW = 100.0
ID, OTHER_ID = "ab" * 8, "cd" * 8
TERMS = Terms(200, None, strikes=1, min_uptime_seconds=60.0, settle_seconds=10.0)
ASKS, HELD = Verdict(None, 0.5), Verdict(Hold.MIN_UPTIME)


def taken(identity: str = ID, fleet_pool: str = "jobs") -> TakenRequest:
    """A restart of the worker that `info` gives, which runs still."""
    request = OperatorRequest(identity, Act.RESTART, ("jobs",), 3600.0)
    return TakenRequest(
        request, 0.0, None, {"jobs:one": RunningProcess(PID, START)}, (), fleet_pool=fleet_pool
    )


class Scene:
    """A fleet with what its listener has taken and refused."""

    def __init__(self) -> None:
        self.contents = Contents(requests={ID: taken()})
        self.refusals = dict[str, Refusal]()
        requests: Any = SimpleNamespace(are_waiting=False, refusals=self.refusals)
        self.fleet = Fleet(requests, self, lambda: NOW)  # type: ignore[arg-type]

    @property
    def drains(self) -> Any:
        return self.contents.drains

    def drains_in(self, state: State, **values: Any) -> None:
        self.contents = dataclasses.replace(
            self.contents, drains={"jobs:one": drain(state, since=NOW - 5, **values)}
        )

    def looked(self, *verdicts: Verdict, failure: Exception | None = None) -> None:
        """At a pool with a worker for each verdict."""
        findings = tuple(Finding(Sighting(info(), 100, reading(busy=2)), one) for one in verdicts)
        pool: Any = SimpleNamespace(name="jobs")
        self.fleet.looked(PoolSurvey(pool, TERMS, findings, 0.0, failure=failure))

    def line(self) -> AnswerLine:
        (line,) = self.fleet.answers("jobs")[ID].lines
        return line


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_answers_go_to_all_requests_of_the_pool_until_it_is_known_which_are_open(scene: Scene) -> None:
    scene.contents = Contents(requests={ID: taken(), "1" * 16: taken("1" * 16, "other")})
    scene.refusals |= {OTHER_ID: Refusal("jobs", "why"), "2" * 16: Refusal("other", "why")}
    assert scene.fleet.answers("jobs").keys() == {ID, OTHER_ID}
    scene.fleet.offered("jobs", (), frozenset({OTHER_ID}))
    assert scene.fleet.answers("jobs").keys() == {OTHER_ID}
    scene.fleet.offered("jobs", (), frozenset())
    assert scene.fleet.answers("jobs") == {}
    assert scene.fleet.answers("other").keys() == {"1" * 16, "2" * 16}


def test_listener_that_has_not_looked_yet_says_so(scene: Scene) -> None:
    assert scene.line() == AnswerLine("jobs:one", "waiting", NOT_LOOKED)


def test_look_that_failed_leaves_the_last_one_in_force(scene: Scene) -> None:
    """It found no worker: each would count as replaced."""
    scene.looked(HELD)
    scene.looked(failure=OSError("no answer"))
    assert scene.line().standing == "waiting"


def test_worker_that_is_in_no_pool_any_more_needs_no_restart(scene: Scene) -> None:
    scene.looked()
    answer = scene.fleet.answers("jobs")[ID]
    assert (answer.workers, answer.replaced, answer.lines) == (1, 1, ())


def test_what_was_decided_about_a_worker_counts_while_it_asks(scene: Scene) -> None:
    scene.looked(ASKS)
    assert scene.line().words == ASKS.words
    scene.fleet.decided("jobs:one", "too few others are in service")
    assert scene.line().words == "too few others are in service"
    scene.looked(HELD)
    assert scene.line().words == HELD.words


def test_drain_that_only_asks_has_done_nothing_yet(scene: Scene) -> None:
    scene.looked(HELD)
    scene.drains_in(State.ASKING)
    assert scene.line() == AnswerLine("jobs:one", "waiting", HELD.words)
    scene.drains_in(State.DRAINING)
    assert scene.line() == AnswerLine("jobs:one", "draining", "draining, 2 running jobs", 5.0)


def test_worker_that_does_not_come_back_is_named_with_the_cause(scene: Scene) -> None:
    scene.looked(HELD)
    scene.drains_in(State.STARTING, start_attempts=100)
    line = scene.line()
    assert (line.standing, line.age_seconds) == ("failed", 5.0)
    assert "its start failed" in line.words
