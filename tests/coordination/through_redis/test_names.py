"""One name has one listener."""

from __future__ import annotations

import pytest

from supervisor_memkill.coordination.contract import Cause, SlotClaim
from tests.builders import report
from tests.coordination.servers import (
    FRESH,
    POOL,
    Fleet,
    Host,
    over,
    rules,
    stored,
)

pytestmark = pytest.mark.real


@pytest.fixture
def twins(fleet: Fleet) -> tuple[Host, Host]:
    """A listener with a slot, and a newcomer of the same name with other workers."""
    first = fleet.host("one", over("a"), report("b"), report("c"))
    fleet.settled(first)
    assert first.ask("a").granted
    return first, fleet.host("one", over("x", 9.0), instance="another", rule=rules(0, 9))


def test_newcomer_of_a_taken_name_changes_nothing(fleet: Fleet, twins: tuple[Host, Host]) -> None:
    _, newcomer = twins
    before = stored(fleet.redis)
    fleet.clock.now += 1
    newcomer.drains["a"] = SlotClaim("a", "the newcomer's")
    published = newcomer.beat()
    assert (published.name_is_taken, published.held) == (True, frozenset())
    newcomer.drains.clear()
    newcomer.ask("x")
    assert stored(fleet.redis) == before
    newcomer.coordinator.release(POOL, "a", "the newcomer's", drained=True)
    assert newcomer.coordinator.view(POOL).holders == (newcomer("a"),)


@pytest.mark.parametrize("words", [{}, {"hard": True}, {"already_out": True}])
def test_newcomer_of_a_taken_name_is_granted_nothing(
    twins: tuple[Host, Host], words: dict[str, bool]
) -> None:
    _, newcomer = twins
    assert newcomer.ask("x", **words).refused is Cause.NAME_TAKEN


def test_newcomer_takes_over_once_the_first_is_silent(fleet: Fleet, twins: tuple[Host, Host]) -> None:
    first, newcomer = twins
    fleet.passes(FRESH - 1, newcomer)
    assert newcomer.beat().name_is_taken
    fleet.passes(1, newcomer)
    assert not newcomer.beat().name_is_taken
    assert [one.worker for one in newcomer.coordinator.view(POOL).reports] == [newcomer("x")]
    assert first.beat().name_is_taken
    assert first.ask("b").refused is Cause.NAME_TAKEN


def test_restarted_listener_is_no_newcomer(fleet: Fleet, twins: tuple[Host, Host]) -> None:
    """The journal keeps its instance and its tokens."""
    first, _ = twins
    again = fleet.host("one", *first.reports)
    again.drains = first.drains
    published = again.beat()
    assert not published.name_is_taken
    assert published.held == {first.drains["a"].token}
    assert again.ask("a").granted
    again.release("a")
    assert again.coordinator.view(POOL).holders == ()
