"""Data that was lost or is older than before is noticed; nothing is granted until all reported again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from supervisor_memkill.coordination.contract import Cause
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

DAY = 86400.0
PARTS = ("", ":up", ":ask", ":wait")


def lose_everything(client: redis.Redis) -> None:
    client.flushall()


def lose_the_hash(client: redis.Redis) -> None:
    client.delete(key())


def set_the_clock_back(client: redis.Redis) -> None:
    """What was written last bears a later time than now."""
    change_meta(client, at=lambda at: at + 5000)


def fall_back_on_older_data(client: redis.Redis) -> None:
    """A replica was promoted that lacked the last writes."""
    change_meta(client, seq=lambda seq: seq - 1, at=lambda at: at - 1)


def fall_back_on_data_of_long_ago(client: redis.Redis) -> None:
    """From before data was lost the last time, with more writes than there were since."""
    change_meta(client, epoch=lambda _: "long ago", seq=lambda seq: seq + 99, at=lambda at: at - 5000)


def change_meta(client: redis.Redis, **changes: Callable[[Any], Any]) -> None:
    meta = json.loads(stored(client)["meta"])
    for name, change in changes.items():
        meta[name] = change(meta[name])
    client.hset(key(), "meta", json.dumps(meta))


def keep_a_copy(client: redis.Redis) -> None:
    """A replica gets no more writes from now on."""
    for part in PARTS:
        client.copy(key(part=part), f"older{part}", replace=True)


def fall_back_on_the_copy(client: redis.Redis) -> None:
    """This replica was promoted."""
    client.delete(*(key(part=part) for part in PARTS))
    for part in PARTS:
        client.copy(f"older{part}", key(part=part))


LOSSES = [
    lose_everything,
    lose_the_hash,
    set_the_clock_back,
    fall_back_on_older_data,
    fall_back_on_data_of_long_ago,
]


@pytest.mark.parametrize("lose", LOSSES)
def test_nothing_is_granted_after_data_was_lost_until_all_told_anew(
    fleet: Fleet, pair: tuple[Host, Host], lose: Callable[[redis.Redis], None]
) -> None:
    one, two = pair
    lose(fleet.redis)
    assert one.ask("a").refused is Cause.DATA_LOST
    fleet.passes(TTL - 1, one, two)
    for host, worker in ((one, "a"), (two, "c")):
        assert host.ask(worker, urgency=9.0).refused is Cause.DATA_LOST
    fleet.passes(1, one, two)
    assert two.ask("c").refused is Cause.MORE_URGENT, "who asks is known again"
    assert one.ask("a").granted


def test_loss_of_one_of_two_writes_in_the_same_millisecond_is_noticed(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    two.beat()
    change_meta(fleet.redis, seq=lambda seq: seq - 1)
    assert two.ask("c", urgency=9.0).refused is Cause.DATA_LOST
    assert one.ask("a").refused is Cause.DATA_LOST


@pytest.mark.parametrize("lose", LOSSES)
def test_one_loss_is_noticed_once(
    fleet: Fleet, pair: tuple[Host, Host], lose: Callable[[redis.Redis], None]
) -> None:
    """Each listener saw later data than there is now, and only the first of them begins anew."""
    one, two = pair
    lose(fleet.redis)
    one.beat()
    fleet.passes(5)
    two.beat()
    assert two.coordinator.view(POOL).settling_seconds == TTL - 5


@pytest.mark.parametrize("lose", LOSSES)
def test_drains_under_way_go_on_when_data_was_lost(
    fleet: Fleet, pair: tuple[Host, Host], lose: Callable[[redis.Redis], None]
) -> None:
    one, two = pair
    one.ask("a")
    lose(fleet.redis)
    two.beat()
    assert one.beat().held == {one.drains["a"].token}
    assert one.ask("a").granted
    fleet.passes(TTL, one, two)
    assert two.ask("c").refused is Cause.SLOTS_TAKEN
    one.release("a")
    assert two.ask("c", urgency=9.0).granted


@pytest.mark.parametrize(
    ("part", "refused"),
    [(":up", Cause.TOO_FEW_IN_SERVICE), (":wait", Cause.MORE_URGENT), (":ask", None)],
)
def test_sorted_set_that_was_evicted_is_made_anew_by_the_next_heartbeats(
    fleet: Fleet, pair: tuple[Host, Host], part: str, refused: Cause | None
) -> None:
    """Meanwhile fewer count as in service, or the order is forgotten; never more than there are."""
    one, two = pair
    fleet.redis.delete(key(part=part))
    assert two.coordinator.consider(POOL, two.rules, ask("c")).refused is refused
    fleet.passes(HEARTBEAT, one, two)
    answer = two.coordinator.consider(POOL, two.rules, ask("c"))
    assert (answer.refused, answer.others_in_service) == (Cause.MORE_URGENT, 3)


def test_who_only_looks_throws_nothing_away_though_data_was_lost(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, _ = pair
    lose_the_hash(fleet.redis)
    before = fleet.redis.zcard(key(part=":up"))
    assert one.coordinator.consider(POOL, one.rules, ask("a")).refused is Cause.DATA_LOST
    assert fleet.redis.zcard(key(part=":up")) == before > 0


@pytest.mark.parametrize("seconds", [0.9, 1.0])
def test_clock_that_is_set_right_by_a_little_is_no_loss(
    fleet: Fleet, pair: tuple[Host, Host], seconds: float
) -> None:
    one, two = pair
    fleet.passes(1, one, two)
    one.beat()
    fleet.clock.now -= seconds
    two.beat()
    one.beat()
    assert one.ask("a").granted


@pytest.mark.parametrize("seconds", [0.9, 1.0])
def test_slot_outlives_a_clock_that_is_set_right_by_a_little(
    fleet: Fleet, pair: tuple[Host, Host], seconds: float
) -> None:
    one, two = pair
    fleet.passes(HEARTBEAT, one, two)
    assert one.ask("a").granted
    fleet.clock.now -= seconds
    assert two.ask("c").refused is Cause.SLOTS_TAKEN


def test_slot_given_before_the_clock_was_set_back_holds_for_no_longer(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    one.ask("a")
    fleet.passes(500, one, two)
    fleet.clock.now -= 400
    fleet.settled(two)
    assert two.ask("c").granted


def test_cooldown_does_not_grow_when_the_clock_is_set_back(fleet: Fleet) -> None:
    one = fleet.host("one", over("a"), report("b"), rule=rules(cooldown_seconds=100))
    fleet.settled(one)
    one.ask("a")
    one.release("a")
    fleet.clock.now -= 500
    fleet.settled(one)
    assert one.ask("a").refused is Cause.COOLDOWN
    fleet.passes(100 - TTL, one)
    assert one.ask("a").granted


def test_slot_that_expired_while_redis_was_away_from_all_is_given_to_nobody_at_once(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """Its holder may live, and its worker is quiet: who comes back first must wait for its word."""
    one, two = pair
    one.ask("a")
    fleet.passes(TTL + 1)
    two.beat()
    assert two.ask("c").refused is Cause.REDIS_WAS_AWAY
    one.beat()
    fleet.passes(FRESH, one, two)
    refused = two.ask("c")
    assert (refused.refused, refused.detail) == (Cause.SLOTS_TAKEN, one("a"))


def test_holder_that_died_while_redis_was_away_blocks_for_no_longer_than_the_wait(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    one.ask("a")
    fleet.passes(TTL + 1)
    two.coordinator.release(POOL, "d", "nothing", drained=False)
    two.beat()
    fleet.passes(FRESH - 1, two)
    assert two.ask("c").refused is Cause.REDIS_WAS_AWAY
    fleet.passes(1, two)
    assert two.ask("c").granted


def test_slot_that_expired_unseen_makes_no_wait_shorter(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.ask("a")
    fleet.redis.flushall()
    strict = fleet.host("strict", report("e"), settle_seconds=200, epochs={POOL: ""})
    strict.beat()
    one.beat()
    fleet.passes(TTL + 1)
    two.beat()
    assert two.ask("c").refused is Cause.DATA_LOST
    fleet.passes(200 - TTL - 2, two)
    assert two.ask("c").refused is Cause.DATA_LOST
    fleet.passes(1, two)
    assert two.ask("c").granted


def test_pause_of_all_listeners_alone_is_no_loss(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    fleet.passes(10 * TTL)
    one.beat()
    two.beat()
    assert one.ask("a").granted


def test_forgotten_scripts_are_sent_again(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    fleet.redis.script_flush()
    assert not one.beat().name_is_taken
    fleet.redis.script_flush()
    assert one.ask("a").granted
    fleet.redis.script_flush()
    one.release("a")
    fleet.redis.script_flush()
    assert two.coordinator.view(POOL).holders == ()


def test_loss_is_noticed_though_more_was_written_since_than_was_lost(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """A replica without the last writes was promoted. A listener that had not seen these wrote first."""
    one, two = pair
    three = fleet.host("three", report("e"))
    three.beat()
    keep_a_copy(fleet.redis)
    assert one.ask("a").granted
    two.beat()
    fall_back_on_the_copy(fleet.redis)
    for _ in range(9):
        fleet.passes(1)
        three.beat()
    assert two.ask("c", urgency=9.0).refused is Cause.DATA_LOST


def test_older_data_from_before_the_last_loss_is_noticed_though_others_wrote_to_it(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    keep_a_copy(fleet.redis)
    lose_the_hash(fleet.redis)
    fleet.passes(TTL + 1, one, two)
    fall_back_on_the_copy(fleet.redis)
    fleet.passes(1)
    fleet.host("three", report("e"), epochs={POOL: ""}).beat()
    assert two.ask("c", urgency=9.0).refused is Cause.DATA_LOST


def test_listener_that_was_away_for_more_than_a_day_is_no_sign_of_a_loss(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """Meanwhile the others removed what Redis held of it."""
    one, two = pair
    fleet.passes(DAY + FRESH)
    for _ in range(2):
        one.beat()
    assert f"k:{two.coordinator.name}" not in stored(fleet.redis)
    two.beat()
    assert one.ask("a").granted


def test_listener_that_was_away_for_less_than_a_day_notices_a_loss(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    keep_a_copy(fleet.redis)
    two.beat()
    fall_back_on_the_copy(fleet.redis)
    fleet.passes(DAY - HEARTBEAT)
    one.beat()
    two.beat()
    assert one.ask("a").refused is Cause.DATA_LOST


def test_listener_whose_name_was_taken_for_a_while_is_no_sign_of_a_loss(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """The other listener of its name wrote last."""
    one, two = pair
    fleet.passes(FRESH + 1, two)
    namesake = fleet.host("one", over("a"), report("b"), instance="another", epochs={POOL: ""})
    namesake.beat()
    two.beat()
    assert one.ask("a").refused is Cause.NAME_TAKEN
    fleet.passes(FRESH + 1, two)
    one.beat()
    assert two.ask("c", urgency=9.0).granted


def test_loss_of_the_first_write_of_a_listener_is_noticed_though_others_wrote_since(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    _, two = pair
    keep_a_copy(fleet.redis)
    three = fleet.host("three", over("e", 9.0), report("f"))
    three.beat()
    fall_back_on_the_copy(fleet.redis)
    fleet.passes(1)
    two.beat()
    two.beat()
    assert three.ask("e").refused is Cause.DATA_LOST


def test_loss_is_noticed_in_an_epoch_in_which_the_listener_had_not_written_yet(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """In the epoch before, it wrote more often than it did since."""
    one, two = pair
    set_the_clock_back(fleet.redis)
    one.beat()
    keep_a_copy(fleet.redis)
    two.beat()
    fleet.passes(TTL)
    assert two.ask("c", urgency=9.0).refused is not Cause.DATA_LOST
    fall_back_on_the_copy(fleet.redis)
    fleet.passes(1)
    for _ in range(4):
        one.beat()
    assert two.ask("c", urgency=9.0).refused is Cause.DATA_LOST


def test_epoch_that_a_listener_of_an_older_version_began_is_no_sign_of_a_loss(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """It keeps the fields that it does not know, and so the time at which the epoch before began."""
    one, _ = pair
    change_meta(fleet.redis, epoch=lambda _: "by an older version", seq=lambda _: 1)
    assert one.ask("a").granted
