"""Which worker asks to be drained because all workers of its pool together are too large."""

from __future__ import annotations

from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import Hold, Sighting, judge, judge_all
from tests.builders import reading
from tests.rules.sightings import NOW, sighting, terms


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


def test_the_largest_worker_is_known_by_its_memory_alone() -> None:
    unmeasured = sighting(memory_bytes=None)
    assert judge(unmeasured, terms(), NOW, largest_for=Reason.MAX_TOTAL_RSS).hold is Hold.MEMORY_UNKNOWN
