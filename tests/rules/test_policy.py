"""Which worker asks to be drained, and what holds it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import Hold, judge
from supervisor_memkill.rules.requests import Pause
from tests.builders import EPOCH, info, reading
from tests.rules.sightings import ASKED, BACKS_OFF, BASELINE, NOW, sighting, terms


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


def test_machine_without_memory_waits_neither_for_min_uptime_nor_for_a_back_off() -> None:
    not_begun = BackOff(until=NOW + 1, seconds=600.0, cause=BackOffCause.NOT_BEGUN)
    young = sighting(process=info(start=EPOCH - 5), back_off=not_begun)
    assert judge(young, terms(), NOW, largest_for=Reason.MIN_FREE_NOW).asks
    assert not judge(young, terms(), NOW, largest_for=Reason.MIN_FREE).asks
    backs_off = dataclasses.replace(young, process=info())
    assert judge(backs_off, terms(), NOW, largest_for=Reason.MIN_FREE).hold is Hold.BACKS_OFF


@pytest.mark.parametrize("reason", [Reason.MIN_FREE, Reason.MIN_FREE_NOW])
@pytest.mark.parametrize(
    ("after", "now", "is_held"), [(90, 100, True), (90, 101, False), (None, 101, True), (90, 60, True)]
)
def test_worker_that_gave_the_machine_nothing_is_taken_again_only_if_it_has_grown(
    reason: Reason, after: int | None, now: int, is_held: bool
) -> None:
    """`after`: what its new process used; `now`: what it uses now."""
    spent = BackOff(NOW + 1, 600.0, BackOffCause.NOTHING_GAINED, memory_bytes=after)
    verdict = judge(sighting(memory_bytes=now, back_off=spent), terms(), NOW, largest_for=reason)
    assert verdict.hold is (Hold.BACKS_OFF if is_held else None)
    over = dataclasses.replace(spent, until=NOW)
    assert judge(sighting(memory_bytes=now, back_off=over), terms(), NOW, largest_for=reason).asks


def test_worker_that_gave_the_machine_nothing_is_held_while_its_memory_is_unknown() -> None:
    spent = BackOff(NOW + 1, 600.0, BackOffCause.NOTHING_GAINED, memory_bytes=90)
    unknown = sighting(memory_bytes=None, back_off=spent)
    assert judge(unknown, terms(), NOW, largest_for=Reason.MIN_FREE_NOW).hold is Hold.BACKS_OFF


def test_worker_that_gave_the_machine_nothing_is_drained_for_its_own_reasons() -> None:
    spent = BackOff(NOW + 1, 600.0, BackOffCause.NOTHING_GAINED, memory_bytes=300)
    assert judge(sighting(back_off=spent), terms(), NOW).reason is Reason.MAX_RSS
    assert judge(sighting(back_off=spent), terms(), NOW).asks
    assert judge(sighting(memory_bytes=401, back_off=spent), terms(), NOW).hard
    assert judge(sighting(memory_bytes=100, restart_requested=True, back_off=spent), terms(), NOW).asks
    grown = dataclasses.replace(spent, memory_bytes=100)
    for one in (spent, grown):
        seen = sighting(memory_bytes=150, back_off=one)
        assert judge(seen, terms(), NOW, largest_for=Reason.MAX_TOTAL_RSS).hold is Hold.BACKS_OFF


@pytest.mark.parametrize("reason", [Reason.MIN_FREE, Reason.MIN_FREE_NOW, Reason.MAX_TOTAL_RSS])
@pytest.mark.parametrize(
    ("after", "now", "is_held"), [(180, 200, True), (180, 201, False), (None, 190, True), (180, 60, True)]
)
def test_worker_with_a_limit_below_its_baseline_is_taken_as_the_largest_only_if_it_has_grown(
    reason: Reason, after: int | None, now: int, is_held: bool
) -> None:
    """`after`: what its new process used; `now`: what it uses now."""
    below = BackOff(NOW + 1, 600.0, BackOffCause.BELOW_BASELINE, 200, after)
    verdict = judge(sighting(memory_bytes=now, back_off=below), terms(), NOW, largest_for=reason)
    assert (verdict.hold, verdict.reason) == ((Hold.BACKS_OFF, reason) if is_held else (None, reason))
    raised = terms(limit_bytes=300)
    assert judge(sighting(memory_bytes=now, back_off=below), raised, NOW, largest_for=reason).asks


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
