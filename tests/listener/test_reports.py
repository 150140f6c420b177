"""Which workers a look reports."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence

import pytest

from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey
from supervisor_memkill.listener.reports import Reports
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.pool_events import PoolLooked, WorkerHint, WorkerSeen
from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.rules.policy import Hold, Sighting, Terms, Verdict
from supervisor_memkill.workers.contract import Advice, Tools
from tests.builders import info, reading
from tests.listener_world import QuietKind, World, pool_config

TOOLS = Tools(redis=lambda: None, signal=lambda worker, name: None, clock=lambda: 0.0, host="here")
POOL = Pool(pool_config(), QuietKind({}, TOOLS, World()))
TERMS = Terms(limit_bytes=200, hard_limit_bytes=None, strikes=1, min_uptime_seconds=60.0, settle_seconds=10.0)


class Events:
    def __init__(self) -> None:
        self.new: list[Event] = []

    def take(self, event: Event) -> None:
        self.new.append(event)


def finding(name: str, *advice: str, stopwaitsecs: int = 10) -> Finding:
    seen = Sighting(process=info(name=name), memory_bytes=100, reading=reading())
    hints = tuple(Advice(text) for text in advice)
    program = ProgramInfo("jobs", name, "work", signal.SIGTERM, stopwaitsecs, False, 999)
    return Finding(seen, Verdict(Hold.UNDER_LIMIT, 0.5), hints, program)


def survey(findings: Sequence[Finding], failure: Exception | None = None) -> PoolSurvey:
    return PoolSurvey(POOL, TERMS, tuple(findings), 0.0, failure=failure)


class Reported:
    """The reports of one listener."""

    def __init__(self) -> None:
        self.events = Events()
        self._reports = Reports(Notifier([self.events]))

    def workers(self, look: PoolSurvey) -> list[str]:
        """The workers that this look reports."""
        self.events.new.clear()
        try:
            if look.failure is None:
                self._reports.report_pool(look)
        finally:
            others = list(self.events.new)
            self.end_alone(look)
        return [one.worker for one in others if isinstance(one, WorkerSeen)]

    def end_alone(self, look: PoolSurvey) -> None:
        self._reports.report_end(look)
        end = self.events.new[-1]
        assert isinstance(end, PoolLooked)
        self.end = end

    def hints(self, look: PoolSurvey) -> list[str]:
        self.workers(look)
        return [one.advice for one in self.events.new if isinstance(one, WorkerHint)]


@pytest.fixture
def reported() -> Reported:
    return Reported()


def test_look_that_found_the_same_reports_no_worker_and_says_so(reported: Reported) -> None:
    same = survey([finding("one"), finding("two")])
    assert reported.workers(same) == ["jobs:one", "jobs:two"] and not reported.end.unchanged
    assert reported.workers(same) == [] and reported.end.unchanged


def test_one_worker_that_changed_has_all_of_its_pool_reported(reported: Reported) -> None:
    """Who shows the last look has all of it."""
    first = survey([finding("one"), finding("two")])
    reported.workers(first)
    changed = survey([first.findings[0], finding("two")])
    assert reported.workers(changed) == ["jobs:one", "jobs:two"] and not reported.end.unchanged


def test_after_a_look_that_failed_all_workers_are_reported_again(reported: Reported) -> None:
    same = survey([finding("one")])
    reported.workers(same)
    assert reported.workers(survey([], OSError("x"))) == []
    assert reported.workers(same) == ["jobs:one"] and not reported.end.unchanged


def test_after_a_look_that_was_broken_off_all_workers_are_reported_again(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the data of a kind breaks off what is reported of its pool."""
    same = survey([finding("one"), finding("two")])
    with monkeypatch.context() as patch:
        patch.setattr(Finding, "hints", lambda self: None if self.worker == "jobs:two" else ())
        with pytest.raises(TypeError):
            reported.workers(same)
    assert reported.workers(same) == ["jobs:one", "jobs:two"] and not reported.end.unchanged
    assert reported.workers(same) == [] and reported.end.unchanged


def test_look_that_was_reported_by_its_end_alone_is_no_former_look(reported: Reported) -> None:
    same = survey([finding("one")])
    for _ in range(2):
        reported.end_alone(same)
        assert not reported.end.unchanged
    assert reported.workers(same) == ["jobs:one"] and not reported.end.unchanged
    reported.end_alone(same)
    assert reported.workers(same) == ["jobs:one"] and not reported.end.unchanged


def test_pool_that_lost_its_last_worker_is_changed(reported: Reported) -> None:
    reported.workers(survey([finding("one")]))
    assert reported.workers(survey([])) == [] and not reported.end.unchanged


def test_hint_is_reported_once_for_the_same_settings(reported: Reported) -> None:
    assert reported.hints(survey([finding("one", "stopwaitsecs is short")])) == ["stopwaitsecs is short"]
    assert reported.hints(survey([finding("one", "stopwaitsecs is short", stopwaitsecs=3)])) == [
        "stopwaitsecs is short"
    ], "other settings have the same fault"
    again = finding("one", "stopwaitsecs is short", "another", stopwaitsecs=3)
    assert reported.hints(survey([again])) == ["another"]
    unknown = dataclasses.replace(again, program=None)
    assert reported.hints(survey([unknown])) == []
    assert reported.hints(survey([again])) == [], "the settings were not known for a moment"
    assert reported.hints(survey([finding("one", stopwaitsecs=3)])) == []
    assert reported.hints(survey([again])) == ["stopwaitsecs is short", "another"]
