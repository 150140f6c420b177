"""Which quiet workers are restarted: after a damaged journal, and after a quiet that came late."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from supervisor_memkill.listener.adoption import Adoption
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey, Survey
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import Hold, Sighting, Terms, Verdict
from supervisor_memkill.rules.requests import Pause
from supervisor_memkill.workers.contract import Kind, Traits
from tests.builders import CUSTOM_LIKE, PID, PLAIN_LIKE, SIDEKIQ_LIKE, START, drain, info, reading
from tests.listener_world import pool_config

TERMS = Terms(limit_bytes=200, hard_limit_bytes=None, strikes=1, min_uptime_seconds=60.0, settle_seconds=10.0)
QUIET, AT_WORK, UNKNOWN = reading(quiet=True), reading(quiet=False), reading(quiet=None)


class FakeLedger:
    def __init__(self, **contents: Any) -> None:
        self.contents = Contents(adopts=True, **contents)

    @property
    def drains(self) -> Any:
        return self.contents.drains

    def save(self, contents: Contents, *, must: bool) -> bool:
        self.contents = contents
        return not must


class FakeKind:
    def __init__(self, traits: Traits) -> None:
        self.traits = traits


def pool(traits: Traits = SIDEKIQ_LIKE) -> Pool:
    return Pool(pool_config(), cast(Kind, FakeKind(traits)))


def finding(one: Any = QUIET, **process: Any) -> Finding:
    return Finding(Sighting(info(**process), 100, one), Verdict(Hold.UNDER_LIMIT))


def survey(*findings: Finding, traits: Traits = SIDEKIQ_LIKE, failure: Exception | None = None) -> Survey:
    return Survey((PoolSurvey(pool(traits), TERMS, findings, 0.0, failure),), ())


def adoption(**contents: Any) -> tuple[Adoption, FakeLedger]:
    ledger = FakeLedger(**contents)
    return Adoption(cast(Ledger, ledger)), ledger


def test_quiet_worker_is_wanted_until_it_was_seen_at_work() -> None:
    adopts, _ = adoption()
    assert adopts.wants(pool(), finding())
    assert adopts.wants(pool(), finding()), "until a drain began"
    assert not adopts.wants(pool(), finding(AT_WORK))
    assert not adopts.wants(pool(), finding()), "the operator quieted it since"


@pytest.mark.parametrize(
    ("one", "contents"),
    [
        (finding(AT_WORK), {}),
        (finding(UNKNOWN), {}),
        (finding(None), {}),
        (finding(state=ProcessState.STOPPED), {}),
        (finding(), {"drains": {"jobs:one": drain(State.DRAINING)}}),
        (finding(), {"pauses": {"jobs": Pause(0.0, None)}}),
    ],
)
def test_no_other_worker_is_wanted(one: Finding, contents: dict[str, Any]) -> None:
    adopts, _ = adoption(**contents)
    assert not adopts.wants(pool(), one)


@pytest.mark.parametrize(
    ("one", "traits", "goes_on"),
    [
        (AT_WORK, SIDEKIQ_LIKE, False),
        (UNKNOWN, SIDEKIQ_LIKE, True),
        (None, SIDEKIQ_LIKE, True),
        (QUIET, SIDEKIQ_LIKE, True),
        (UNKNOWN, CUSTOM_LIKE, False),
        (UNKNOWN, PLAIN_LIKE, False),
    ],
)
def test_it_goes_on_until_each_worker_is_known(one: Any, traits: Traits, goes_on: bool) -> None:
    adopts, ledger = adoption()
    seen = finding(one)
    adopts.wants(pool(traits), seen)
    adopts.checked(survey(seen, traits=traits))
    assert ledger.contents.adopts is adopts.goes_on is goes_on


def test_worker_that_is_paused_is_not_known_yet() -> None:
    adopts, ledger = adoption(pauses={"jobs": Pause(0.0, None)})
    adopts.wants(pool(), finding())
    adopts.checked(survey(finding()))
    assert ledger.contents.adopts


def test_pool_that_could_not_be_looked_at_is_not_known_yet() -> None:
    adopts, ledger = adoption()
    adopts.checked(survey(failure=OSError("away")))
    went_on = [ledger.contents.adopts]
    for failure in (None, OSError("away")):  # What is over stays over.
        adopts.checked(survey(failure=failure))
        went_on.append(ledger.contents.adopts)
    assert went_on == [True, False, False]


@pytest.mark.parametrize(
    ("traits", "doubtful"),
    [(CUSTOM_LIKE, {"jobs:one": (100, 1_000_000), "jobs:two": (0, 0)}), (SIDEKIQ_LIKE, {}), (PLAIN_LIKE, {})],
)
def test_processes_that_may_be_quiet_are_written_down_where_no_reading_shows_it(
    traits: Traits, doubtful: dict[str, tuple[int, int]]
) -> None:
    adopts, ledger = adoption()
    stopped = finding(None, state=ProcessState.STOPPED, name="two")
    adopts.checked(survey(finding(UNKNOWN), stopped, traits=traits))
    assert ledger.contents.doubtful == doubtful


# --- a quiet that took effect after its drain had ended ---------------------------------------------


def late(one: Finding, **contents: Any) -> bool:
    """Whether this worker is wanted, if the quiet of its recorded process may take effect late."""
    adopts, ledger = adoption(**contents)
    ledger.contents = dataclasses.replace(
        ledger.contents, adopts=False, late_quiets={"jobs:one": (PID, START)}
    )
    return adopts.wants(pool(), one)


def test_worker_that_turns_quiet_after_its_drain_ended_is_wanted() -> None:
    assert late(finding())


@pytest.mark.parametrize(
    ("one", "contents"),
    [
        (finding(AT_WORK), {}),
        (finding(UNKNOWN), {}),
        (finding(None), {}),
        (finding(pid=PID + 1), {}),
        (finding(start=START + 1), {}),
        (finding(state=ProcessState.STOPPING), {}),
        (finding(), {"drains": {"jobs:one": drain(State.DRAINING)}}),
        (finding(), {"pauses": {"jobs": Pause(0.0, None)}}),
    ],
)
def test_late_quiet_is_no_reason_for_another_worker(one: Finding, contents: dict[str, Any]) -> None:
    assert not late(one, **contents)


@pytest.mark.parametrize(
    ("found", "is_kept"),
    [
        (survey(finding(AT_WORK)), True),
        (survey(finding(pid=PID + 1)), False),
        (survey(finding(state=ProcessState.STOPPED)), False),
        (survey(), False),
        (survey(failure=ValueError()), True),
    ],
)
def test_late_quiet_is_expected_until_its_process_has_ended(found: Survey, is_kept: bool) -> None:
    adopts, ledger = adoption()
    ledger.contents = Contents(late_quiets={"jobs:one": (PID, START)})
    adopts.checked(found)
    assert ledger.contents.late_quiets == ({"jobs:one": (PID, START)} if is_kept else {})
    assert not ledger.contents.adopts
