"""Which worker asks to be drained, and why another does not."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import (
    BACK_OFF_SECONDS,
    MAX_BACK_OFF_SECONDS,
    NOT_BEGUN_SECONDS,
    BackOff,
    BackOffCause,
    Hold,
    Sighting,
    Strikes,
    Terms,
    is_below_baseline,
    is_in_service,
    judge,
    next_back_off,
)
from tests.builders import EPOCH, PID, START, info, reading

NOW = 100.0


def terms(**values: Any) -> Terms:
    defaults: dict[str, Any] = {
        "limit_bytes": 200,
        "hard_limit_bytes": 400,
        "strikes": 1,
        "min_uptime_seconds": 60.0,
        "settle_seconds": 10.0,
    }
    return Terms(**{**defaults, **values})


def sighting(**values: Any) -> Sighting:
    """A worker over its limit that nothing holds, unless `values` differ."""
    defaults: dict[str, Any] = {"process": info(), "memory_bytes": 300, "reading": reading(), "strikes": 1}
    return Sighting(**{**defaults, **values})


BASELINE = BackOffCause.BELOW_BASELINE
BACKS_OFF = BackOff(until=NOW + 1, seconds=600.0, cause=BASELINE)


@pytest.mark.parametrize(
    ("hold", "seen", "settings"),
    [
        (None, {}, {}),
        (Hold.UNDER_LIMIT, {"memory_bytes": 200}, {}),
        (Hold.MEMORY_UNKNOWN, {"memory_bytes": None}, {}),
        (Hold.NO_LIMIT, {}, {"limit_bytes": None}),
        (Hold.NOT_RUNNING, {"process": info(ProcessState.STARTING)}, {}),
        (Hold.NOT_RUNNING, {"process": info(ProcessState.STOPPED)}, {}),
        (Hold.UNDER_WAY, {"draining": State.DRAINING}, {}),
        (Hold.STRIKES, {"strikes": 2}, {"strikes": 3}),
        (None, {"strikes": 3}, {"strikes": 3}),
        (Hold.MIN_UPTIME, {"process": info(start=EPOCH - 59)}, {}),
        (None, {"process": info(start=EPOCH - 60)}, {}),
        (Hold.BACKS_OFF, {"back_off": BACKS_OFF}, {}),
        (None, {"back_off": BackOff(until=NOW, seconds=600.0, cause=BASELINE)}, {}),
        (Hold.UNSAFE_SETTINGS, {"refusals": ("stopsignal=TERM must be INT",)}, {}),
        (Hold.NOT_RECOGNISED, {"reading": reading(recognised=False)}, {}),
        (Hold.NOT_RECOGNISED, {"reading": reading(recognised=None)}, {}),
        (Hold.NOT_RECOGNISED, {"reading": None}, {}),
        (Hold.NOT_NOW, {"reading": reading(hold="its scheduler ends too slowly")}, {}),
        (Hold.PROTECTED_JOB, {"reading": reading(jobs=("Import",))}, {"protect_jobs": ("Imp*",)}),
        (Hold.JOBS_UNKNOWN, {"reading": reading(jobs=None)}, {"protect_jobs": ("Imp*",)}),
        (None, {"reading": reading(jobs=("Mail",))}, {"protect_jobs": ("Imp*",)}),
    ],
)
def test_worker_asks_only_when_nothing_holds_it(
    hold: Hold | None, seen: dict[str, Any], settings: dict[str, Any]
) -> None:
    verdict = judge(sighting(**seen), terms(**settings), NOW)
    assert verdict.hold is hold
    assert verdict.asks is (hold is None)


@pytest.mark.parametrize(
    ("hold", "seen"),
    [
        (None, {"strikes": 1}),
        (None, {"reading": reading(jobs=("Import",))}),
        (Hold.MIN_UPTIME, {"process": info(start=EPOCH - 59)}),
        (Hold.BACKS_OFF, {"back_off": BACKS_OFF}),
        (Hold.UNSAFE_SETTINGS, {"refusals": ("stopsignal=TERM must be INT",)}),
        (Hold.NOT_RECOGNISED, {"reading": reading(recognised=None)}),
    ],
)
def test_hard_limit_skips_strikes_and_protected_jobs_but_never_makes_a_restart_loop(
    hold: Hold | None, seen: dict[str, Any]
) -> None:
    settings = terms(strikes=3, protect_jobs=("Imp*",))
    verdict = judge(sighting(memory_bytes=401, **seen), settings, NOW)
    assert verdict.hold is hold
    assert verdict.hard


def test_urgency_is_memory_over_limit() -> None:
    assert judge(sighting(memory_bytes=300), terms(), NOW).urgency == 1.5


def test_memory_at_the_limit_is_not_over_it() -> None:
    assert not judge(sighting(memory_bytes=200), terms(), NOW).is_over
    assert not judge(sighting(memory_bytes=400), terms(), NOW).hard


def test_verdict_says_in_words_why_a_worker_is_held() -> None:
    verdict = judge(sighting(process=info(start=EPOCH - 30)), terms(), NOW)
    assert verdict.words == "over its limit, but up for less than min_uptime (30s of 1m00s)"


@pytest.mark.parametrize(
    ("what", "seen", "expected"),
    [
        ("well", {}, True),
        ("not running", {"process": info(ProcessState.STARTING)}, False),
        ("just settled", {"process": info(start=EPOCH - 10)}, True),
        ("not settled", {"process": info(start=EPOCH - 9)}, False),
        ("draining", {"draining": State.QUIETING}, False),
        ("quiet", {"reading": reading(quiet=True)}, False),
        ("wanting", {"reading": reading(in_service=False)}, False),
        ("unknown", {"reading": reading(in_service=None, quiet=None)}, False),
        ("no reading", {"reading": None}, False),
        ("memory unknown", {"memory_bytes": None}, True),
    ],
)
def test_worker_counts_as_in_service_only_if_every_sign_agrees(
    what: str, seen: dict[str, Any], expected: bool
) -> None:
    assert is_in_service(sighting(**seen), settle_seconds=10.0) is expected, what


def test_strikes_count_checks_in_a_row_of_one_process() -> None:
    strikes = Strikes()
    worker = info()

    def count(memory: int | None, **fresh: Any) -> int:
        process = info(**fresh) if fresh else worker
        strikes.count(process, memory, 200)
        return strikes.of(process)

    assert [count(300), count(300)] == [1, 2]
    assert count(None) == 2, "unknown neither counts nor clears"
    assert count(200) == 0
    assert [count(300), count(300, pid=PID + 1)] == [1, 1], "a fresh process starts anew"
    assert count(300, pid=PID + 1, start=START + 1) == 1
    strikes.count(worker, 300, None)
    assert strikes.of(info(pid=PID + 1, start=START + 1)) == 1, "no limit, no strike"
    fresh = info(pid=PID + 1, start=START + 1)
    strikes.keep([fresh.worker, "jobs:other"])
    assert strikes.of(fresh) == 1
    strikes.keep(["jobs:other"])
    assert strikes.of(fresh) == 0


def test_back_off_grows_only_while_its_cause_is_the_same() -> None:
    short, long = NOT_BEGUN_SECONDS, BACK_OFF_SECONDS
    back_off = next_back_off(None, NOW, BackOffCause.NOT_BEGUN)
    assert (back_off.seconds, back_off.until, back_off.cause) == (short, NOW + short, BackOffCause.NOT_BEGUN)
    assert next_back_off(back_off, NOW, BackOffCause.NOT_BEGUN).seconds == 2 * short
    assert next_back_off(back_off, NOW, BackOffCause.AFTER_RESUME).seconds == long
    limited = next_back_off(None, NOW, BASELINE, limit_bytes=200)
    assert next_back_off(limited, NOW, BASELINE, limit_bytes=200).seconds == 2 * long
    assert next_back_off(limited, NOW, BASELINE, limit_bytes=201).seconds == long
    for _ in range(20):
        back_off = next_back_off(back_off, NOW, BackOffCause.NOT_BEGUN)
    assert back_off.seconds == long


def test_limit_below_the_baseline_backs_off_longer_each_time() -> None:
    assert is_below_baseline(180, 200)
    assert not is_below_baseline(179, 200)
    back_off = next_back_off(None, NOW, BASELINE)
    assert back_off == BackOff(NOW + BACK_OFF_SECONDS, BACK_OFF_SECONDS, BASELINE)
    assert next_back_off(back_off, NOW, BASELINE).seconds == 2 * BACK_OFF_SECONDS
    for _ in range(20):
        back_off = next_back_off(back_off, NOW, BASELINE)
    assert back_off.seconds == MAX_BACK_OFF_SECONDS
