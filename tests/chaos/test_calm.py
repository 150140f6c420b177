"""In the calm each part is judged by itself, and can fail."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.chaos.calm import CalmJudge
from tests.chaos.judges import Owed
from tests.chaos.plan import WORKERS
from tests.chaos.seen import Phase, Sample, Worker
from tests.chaos.terms import COMING_SECONDS, HELD_BACK_SECONDS, gone_seconds, wait_seconds

ONE = "a/rq_0"
WAITS = wait_seconds(held_back=False)


def sample(at: float, one: Phase = Phase.IN) -> Sample:
    """All serve but one."""
    workers = {name: Worker(one if name == ONE else Phase.IN, 7, 50) for name in WORKERS}
    return Sample(at, workers, {})


def late(
    phases: Sequence[tuple[float, Phase]], too_big: Sequence[str] = (), held_back: Sequence[str] = ()
) -> list[str]:
    """The promises that are late at the last of these looks, and at none before."""
    judge = CalmJudge()
    found: list[Owed] = []
    for at, phase in phases:
        assert not found, "late before the last look"
        found = judge.look(sample(at, phase), too_big, held_back)
    return [one.promise for one in found]


GONE = gone_seconds(ONE)


@pytest.mark.parametrize("phase", [Phase.QUIET, Phase.STOPPING, Phase.STOPPED])
def test_who_is_gone_for_too_long_breaks_l2(phase: Phase) -> None:
    assert late([(0, Phase.QUIET), (GONE - 0.1, phase)]) == []
    assert late([(0, Phase.QUIET), (GONE + 0.1, phase)]) == ["L2"]


def test_who_comes_back_has_the_time_of_a_slow_machine() -> None:
    come = [(0.0, Phase.STARTING), (5.0, Phase.BOOTING), (COMING_SECONDS - 0.1, Phase.BOOTING)]
    assert late(come) == []
    assert late([*come, (COMING_SECONDS + 0.1, Phase.BOOTING)]) == ["L2"]


def test_who_goes_anew_has_its_time_anew() -> None:
    assert late([(0, Phase.QUIET), (GONE - 1, Phase.BOOTING), (GONE + 1, Phase.QUIET)]) == []
    assert late([(0, Phase.QUIET), (GONE - 1, Phase.IN), (GONE + 1, Phase.QUIET)]) == []


def test_a_pool_that_begins_nothing_breaks_l1() -> None:
    assert late([(0, Phase.IN), (WAITS - 0.1, Phase.IN)], too_big=[ONE]) == []
    assert late([(0, Phase.IN), (WAITS + 0.1, Phase.IN)], too_big=[ONE]) == ["L1"]
    assert late([(0, Phase.IN), (WAITS + 0.1, Phase.IN)]) == [], "nothing is to be begun"


def test_a_pool_in_which_one_is_out_begins_nothing_meanwhile() -> None:
    looks = [(0.0, Phase.IN), (WAITS - 1, Phase.BOOTING), (WAITS + 1, Phase.IN)]
    assert late(looks, too_big=["b/rq_1"]) == []


def test_a_pool_that_is_held_back_may_wait_longer_and_not_for_ever() -> None:
    looks = [(0.0, Phase.IN), (WAITS + HELD_BACK_SECONDS - 1, Phase.IN)]
    assert late(looks, too_big=[ONE], held_back=["rq"]) == []
    assert late(looks, too_big=[ONE], held_back=["sidekiq"]) == ["L1"]
    assert late([*looks, (WAITS + HELD_BACK_SECONDS + 1, Phase.IN)], [ONE], ["rq"]) == ["L1"]


def test_a_sidekiq_has_two_beats_more() -> None:
    assert gone_seconds("b/sidekiq_0") > gone_seconds("a/sidekiq_0") > GONE
