"""Which worker asks to be drained, and why another does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import (
    AGE_SPREAD,
    BACK_OFF_SECONDS,
    MAX_BACK_OFF_SECONDS,
    NOT_BEGUN_SECONDS,
    BackOff,
    BackOffCause,
    Hold,
    Sighting,
    Strikes,
    Terms,
    can_never_drain,
    is_below_baseline,
    is_in_service,
    judge,
    judge_all,
    next_back_off,
)
from supervisor_memkill.rules.requests import Pause
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
        (None, {"process": info(start=EPOCH + 7200), "age_seconds": 60.0}, {}),
        (Hold.MIN_UPTIME, {"process": info(start=EPOCH - 7200), "age_seconds": 59.0}, {}),
        (Hold.BACKS_OFF, {"back_off": BACKS_OFF}, {}),
        (None, {"back_off": BackOff(until=NOW, seconds=600.0, cause=BASELINE)}, {}),
        (Hold.UNSAFE_SETTINGS, {"refusals": ("stopsignal=TERM must be INT",)}, {}),
        (Hold.NOT_RECOGNISED, {"reading": reading(recognised=False)}, {}),
        (Hold.UNREADABLE, {"reading": reading(recognised=None)}, {}),
        (Hold.UNREADABLE, {"reading": None}, {}),
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
        (Hold.UNREADABLE, {"reading": reading(recognised=None)}),
    ],
)
def test_hard_limit_skips_strikes_and_protected_jobs_but_never_makes_a_restart_loop(
    hold: Hold | None, seen: dict[str, Any]
) -> None:
    settings = terms(strikes=3, protect_jobs=("Imp*",))
    verdict = judge(sighting(memory_bytes=401, **seen), settings, NOW)
    assert verdict.hold is hold
    assert verdict.hard


@pytest.mark.parametrize(("least", "hard"), [(400, False), (401, True), (None, True)])
def test_memory_that_may_be_counted_twice_asks_for_a_drain_and_is_hard_only_if_it_is_sure(
    least: int | None, hard: bool
) -> None:
    verdict = judge(sighting(memory_bytes=500, memory_least_bytes=least), terms(), NOW)
    assert verdict.asks
    assert verdict.hard is hard


@pytest.mark.parametrize(
    ("hold", "cause", "memory_bytes"),
    [
        (None, BackOffCause.AFTER_RESUME, None),
        (None, BackOffCause.NOT_BEGUN, None),
        (None, BASELINE, 359),
        (Hold.BACKS_OFF, BASELINE, 360),
        (Hold.BACKS_OFF, BASELINE, None),
    ],
)
def test_hard_limit_backs_off_only_where_a_new_process_may_be_above_it_at_once(
    hold: Hold | None, cause: BackOffCause, memory_bytes: int | None
) -> None:
    """Its drain needs no quiet and does not end by resume; and max_rss alone may be too low."""
    back_off = BackOff(NOW + 1, 600.0, cause, memory_bytes=memory_bytes)
    assert judge(sighting(memory_bytes=401, back_off=back_off), terms(), NOW).hold is hold
    assert judge(sighting(memory_bytes=400, back_off=back_off), terms(), NOW).hold is Hold.BACKS_OFF


def test_urgency_is_memory_over_limit() -> None:
    assert judge(sighting(memory_bytes=300), terms(), NOW).urgency == 1.5


def test_the_largest_worker_is_known_by_its_memory_alone() -> None:
    unmeasured = sighting(memory_bytes=None)
    assert judge(unmeasured, terms(), NOW, largest_for=Reason.MAX_TOTAL_RSS).hold is Hold.MEMORY_UNKNOWN


def test_machine_without_memory_waits_neither_for_min_uptime_nor_for_a_back_off() -> None:
    not_begun = BackOff(until=NOW + 1, seconds=600.0, cause=BackOffCause.NOT_BEGUN)
    young = sighting(process=info(start=EPOCH - 5), back_off=not_begun)
    assert judge(young, terms(), NOW, largest_for=Reason.MIN_FREE_NOW).asks
    assert not judge(young, terms(), NOW, largest_for=Reason.MIN_FREE).asks
    backs_off = dataclasses.replace(young, process=info())
    assert judge(backs_off, terms(), NOW, largest_for=Reason.MIN_FREE).hold is Hold.BACKS_OFF


@pytest.mark.parametrize(("until", "words"), [(NOW + 90, "1m30s left"), (None, "until it is ended")])
def test_paused_worker_is_held_and_the_words_name_the_end(until: float | None, words: str) -> None:
    verdict = judge(sighting(pause=Pause(NOW, until)), terms(), NOW)
    assert (verdict.hold, verdict.detail) == (Hold.PAUSED, words)


def test_memory_at_the_limit_is_not_over_it() -> None:
    assert not judge(sighting(memory_bytes=200), terms(), NOW).is_over
    assert not judge(sighting(memory_bytes=400), terms(), NOW).hard


def test_verdict_says_in_words_why_a_worker_is_held() -> None:
    verdict = judge(sighting(process=info(start=EPOCH - 30)), terms(), NOW)
    assert verdict.words == "over its limit, but up for less than min_uptime (30s of 1m00s)"


# --- other reasons ------------------------------------------------------------------------------

DAY = 86400.0
SMALL: dict[str, Any] = {"memory_bytes": 100}
OLD: dict[str, Any] = {**SMALL, "process": info(start=int(EPOCH - DAY))}
ASKED: dict[str, Any] = {**SMALL, "restart_requested": True}


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
    ("hold", "seen"),
    [
        (Hold.DRAIN_HOURS, {"memory_bytes": 300}),
        (Hold.DRAIN_HOURS, ASKED),
        (None, {"memory_bytes": 401}),
    ],
)
def test_outside_drain_hours_only_the_hard_limit_counts(hold: Hold | None, seen: dict[str, Any]) -> None:
    closed = terms(closed="drain_hours open on Mon at 22:00")
    verdict = judge(sighting(**seen), closed, NOW)
    assert verdict.hold is hold
    assert ("open on Mon at 22:00" in verdict.words) is (hold is not None)


@pytest.mark.parametrize(
    ("hold", "seen", "settings"),
    [
        (None, {"process": info(start=EPOCH - 1)}, {}),
        (None, {"back_off": BACKS_OFF}, {}),
        (Hold.BACKS_OFF, {"back_off": BackOff(NOW + 1, 600.0, BackOffCause.AFTER_RESUME)}, {}),
        (Hold.UNSAFE_SETTINGS, {"refusals": ("stopsignal=TERM must be INT",)}, {}),
        (Hold.UNREADABLE, {"reading": reading(recognised=None)}, {}),
        (Hold.PROTECTED_JOB, {"reading": reading(jobs=("Import",))}, {"protect_jobs": ("Imp*",)}),
    ],
)
def test_requested_restart_waits_only_for_what_keeps_jobs_safe(
    hold: Hold | None, seen: dict[str, Any], settings: dict[str, Any]
) -> None:
    verdict = judge(sighting(**ASKED, **seen), terms(**settings), NOW)
    assert (verdict.hold, verdict.reason) == (hold, Reason.RESTART)


def test_requested_restart_goes_ahead_while_the_limit_of_the_same_worker_backs_off() -> None:
    verdict = judge(sighting(restart_requested=True, back_off=BACKS_OFF), terms(), NOW)
    assert verdict.asks
    assert verdict.reason is Reason.RESTART


def total(*sightings: Sighting, limit: int = 250) -> list[tuple[Reason | None, bool]]:
    verdicts = judge_all(sightings, terms(max_total_bytes=limit), NOW)
    return [(verdict.reason, verdict.asks) for verdict in verdicts]


NOTHING = (None, False)
LARGEST = (Reason.MAX_TOTAL_RSS, True)


def test_only_the_largest_worker_asks_while_the_pool_is_over_its_total() -> None:
    assert total(sighting(memory_bytes=100), sighting(memory_bytes=150)) == [NOTHING, NOTHING]
    assert total(sighting(memory_bytes=100), sighting(memory_bytes=151)) == [NOTHING, LARGEST]
    unknown = sighting(memory_bytes=None)
    assert total(sighting(memory_bytes=151), sighting(memory_bytes=100), unknown) == [
        LARGEST,
        NOTHING,
        NOTHING,
    ]


def test_without_a_total_each_worker_is_judged_alone() -> None:
    slim, fat = judge_all([sighting(memory_bytes=100), sighting()], terms(), NOW)
    assert (slim.reason, fat.reason) == (None, Reason.MAX_RSS)


def test_next_largest_asks_while_the_largest_is_held() -> None:
    held = sighting(memory_bytes=180, reading=reading(recognised=None))
    assert total(sighting(memory_bytes=100), held) == [LARGEST, (Reason.MAX_TOTAL_RSS, False)]


def test_drain_under_way_comes_before_the_total() -> None:
    draining = sighting(memory_bytes=190, draining=State.DRAINING)
    assert total(sighting(memory_bytes=150), draining) == [NOTHING, NOTHING]


def test_worker_whose_drain_for_the_total_gained_nothing_lets_the_next_one_go() -> None:
    spent = BackOff(NOW + 1, 600.0, BackOffCause.NOTHING_GAINED)
    large = sighting(memory_bytes=190, back_off=spent)
    assert total(sighting(memory_bytes=100), large) == [LARGEST, (Reason.MAX_TOTAL_RSS, False)]
    assert judge(sighting(back_off=spent), terms(), NOW).asks, "its own limit counts all the same"


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


@pytest.mark.parametrize(
    ("start", "age_seconds", "expected"),
    [(EPOCH + 7200, 30.0, True), (EPOCH - 7200, 5.0, False), (EPOCH - 30, None, True)],
)
def test_peer_counts_by_the_age_of_its_process_after_the_clock_was_set(
    start: int, age_seconds: float | None, expected: bool
) -> None:
    peer = sighting(process=info(start=start), age_seconds=age_seconds)
    assert is_in_service(peer, settle_seconds=10.0) is expected


@pytest.mark.parametrize(
    ("workers", "min_available", "expected"),
    [(1, 1, True), (2, 1, False), (2, 2, True), (1, 0, False), (3, 2, False)],
)
def test_pool_with_fewer_workers_than_min_available_and_one_can_never_drain(
    workers: int, min_available: int, expected: bool
) -> None:
    assert can_never_drain(workers, min_available) is expected


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
