"""The first use of a pool: who can know that no slot was lost, and how long the first slot has to wait."""

from __future__ import annotations

import json

import pytest

from supervisor_memkill.coordination.contract import Cause, ListenerRules
from tests.builders import report
from tests.coordination.servers import (
    FRESH,
    HEARTBEAT,
    POOL,
    TTL,
    Fleet,
    Host,
    ask,
    key,
    over,
    rules,
    stored,
)

pytestmark = pytest.mark.real


def newcomer(fleet: Fleet, name: str = "new", worker: str = "x") -> Host:
    """A listener that never ran before, with a worker that asks and is the most urgent, and two others."""
    return fleet.host(name, over(worker, 9.0), report(f"{worker}1"), report(f"{worker}2"))


def test_first_slot_of_a_new_pool_waits_until_every_live_listener_has_reported(fleet: Fleet) -> None:
    one = newcomer(fleet)
    one.beat()
    refused = one.ask("x")
    assert (refused.refused, refused.detail) == (Cause.NEW_POOL, f"{FRESH:.0f}s left")
    assert one.ask("x", hard=True).refused is Cause.NEW_POOL
    view = one.coordinator.view(POOL)
    assert (view.settling_seconds, view.settling_cause, view.is_new) == (FRESH, Cause.NEW_POOL, False)
    fleet.passes(FRESH - 1, one)
    assert one.ask("x").refused is Cause.NEW_POOL
    fleet.passes(1, one)
    assert one.ask("x").granted


def test_wait_of_a_new_pool_is_never_longer_than_the_wait_after_a_loss(fleet: Fleet) -> None:
    one = fleet.host("one", over("a"), report("b"), settle_seconds=5)
    one.beat()
    fleet.passes(5, one)
    assert one.ask("a").granted


def test_view_of_a_pool_without_data_is_new(fleet: Fleet) -> None:
    assert fleet.host("one").coordinator.view(POOL).is_new


def test_two_new_listeners_share_one_wait_and_the_rules(fleet: Fleet) -> None:
    one, two = newcomer(fleet, "one", "a"), newcomer(fleet, "two", "b")
    one.beat()
    fleet.passes(HEARTBEAT)
    two.beat()
    fleet.passes(FRESH - HEARTBEAT, one, two)
    assert two.ask("b").refused is Cause.MORE_URGENT
    assert one.ask("a").granted
    assert two.ask("b").refused is Cause.SLOTS_TAKEN


@pytest.mark.parametrize("epochs", [{POOL: ""}, {POOL: "an epoch that is gone"}])
def test_listener_that_saw_the_pool_in_an_earlier_life_begins_the_whole_wait(
    fleet: Fleet, epochs: dict[str, str]
) -> None:
    one = fleet.host("one", over("a"), report("b"), epochs=epochs)
    one.beat()
    assert one.ask("a").refused is Cause.DATA_LOST
    fleet.passes(TTL - 1, one)
    assert one.ask("a").refused is Cause.DATA_LOST
    fleet.passes(1, one)
    assert one.ask("a").granted


@pytest.mark.parametrize("part", [":up", ":ask", ":wait"])
def test_pool_of_which_any_key_is_left_is_not_new(fleet: Fleet, pair: tuple[Host, Host], part: str) -> None:
    """Redis evicted its hash."""
    for other in {"", ":up", ":ask", ":wait"} - {part}:
        fleet.redis.delete(key(part=other))
    assert fleet.redis.exists(key(part=part))
    new = newcomer(fleet)
    new.beat()
    assert new.ask("x").refused is Cause.DATA_LOST


