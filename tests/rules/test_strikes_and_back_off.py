"""How often a worker must be found too large, and how long it waits after a drain that did not help."""

from __future__ import annotations

from typing import Any

from supervisor_memkill.rules.back_off import (
    BACK_OFF_SECONDS,
    MAX_BACK_OFF_SECONDS,
    NOT_BEGUN_SECONDS,
    BackOff,
    BackOffCause,
    is_below_baseline,
    next_back_off,
)
from supervisor_memkill.rules.policy import Strikes
from tests.builders import PID, START, info
from tests.rules.sightings import BASELINE, NOW


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


def test_back_off_grows_while_drains_for_the_limit_and_for_the_machine_free_nothing_in_turn() -> None:
    below = next_back_off(None, NOW, BASELINE, limit_bytes=200, memory_bytes=190)
    nothing = next_back_off(below, NOW, BackOffCause.NOTHING_GAINED, memory_bytes=190)
    assert (nothing.seconds, nothing.limit_bytes) == (2 * BACK_OFF_SECONDS, 0)
    assert next_back_off(nothing, NOW, BASELINE, limit_bytes=200).seconds == 4 * BACK_OFF_SECONDS
    for other in (BackOffCause.AFTER_RESUME, BackOffCause.NOT_BEGUN):
        between = next_back_off(nothing, NOW, other)
        assert between.seconds == next_back_off(None, NOW, other).seconds
        assert next_back_off(between, NOW, BASELINE, limit_bytes=200).seconds == BACK_OFF_SECONDS
