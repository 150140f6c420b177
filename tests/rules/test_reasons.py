"""For which reason a worker asks to be drained, and how urgent the reason is."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.policy import AGE_SPREAD, judge
from tests.builders import EPOCH, info
from tests.rules.sightings import ASKED, NOW, SMALL, sighting, terms

DAY = 86400.0
OLD: dict[str, Any] = {**SMALL, "process": info(start=int(EPOCH - DAY))}


@pytest.mark.parametrize(
    ("reason", "seen", "settings"),
    [
        (None, SMALL, {}),
        (None, SMALL, {"max_age_seconds": DAY}),
        (Reason.MAX_AGE, OLD, {"max_age_seconds": DAY}),
        (Reason.RESTART, ASKED, {}),
        (Reason.RESTART, {**ASKED, **OLD, "restart_requested": True}, {"max_age_seconds": DAY}),
        (Reason.RESTART, {**ASKED, "memory_bytes": None}, {}),
        (Reason.RESTART, ASKED, {"limit_bytes": None}),
        (Reason.MAX_RSS, {**ASKED, "memory_bytes": 201}, {}),
        (Reason.HARD_MAX_RSS, {**ASKED, "memory_bytes": 401}, {}),
    ],
)
def test_most_urgent_reason_counts(
    reason: Reason | None, seen: dict[str, Any], settings: dict[str, Any]
) -> None:
    verdict = judge(sighting(**seen), terms(**settings), NOW)
    assert verdict.reason is reason
    assert verdict.asks is (reason is not None)


def test_order_of_the_reasons_is_memory_then_the_total_then_requests_then_age() -> None:
    def urgency(seen: dict[str, Any], **settings: Any) -> float:
        largest_for = settings.pop("largest_for", None)
        return judge(sighting(**seen), terms(**settings), NOW, largest_for=largest_for).urgency

    urgencies = [
        urgency({"memory_bytes": 201}),
        urgency(SMALL, largest_for=Reason.MIN_FREE_NOW),
        urgency(SMALL, largest_for=Reason.MIN_FREE),
        urgency(SMALL, largest_for=Reason.MAX_TOTAL_RSS),
        urgency(ASKED),
        urgency(OLD, max_age_seconds=DAY),
    ]
    assert urgencies == sorted(urgencies, reverse=True)
    assert urgencies[0] > 1 > urgencies[1]
    assert len(set(urgencies)) == 6


def test_workers_that_began_together_reach_max_age_at_different_times_and_never_later() -> None:
    begun = int(EPOCH - DAY)
    names = [f"w{number}" for number in range(50)]

    def ages(seconds_before: float) -> int:
        processes = [info(name=name, start=int(begun + seconds_before)) for name in names]
        verdicts = [
            judge(sighting(**SMALL | {"process": one}), terms(max_age_seconds=DAY), NOW) for one in processes
        ]
        return sum(verdict.reason is Reason.MAX_AGE for verdict in verdicts)

    assert ages(-1.0) == len(names)
    assert ages(DAY * AGE_SPREAD + 1.0) == 0
    assert 10 < ages(DAY * AGE_SPREAD / 2) < 40


@pytest.mark.parametrize(
    ("start", "age_seconds", "expected"),
    [
        (EPOCH - 10**6, 30.0, None),
        (EPOCH + 7200, 3601.0, Reason.MAX_AGE),
        (EPOCH - 3601, None, Reason.MAX_AGE),
    ],
)
def test_age_is_that_of_the_process_after_the_clock_was_set(
    start: int, age_seconds: float | None, expected: Reason | None
) -> None:
    """A clock that was set forward must not replace a whole pool."""
    seen = sighting(process=info(start=start), memory_bytes=100, age_seconds=age_seconds)
    assert judge(seen, terms(max_age_seconds=3600.0), NOW).reason is expected


def test_urgency_is_memory_over_limit() -> None:
    assert judge(sighting(memory_bytes=300), terms(), NOW).urgency == 1.5
