"""What a verdict says to a person, and how long a back-off and a pause hold a worker."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.policy import Hold, Sighting, Terms, Verdict, judge
from supervisor_memkill.rules.requests import Pause
from tests.builders import info, reading

NOW = 100.0
BASELINE = BackOffCause.BELOW_BASELINE


def verdict(hard_limit_bytes: int | None = 400, **values: Any) -> Verdict:
    """That of a worker over its limit of 200 bytes, which nothing holds unless `values` differ."""
    terms = Terms(200, hard_limit_bytes, strikes=1, min_uptime_seconds=60.0, settle_seconds=10.0)
    defaults: dict[str, Any] = {"process": info(), "memory_bytes": 300, "reading": reading(), "strikes": 1}
    return judge(Sighting(**{**defaults, **values}), terms, NOW)


def test_only_what_does_not_end_by_itself_needs_a_person() -> None:
    assert [hold for hold in Hold if hold.needs_a_person] == [
        Hold.MEMORY_UNKNOWN,
        Hold.UNSAFE_SETTINGS,
        Hold.NOT_RECOGNISED,
    ]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("over its limit", {}),
        ("under its limit", {"memory_bytes": 100}),
        ("memory unknown (no rights)", {"memory_bytes": None, "memory_why": "no rights"}),
        (
            "over its limit, but its kind does not allow a drain now (a fork)",
            {"reading": reading(hold="a fork")},
        ),
        ("over its limit, but its kind cannot tell what it is or does now", {"reading": None}),
        (
            "over its limit, but its kind cannot tell what it is or does now (no answer)",
            {"reading": reading(recognised=None, why="no answer")},
        ),
        ("a person requested a restart", {"memory_bytes": 100, "restart_requested": True}),
    ],
)
def test_words_name_the_reason_the_hold_and_its_detail_and_nothing_that_is_missing(
    words: str, values: dict[str, Any]
) -> None:
    assert verdict(**values).words == words


def test_worker_without_a_reason_is_not_hard() -> None:
    assert not verdict(memory_bytes=100).hard


def test_without_a_hard_limit_no_worker_is_over_it() -> None:
    assert verdict(hard_limit_bytes=None, memory_bytes=10**12).reason is Reason.MAX_RSS


@pytest.mark.parametrize(("except_hard", "hold"), [(False, Hold.PAUSED), (True, None)])
def test_pause_except_hard_holds_every_worker_but_one_over_its_hard_limit(
    except_hard: bool, hold: Hold | None
) -> None:
    pause = Pause(NOW, None, except_hard)
    assert verdict(memory_bytes=401, pause=pause).hold is hold
    assert verdict(memory_bytes=400, pause=pause).hold is Hold.PAUSED


@pytest.mark.parametrize(("limit_bytes", "hold"), [(200, Hold.BACKS_OFF), (0, Hold.BACKS_OFF), (199, None)])
def test_back_off_of_a_limit_ends_with_that_limit(limit_bytes: int, hold: Hold | None) -> None:
    assert verdict(back_off=BackOff(NOW + 1, 600.0, BASELINE, limit_bytes)).hold is hold


def test_back_off_holds_a_hard_drain_while_the_hard_limit_is_unknown() -> None:
    """The new process may be above it at once."""
    back_off = BackOff(NOW + 1, 600.0, BASELINE, memory_bytes=300)
    assert back_off.applies(Reason.HARD_MAX_RSS, 200, NOW, None)
    assert not back_off.applies(Reason.HARD_MAX_RSS, 200, NOW, 400)
