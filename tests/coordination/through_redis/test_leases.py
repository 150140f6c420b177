"""A slot is a lease: it is renewed, expires, and belongs to its token."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_memkill.coordination.contract import Cause, SlotClaim
from tests.builders import report
from tests.coordination.servers import (
    HEARTBEAT,
    POOL,
    TTL,
    Fleet,
    Host,
    ask,
    contents,
    over,
    stored,
)

pytestmark = pytest.mark.real


def test_slot_that_is_not_renewed_expires(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """A dead host blocks the pool no longer than slot_ttl."""
    one, two = pair
    assert one.ask("a").granted
    fleet.passes(TTL - HEARTBEAT, two)
    assert two.ask("c").refused is Cause.SLOTS_TAKEN
    fleet.passes(HEARTBEAT, two)
    assert two.coordinator.view(POOL).holders == ()
    assert two.ask("c").granted


def test_heartbeats_keep_the_slot(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.ask("a")
    fleet.passes(5 * TTL, one, two)
    assert two.ask("c").refused is Cause.SLOTS_TAKEN
    assert one.beat().held == {one.drains["a"].token}


def test_asking_again_renews_the_slot(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """A listener that got no reply asks again, and counts the slot's age from that request on."""
    one, two = pair
    one.ask("a")
    fleet.passes(TTL - HEARTBEAT, two)
    assert one.ask("a").granted
    fleet.passes(TTL - HEARTBEAT, two)
    assert two.ask("c").refused is Cause.SLOTS_TAKEN


def test_slot_that_is_asked_for_again_lasts_from_then_on(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """Its holder counts the slot's age from its last request."""
    one, two = pair
    one.ask("a")
    since = fleet.clock.now
    fleet.passes(TTL - HEARTBEAT, two)
    assert one.ask("a").granted
    slot = json.loads(stored(fleet.redis)[f"s:{one('a')}"])
    assert (slot["since"], slot["expires"]) == (since * 1000, (fleet.clock.now + TTL) * 1000)


def test_another_token_renews_nothing(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.ask("a")
    one.drains["a"] = SlotClaim("a", "another", is_out=False)
    fleet.passes(TTL, one, two)
    assert one.beat().held == frozenset()
    assert two.ask("c", urgency=9.0).granted


def test_late_renewal_revives_no_slot(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """It had begun nothing yet: it must ask again, and the one that got the slot meanwhile keeps it."""
    one, two = pair
    one.ask("a")
    one.drains["a"] = SlotClaim("a", one.drains["a"].token, is_out=False)
    fleet.passes(TTL, two)
    assert two.ask("c").granted
    assert one.beat().held == frozenset()
    assert one.ask("a").refused is Cause.SLOTS_TAKEN
    assert two.beat().held == {two.drains["c"].token}


def test_drain_under_way_that_lost_its_slot_takes_a_new_one(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """Its worker is out of service already, and only finishing brings it back."""
    one, two = pair
    one.ask("a")
    fleet.passes(TTL, two)
    assert two.ask("c").granted
    assert one.beat().held == {one.drains["a"].token}
    view = one.coordinator.view(POOL)
    assert view.holders == (one("a"), two("c"))
    assert [(slot.worker, slot.held_seconds, slot.left_seconds) for slot in view.slots] == [
        (one("a"), 0.0, TTL),
        (two("c"), 0.0, TTL),
    ]
    since = json.loads(stored(fleet.redis)[f"s:{one('a')}"])["since"]
    assert since == fleet.clock.now * 1000, "it is a new slot"


def test_the_last_slot_is_free_again_only_when_both_gave_theirs_back(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    test_drain_under_way_that_lost_its_slot_takes_a_new_one(fleet, pair)
    one, two = pair
    one.release("a")
    assert one.ask("b").refused is Cause.SLOTS_TAKEN
    two.release("c")
    assert one.ask("b", urgency=9.0).granted


def test_only_the_own_token_gives_a_slot_back(pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.ask("a")
    two.coordinator.release(POOL, "a", one.drains["a"].token, drained=True)  # another worker: two/s/a
    one.coordinator.release(POOL, "a", "another", drained=True)
    assert two.coordinator.view(POOL).holders == (one("a"),)


def test_slot_of_another_drain_of_the_same_worker_is_not_the_own(pair: tuple[Host, Host]) -> None:
    """Redis was away when it was to be given back: it is waited for until it expires."""
    one, _ = pair
    one.ask("a")
    one.drains.clear()
    refused = one.ask("a", token="a later drain")
    assert (refused.refused, refused.detail) == (Cause.SLOTS_TAKEN, one("a"))


OPERATIONS: dict[str, Callable[[Host], Any]] = {
    "publish": lambda host: host.beat().held,
    "acquire": lambda host: host.coordinator.acquire(POOL, host.rules, ask("a", 2.5, "drain-1")),
    "acquire when out": lambda host: host.coordinator.acquire(
        POOL, host.rules, ask("c", 1.5, "drain-2", already_out=True)
    ),
    "acquire in vain": lambda host: host.coordinator.acquire(POOL, host.rules, ask("b", 1.1, "drain-3")),
    "take anew": lambda host: host.coordinator.publish(
        POOL, host.rules, host.reports, [SlotClaim("a", "drain-1")]
    ),
    "release": lambda host: host.coordinator.release(POOL, "a", "drain-1", drained=True),
    "release another": lambda host: host.coordinator.release(POOL, "b", "nobody's", drained=True),
}


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(1, 3)), max_size=10))
def test_every_call_may_be_repeated(client: redis.Redis, steps: list[tuple[str, int]]) -> None:
    """Two pools of like history, the calls of one sent once, of the other one to three times."""
    endings = []
    for repeats in (False, True):
        client.flushall()
        fleet = Fleet(client)
        one = fleet.host("one", over("a", 2.5), over("b", 1.1), report("c", in_service=False), report("d"))
        fleet.settled(one)
        told = []
        for name, times in steps:
            answers = [OPERATIONS[name](one) for _ in range(times if repeats else 1)]
            assert all(answer == answers[0] for answer in answers)
            told.append(replace(answers[0], epoch="") if name == "take anew" else answers[0])
            fleet.clock.now += 1
        endings.append((told, contents(client)))
    assert endings[0] == endings[1]
