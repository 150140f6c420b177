"""A drain in QUIETING: when the quiet counts as confirmed, and when it is sent again."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.rules.drain import (
    Action,
)
from supervisor_memkill.workers.contract import Traits
from tests.builders import (
    CUSTOM_LIKE,
    FULL,
    answer,
    reading,
)
from tests.rules.steps import (
    A,
    P,
    S,
    outcome,
    quieting,
    seen,
    step,
    stopping,
)


def test_quiet_counts_only_when_a_reading_confirms_it() -> None:
    assert outcome(step(quieting(), seen(reading=reading(quiet=None)))) == (S.QUIETING, None)
    assert outcome(step(quieting(), seen(reading=reading(quiet=False)))) == (S.QUIETING, None)
    taken = step(quieting(), seen(reading=reading(quiet=True)))
    assert outcome(taken) == (S.DRAINING, None)
    assert taken.drain.is_quiet


def test_idle_does_not_count_before_the_quiet_is_confirmed() -> None:
    assert outcome(step(quieting(), seen(reading=reading(busy=0, idle=True)))) == (S.QUIETING, None)


@pytest.mark.parametrize(
    ("what", "now", "observed", "expected"),
    [
        ("too early", 119.0, reading(), None),
        ("in time", 120.0, reading(), A.QUIET),
        ("unknown", 120.0, reading(quiet=None), None),
        ("not recognised", 120.0, reading(recognised=False), None),
        ("no reading", 120.0, None, None),
    ],
)
def test_quiet_is_sent_again_only_to_a_worker_that_is_known_to_take_jobs(
    what: str, now: float, observed: Any, expected: Action | None
) -> None:
    taken = step(quieting(), seen(reading=observed, asked=True, answer=answer()), now=now)
    assert outcome(taken) == (S.QUIETING, expected), what


def test_quiet_is_sent_again_only_while_peers_suffice() -> None:
    assert step(quieting(), seen(reading=reading()), now=200.0).wants_answer
    together = seen(reading=reading(), asked=True, answer=answer())
    assert outcome(step(quieting(), together, now=200.0)) == (S.QUIETING, A.QUIET)
    assert outcome(step(quieting(quiet_sent_at=None), together, now=200.0)) == (S.QUIETING, A.QUIET)


@pytest.mark.parametrize("given", [answer(others=0), answer(Cause.SLOTS_TAKEN), FULL])
@pytest.mark.parametrize("now", [200.0, 9999.0])
def test_worker_in_service_that_may_not_drain_any_more_releases_its_slot(given: Answer, now: float) -> None:
    """It is in service, and another worker may need the slot."""
    refused = seen(reading=reading(), asked=True, answer=given)
    assert outcome(step(quieting(), refused, now=now)) == (S.LET_GO, None)
    unknown = seen(reading=reading(quiet=None), asked=True, answer=given)
    assert outcome(step(quieting(), unknown, now=now)) == (S.QUIETING, None)
    too_early = seen(reading=reading(), asked=True, answer=given)
    assert outcome(step(quieting(quiet_sent_at=now - 1), too_early, now=now)) == (S.QUIETING, None)


def test_no_action_is_repeated_while_coordination_does_not_answer() -> None:
    silent = seen(reading=reading(), asked=True)
    assert outcome(step(quieting(), silent, now=200.0)) == (S.QUIETING, None)
    assert outcome(step(quieting(), silent, now=9999.0)) == (S.QUIETING, None)
    record = stopping(is_quiet=False, quiet_attempts=0)
    assert outcome(step(record, seen(P.RUNNING, asked=True))) == (S.STOPPING, None)


def test_quiet_that_cannot_be_confirmed_is_not_repeated() -> None:
    taken = step(quieting(), seen(reading=reading(quiet=None)), now=2000.0, traits=CUSTOM_LIKE)
    assert outcome(taken) == (S.DRAINING, None)


def test_quiet_of_a_kind_that_must_not_repeat_it_is_not_repeated() -> None:
    careful = Traits(quiets=True, confirms_quiet=True)
    taken = step(quieting(), seen(reading=reading(), asked=True, answer=answer()), now=999.0, traits=careful)
    assert outcome(taken) == (S.QUIETING, None)


def test_process_that_our_quiet_suspended_is_continued() -> None:
    taken = step(quieting(), seen(reading=reading(recognised=False, quiet=None, frozen=True)))
    assert outcome(taken) == (S.QUIETING, A.THAW)


def test_worker_over_the_hard_limit_is_stopped_before_its_quiet_is_confirmed() -> None:
    observed = seen(reading=reading(), memory_bytes=401, asked=True, answer=answer())
    assert outcome(step(quieting(), observed, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)
    alone = seen(reading=reading(), memory_bytes=401, asked=True, answer=answer(others=0))
    assert outcome(step(quieting(), alone, hard_limit_bytes=400)) == (S.QUIETING, None)
    beside_another = seen(reading=reading(), memory_bytes=401, asked=True, answer=FULL)
    assert outcome(step(quieting(), beside_another, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)


def test_deadline_of_an_unconfirmed_quiet_stops_the_worker_only_while_peers_suffice() -> None:
    taken = step(quieting(), seen(reading=reading()), now=9999.0)
    assert taken.wants_answer
    together = seen(reading=reading(), asked=True, answer=answer())
    assert outcome(step(quieting(), together, now=9999.0)) == (S.STOPPING, A.STOP)
    unconfirmed = seen(reading=reading(quiet=None), asked=True, answer=FULL)
    assert outcome(step(quieting(), unconfirmed, now=9999.0)) == (S.QUIETING, None)