def test_live_listener_that_lost_its_slot_takes_it_again_before_a_new_listener_gets_one(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """S1: the data is lost, and the first to report never saw it."""
    one, _ = pair
    assert one.ask("a").granted
    fleet.redis.flushall()
    new = newcomer(fleet)
    new.beat()
    assert new.ask("x").refused is Cause.NEW_POOL
    fleet.passes(FRESH - HEARTBEAT, new)
    one.beat()
    assert new.ask("x").refused is Cause.DATA_LOST
    fleet.passes(TTL, new, one)
    refused = new.ask("x")
    assert (refused.refused, refused.detail) == (Cause.SLOTS_TAKEN, one("a"))


def test_whole_wait_begins_when_a_listener_comes_that_saw_the_pool_before_it_was_new(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """Two drains, nothing at present; two may drain and lost its connection."""
    one, _ = pair
    fleet.redis.flushall()
    new = newcomer(fleet)
    new.beat()
    fleet.passes(HEARTBEAT, new)
    one.beat()
    fleet.passes(TTL - HEARTBEAT - 1, new, one)
    assert new.ask("x").refused is Cause.DATA_LOST
    fleet.passes(1, new, one)
    assert new.ask("x").granted


def test_looking_alone_does_not_begin_the_whole_wait(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, _ = pair
    fleet.redis.flushall()
    newcomer(fleet).beat()
    assert one.coordinator.consider(POOL, one.rules, ask("a")).refused is Cause.DATA_LOST
    assert one.coordinator.view(POOL).settling_cause is Cause.NEW_POOL


def test_listener_that_comes_late_with_an_old_epoch_holds_up_nobody(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, _ = pair
    fleet.redis.flushall()
    new = newcomer(fleet)
    new.beat()
    fleet.passes(TTL, new)
    one.beat()
    assert new.ask("x").granted


def test_restart_in_the_first_wait_does_not_make_it_longer(fleet: Fleet) -> None:
    one = newcomer(fleet)
    epoch = one.beat().epoch
    assert epoch
    fleet.passes(HEARTBEAT, one)
    again = fleet.host("new", *one.reports, epochs={POOL: epoch})
    fleet.passes(FRESH - HEARTBEAT, again)
    assert again.ask("x").granted


def test_epoch_is_another_one_after_a_loss(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    before = one.beat().epoch
    assert before == two.beat().epoch
    fleet.redis.flushall()
    assert one.beat().epoch == two.beat().epoch != before


# --- beside listeners of the former version ------------------------------------------------------


def as_of_the_former_version(fleet: Fleet, **meta: object) -> None:
    """Leave in Redis what a listener of the former version writes."""
    fields = {name: json.loads(text) for name, text in stored(fleet.redis).items()}
    for added in ("settle_of", "settle_cause", "began", "rules_of"):
        fields["meta"].pop(added, None)
    fields["meta"].update(meta)
    for name, values in fields.items():
        if name.startswith("l:"):
            del values["process"], values["rules"]
    fleet.redis.hset(key(), mapping={name: json.dumps(values) for name, values in fields.items()})


def test_wait_that_the_former_version_began_has_no_cause(fleet: Fleet) -> None:
    one = newcomer(fleet)
    one.beat()
    as_of_the_former_version(fleet)
    assert one.ask("x").refused is Cause.SETTLING
    assert one.coordinator.view(POOL).settling_cause is Cause.SETTLING


def test_wait_that_the_former_version_began_later_has_not_the_cause_of_the_wait_before(fleet: Fleet) -> None:
    """It moves the time and leaves every field that it does not know."""
    one = newcomer(fleet)
    one.beat()
    fields = json.loads(stored(fleet.redis)["meta"])
    fields["settle"] += 5000
    fleet.redis.hset(key(), "meta", json.dumps(fields))
    assert one.ask("x").refused is Cause.SETTLING
    assert one.coordinator.view(POOL).settling_cause is Cause.SETTLING


def test_strict_setting_of_the_former_version_holds_without_a_name(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    as_of_the_former_version(fleet, rules={"4/1": (fleet.clock.now + FRESH) * 1000})
    refused = one.ask("a")
    assert (refused.refused, refused.min_available_of) == (Cause.TOO_FEW_IN_SERVICE, "?")
    assert refused.words == "3 others are in service and min_available is 4 (a setting of another listener)"
    assert two.coordinator.view(POOL).rules == (ListenerRules("?", 4, 1),)


def test_own_former_setting_is_named_as_such(fleet: Fleet) -> None:
    strict = fleet.host("one", over("a"), report("b"), rule=rules(min_available=5))
    fleet.settled(strict)
    lax = fleet.host("one", *strict.reports)
    lax.beat()
    words = lax.ask("a").words
    assert words == "1 others are in service and min_available is 5 (a setting of one/s before its restart)"
