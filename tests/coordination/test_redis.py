"""What Redis adds to the rules: leases, freshness, the strictest setting, one name one listener, lost data.

A real Redis runs the scripts that ship, on a clock that the test moves (see servers.py).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_memkill.coordination.contract import Cause, Holding
from supervisor_memkill.coordination.rules import PATIENCE_SECONDS
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
    redis_server,
    rules,
    stored,
)

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with redis_server() as server:
        yield server.client()


@pytest.fixture
def fleet(client: redis.Redis) -> Fleet:
    client.flushall()
    client.script_flush()
    return Fleet(client)


@pytest.fixture
def pair(fleet: Fleet) -> tuple[Host, Host]:
    """Two hosts that each have one worker that asks and one that does not; the pool is settled."""
    one = fleet.host("one", over("a", 2.5), report("b"))
    two = fleet.host("two", over("c"), report("d"))
    fleet.settled(one, two)
    return one, two


# --- leases -------------------------------------------------------------------------------------


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
    one.drains["a"] = Holding("a", "another", is_out=False)
    fleet.passes(TTL, one, two)
    assert one.beat().held == frozenset()
    assert two.ask("c", urgency=9.0).granted


def test_late_renewal_revives_no_slot(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """It had begun nothing yet: it must ask again, and the one that got the slot meanwhile keeps it."""
    one, two = pair
    one.ask("a")
    one.drains["a"] = Holding("a", one.drains["a"].token, is_out=False)
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
    assert one.coordinator.view(POOL).holders == (one("a"), two("c"))
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
        POOL, host.rules, host.reports, [Holding("a", "drain-1")]
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
            told.append(answers[0])
            fleet.clock.now += 1
        endings.append((told, contents(client)))
    assert endings[0] == endings[1]


def contents(client: redis.Redis) -> object:
    """All that the pool is, but for what counts the writes and the name of the epoch."""
    fields = {name: json.loads(text) for name, text in stored(client).items()}
    for name in ("seq", "epoch", "swept"):
        fields["meta"].pop(name, None)
    return fields, [
        client.zrange(key(part=part), 0, -1, withscores=True) for part in (":up", ":ask", ":wait")
    ]


# --- freshness ----------------------------------------------------------------------------------


def test_workers_of_a_silent_listener_are_not_in_service(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.reports = [over("a")]
    fleet.passes(FRESH, one)
    assert one.ask("a").others_in_service == 2, "three heartbeats are not over yet"
    one.release("a", drained=False)
    fleet.passes(1, one)
    assert one.ask("a").refused is Cause.TOO_FEW_IN_SERVICE
    assert one.coordinator.view(POOL).silent == {two("c"), two("d")}


def test_slot_of_a_silent_listener_is_not_left_out_of_the_count_twice(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """Its worker is not counted any more, so that there is nothing to take off for it."""
    one, two = pair
    assert one.ask("a").granted
    fleet.passes(FRESH + 1, two)
    answer = two.ask("c")
    assert (answer.refused, answer.others_in_service) == (Cause.SLOTS_TAKEN, 1)


def test_askers_of_a_silent_listener_keep_nobody_waiting(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    _, two = pair
    assert two.ask("c").refused is Cause.MORE_URGENT
    fleet.passes(FRESH + 1, two)
    assert two.ask("c").granted


def test_any_number_of_silent_askers_hides_no_living_one(fleet: Fleet) -> None:
    """Hosts come and go under ever new names, and leave what they asked for behind."""
    gone = fleet.host("gone", *(over(f"w{number}", 5.0) for number in range(60)))
    gone.beat()
    fleet.passes(FRESH + 1)
    one = fleet.host("one", over("long", 1.2), over("urgent", 2.5), over("late", 1.5), report("c"))
    fleet.settled(one)
    asked = fleet.redis.zcard(key(part=":ask"))
    assert one.coordinator.consider(POOL, one.rules, ask("late")).detail == one("urgent")
    assert fleet.redis.zcard(key(part=":ask")) == asked, "a look changes nothing"
    assert one.ask("late").detail == one("urgent")
    assert fleet.redis.zcard(key(part=":ask")) == 3, "who asks in earnest clears them away"
    one.reports[:] = [over("long", 1.2), report("c")]
    fleet.passes(PATIENCE_SECONDS, one)
    one.reports.append(over("urgent", 2.5))
    one.beat()
    assert one.ask("urgent").detail == one("long")
    assert one.ask("long").granted


def test_worker_that_its_listener_tells_of_no_more_disappears(pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.reports = [report("b")]
    one.beat()
    assert {worker.worker for worker in two.coordinator.view(POOL).reports} == {one("b"), two("c"), two("d")}
    answer = two.ask("c")
    assert answer.granted, "the more urgent a is gone"
    assert answer.others_in_service == 2


def test_listener_with_nothing_left_to_tell_leaves_nothing(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    for host in pair:
        host.reports = []
        host.beat()
    assert not fleet.redis.exists(*(key(part=part) for part in (":up", ":ask", ":wait")))
    assert pair[0].coordinator.view(POOL).reports == ()


def test_hosts_that_never_come_back_are_forgotten_after_a_day(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """Machines are made and unmade under ever new names; what they left must not grow for ever."""
    day = 24 * 3600
    one, _gone = pair
    for number in range(9):
        fleet.host(f"old{number}", over("a"), report("b"), report("c", in_service=False)).beat()
    fleet.clock.now += day - 60
    one.beat()
    assert any("old8" in field for field in stored(fleet.redis))
    fleet.clock.now += 120
    for _ in range(10):
        one.beat()
    left = {field for field in stored(fleet.redis) if field[:2] in ("w:", "l:")}
    assert {field[2:].split("/")[0] for field in left} == {"one"}
    for part in ("up", "ask", "wait"):
        assert all("one/" in member for member in fleet.redis.zrange(key(part=f":{part}"), 0, -1))


def test_what_is_no_worker_is_cleared_away(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    fleet.redis.zadd(key(part=":up"), {"no worker": 1})
    fleet.clock.now += 2 * 24 * 3600
    fleet.passes(10 * HEARTBEAT, one, two)
    assert fleet.redis.zscore(key(part=":up"), "no worker") is None


def test_sets_of_queues_that_nobody_has_any_more_are_forgotten(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """A queue for each host, under ever new names, must not make the pool grow; nor may a peer get lost."""
    one, two = pair
    fleet.settled(one, two)
    shared = frozenset({"shared"})
    two.reports = [report("b", queues=shared)]
    for number in range(100):
        one.reports = [report("c", queues=frozenset({f"own{number}"})), over("a", queues=shared)]
        fleet.passes(HEARTBEAT, one, two)
    known = json.loads(stored(fleet.redis)["meta"])["sigs"]
    assert len(known) < 10 and "shared" in known, known
    one.reports = [over("a", queues=shared)]
    fleet.passes(10 * HEARTBEAT, one, two)
    assert json.loads(stored(fleet.redis)["meta"])["sigs"][-1] == "shared"
    assert one.ask("a", queues=shared).others_in_service == 1
    two.reports = [report("b", queues=frozenset({"other"}))]
    two.beat()
    assert one.ask("a", queues=shared).others_in_service == 0


def test_drain_whose_end_could_not_be_told_at_once_starts_its_cooldown_all_the_same(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """Told again, or long after a later one, it changes nothing."""
    one, two = pair
    waiting = rules(cooldown_seconds=600.0)
    one.rules = two.rules = waiting
    fleet.settled(one, two)
    assert one.ask("a").granted
    token = one.drains.pop("a").token
    fleet.passes(2 * TTL, two)
    assert not fleet.redis.hexists(key(), f"s:{one('a')}"), "its slot has expired"
    for _ in range(2):
        one.coordinator.release(POOL, "a", token, drained=True, seconds_ago=2 * TTL)
    one.coordinator.release(POOL, "a", token, drained=True, seconds_ago=500.0)
    assert one.coordinator.view(POOL).drain_ended_seconds_ago == 2 * TTL


def test_slots_that_are_over_leave_nothing_behind(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """Nor does asking what would be answered clear anything away: it writes nothing."""
    one, two = pair
    fleet.settled(one, two)
    assert one.ask("a").granted
    one.release("a")
    assert not json.loads(stored(fleet.redis)["meta"])["slots"]
    assert one.ask("a").granted
    one.drains.clear()
    fleet.passes(TTL, two)
    two.beat()
    fleet.passes(TTL, two)
    assert one.ask("a").granted
    one.drains.clear()
    fleet.clock.now += TTL
    before = contents(fleet.redis)
    two.coordinator.consider(POOL, two.rules, ask("c"))
    assert contents(fleet.redis) == before
    two.beat()
    assert not json.loads(stored(fleet.redis)["meta"])["slots"]
    assert not any(field.startswith("s:") for field in stored(fleet.redis))


def test_slot_holder_does_not_count_to_the_very_millisecond(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """Its listener's last word counts until then, and so does its slot."""
    one, two = pair
    one.reports, two.reports = [report("a")], [report("c")]
    two.rules = one.rules = rules(0, 2)
    fleet.settled(one, two)
    two.beat()
    assert two.ask("c").granted
    fleet.clock.now += FRESH
    one.reports = [over("a")]
    one.beat()
    assert one.ask("a").others_in_service == 0


def test_one_that_asks_counts_to_the_very_end_of_its_word(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """As it does for those in service; a millisecond later it keeps nobody waiting."""
    one, two = pair
    one.reports, two.reports = [over("a", 1.5), report("b")], [over("c", 2.5)]
    fleet.settled(one, two)
    two.beat()
    for later, refused in ((FRESH, Cause.MORE_URGENT), (0.001, None)):
        fleet.clock.now += later
        one.beat()
        assert one.coordinator.consider(POOL, one.rules, ask("a", 1.5)).refused is refused


def test_nothing_has_a_time_to_live(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    """volatile-lru and volatile-ttl throw away what has one."""
    one, _ = pair
    one.ask("a")
    one.coordinator.record(POOL, "drain.quieting", {"worker": "a"})
    keys = sorted(fleet.redis.keys("*"))
    assert keys == [key(part=part) for part in ("", ":ask", ":events", ":up", ":wait")]
    assert {fleet.redis.ttl(name) for name in keys} == {-1}


# --- the strictest setting ----------------------------------------------------------------------


def test_strictest_min_available_of_the_living_counts(fleet: Fleet) -> None:
    lax = fleet.host("lax", over("a"), report("b"), rule=rules(min_available=0))
    strict = fleet.host("strict", report("c"), rule=rules(min_available=3))
    fleet.settled(lax, strict)
    refused = lax.ask("a")
    assert (refused.refused, refused.min_available) == (Cause.TOO_FEW_IN_SERVICE, 3)
    assert lax.coordinator.view(POOL).min_available == 3
    fleet.passes(FRESH, lax)
    assert lax.ask("a").refused is Cause.TOO_FEW_IN_SERVICE
    fleet.passes(1, lax)
    assert lax.ask("a").granted


def test_strictest_max_draining_of_the_living_counts(fleet: Fleet) -> None:
    lax = fleet.host("lax", over("a"), over("b"), report("c"), rule=rules(max_draining=2))
    strict = fleet.host("strict", report("d"), rule=rules(max_draining=1))
    fleet.settled(lax, strict)
    assert lax.ask("a").granted
    assert lax.ask("b").refused is Cause.SLOTS_TAKEN
    assert lax.coordinator.view(POOL).max_draining == 1
    fleet.passes(FRESH + 1, lax)
    assert lax.ask("b").granted
    assert lax.coordinator.view(POOL).max_draining == 2


def test_clock_that_is_set_back_makes_no_strict_setting_last(fleet: Fleet) -> None:
    lax = fleet.host("lax", over("a"), report("b"))
    strict = fleet.host("strict", report("c"), rule=rules(min_available=3))
    fleet.settled(lax, strict)
    fleet.clock.now -= 500
    fleet.settled(lax)
    assert lax.ask("a").granted


# --- one name, one listener ---------------------------------------------------------------------


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
    newcomer.drains["a"] = Holding("a", "the newcomer's")
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


# --- data that was lost -------------------------------------------------------------------------


def test_first_use_of_a_pool_grants_nothing_until_every_listener_told_of_itself(fleet: Fleet) -> None:
    one = fleet.host("one", over("a"), report("b"))
    one.beat()
    assert one.ask("a").refused is Cause.SETTLING
    assert one.ask("a", hard=True).refused is Cause.SETTLING
    assert one.coordinator.view(POOL).settling_seconds == TTL
    fleet.passes(TTL - 1, one)
    assert one.ask("a").refused is Cause.SETTLING
    fleet.passes(1, one)
    assert one.ask("a").granted


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
    assert one.ask("a").refused is Cause.SETTLING
    fleet.passes(TTL - 1, one, two)
    for host, worker in ((one, "a"), (two, "c")):
        assert host.ask(worker, urgency=9.0).refused is Cause.SETTLING
    fleet.passes(1, one, two)
    assert two.ask("c").refused is Cause.MORE_URGENT, "who asks is known again"
    assert one.ask("a").granted


def test_loss_of_one_of_two_writes_in_the_same_millisecond_is_noticed(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    two.beat()
    change_meta(fleet.redis, seq=lambda seq: seq - 1)
    assert two.ask("c", urgency=9.0).refused is Cause.SETTLING
    assert one.ask("a").refused is Cause.SETTLING


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
    assert one.coordinator.consider(POOL, one.rules, ask("a")).refused is Cause.SETTLING
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
    assert two.ask("c").refused is Cause.SETTLING
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
    assert two.ask("c").refused is Cause.SETTLING
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


# --- who goes first -----------------------------------------------------------------------------


def test_peer_must_cover_all_queues(fleet: Fleet) -> None:
    mail, both, other = frozenset({"mail"}), frozenset({"mail", "default"}), frozenset({"default", "bulk"})
    one = fleet.host("one", over("a", queues=both), report("m", queues=mail), report("o", queues=other))
    two = fleet.host("two", over("c", queues=mail))
    fleet.settled(one, two)
    refused = one.ask("a", queues=both)
    assert (refused.refused, refused.others_in_service) == (Cause.TOO_FEW_IN_SERVICE, 0)
    answer = two.ask("c", queues=mail)
    assert answer.granted
    assert answer.others_in_service == 2
    two.release("c", drained=False)
    two.reports.append(report("d", queues=both | other))
    two.beat()
    answer = one.ask("a", queues=both)
    assert (answer.granted, answer.others_in_service) == (True, 1)


def test_worker_whose_queues_change_counts_once(fleet: Fleet) -> None:
    mail, both = frozenset({"mail"}), frozenset({"mail", "default"})
    one = fleet.host("one", over("a", queues=mail), report("b", queues=mail))
    fleet.settled(one)
    for queues in (both, frozenset({"bulk"}), mail):
        one.reports[1] = report("b", queues=queues)
        one.beat()
        answer = one.coordinator.consider(POOL, rules(), ask("a", queues=mail))
        assert answer.others_in_service == (queues >= mail)


def test_most_urgent_of_all_hosts_goes_first(pair: tuple[Host, Host]) -> None:
    one, two = pair
    refused = two.ask("c")
    assert (refused.refused, refused.detail) == (Cause.MORE_URGENT, one("a"))
    assert one.ask("a").granted


def test_one_that_asks_no_more_keeps_nobody_waiting(pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.reports[0] = report("a")
    one.beat()
    assert two.ask("c").granted


def test_one_that_asks_again_waits_from_then_on(fleet: Fleet) -> None:
    one = fleet.host("one", over("a"), report("b"))
    two = fleet.host("two", report("c"), report("d"))
    fleet.settled(one, two)
    one.reports[0], two.reports[0] = report("a"), over("c")
    fleet.passes(HEARTBEAT, one, two)
    one.reports[0] = over("a")
    fleet.passes(HEARTBEAT, one, two)
    assert one.ask("a").detail == two("c")


def test_refusal_names_the_most_urgent_though_a_less_urgent_asked_before(fleet: Fleet) -> None:
    one = fleet.host("one", over("older", 2.0), over("least", 1.5), report("b"))
    fleet.settled(one)
    one.reports.append(over("most", 2.5))
    one.beat()
    assert one.ask("least").detail == one("most")


def test_of_many_equally_urgent_the_one_that_asked_first_goes_first(fleet: Fleet) -> None:
    """Whatever their names are: Redis sorts equals by these."""
    first = fleet.host("0", over("first"), report("spare"))
    fleet.settled(first)
    crowd = fleet.host("9", *(over(f"w{number:02}") for number in range(70)))
    fleet.passes(1, crowd, first)
    crowd.beat()
    refused = crowd.ask("w69")
    assert (refused.refused, refused.detail) == (Cause.MORE_URGENT, first("first"))
    assert first.ask("first").granted


def test_many_that_could_not_go_hide_no_one_that_could(fleet: Fleet) -> None:
    special = frozenset({"special"})
    stuck = fleet.host("9", *(over(f"w{number}", 5.0, queues=special) for number in range(70)))
    stuck.reports = [
        over(one.worker, 5.0, queues=special | {one.worker}, in_service=False) for one in stuck.reports
    ]
    able = fleet.host("0", over("able", 2.5), over("less", 1.5), report("spare"))
    fleet.settled(stuck, able)
    assert able.ask("less").detail == able("able")
    assert able.ask("able").granted


def test_one_that_could_not_go_keeps_no_other_host_waiting(fleet: Fleet) -> None:
    special = frozenset({"special"})
    one = fleet.host("one", over("a", 9.0, queues=special))
    two = fleet.host("two", over("c"), report("d"))
    fleet.settled(one, two)
    assert one.ask("a", queues=special).refused is Cause.TOO_FEW_IN_SERVICE
    assert two.ask("c").granted


def test_who_asked_for_long_enough_goes_before_more_urgent_ones(fleet: Fleet) -> None:
    one = fleet.host("one", over("patient", 1.1), report("b"))
    fleet.settled(one)
    fleet.passes(PATIENCE_SECONDS, one)
    two = fleet.host("two", over("c", 9.0), report("d"))
    two.beat()
    refused = two.ask("c")
    assert (refused.refused, refused.detail) == (Cause.MORE_URGENT, one("patient"))
    assert one.ask("patient").granted


def test_of_two_that_asked_for_long_enough_the_older_goes_first(fleet: Fleet) -> None:
    one = fleet.host("one", over("older", 1.1), report("b"))
    fleet.settled(one)
    two = fleet.host("two", over("younger", 9.0), report("d"))
    fleet.passes(HEARTBEAT, one, two)
    fleet.passes(PATIENCE_SECONDS, one, two)
    assert two.ask("younger").detail == one("older")
    assert one.ask("older").granted


# --- versions side by side ----------------------------------------------------------------------


def test_data_of_a_later_version_is_understood_and_kept(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.ask("a")
    client = fleet.redis
    later = {"zones": {"west": [1, 2]}, "nothing": None, "text": "ü"}
    fields = {name: {**json.loads(text), **later} for name, text in stored(client).items()}
    fields["meta"]["version"] = 2
    fields["meta"]["rules"]["1/1/zones=2"] = (fleet.clock.now + FRESH) * 1000
    client.hset(key(), mapping={name: json.dumps(value) for name, value in fields.items()})
    client.hset(key(), "z:another kind of field", "not even JSON")
    assert two.ask("c").refused is Cause.SLOTS_TAKEN
    assert one.beat().held
    assert len(two.coordinator.view(POOL).reports) == 4
    one.release("a")
    assert two.ask("c", urgency=9.0).granted
    after = stored(client)
    meta = json.loads(after["meta"])
    assert {name: meta[name] for name in later} == later
    assert meta["version"] == 2
    assert "1/1/zones=2" in meta["rules"]
    assert json.loads(after[f"w:{two('d')}"])["zones"] == {"west": [1, 2]}
    assert after["z:another kind of field"] == "not even JSON"


def test_names_and_tokens_may_hold_any_character(fleet: Fleet) -> None:
    odd = 'jobs:ü "x" \\ {y} %s\n/*'
    one = fleet.host(
        "höst", over(odd, queues=frozenset({"a b", "ü"})), report("b", queues=frozenset({"ü", "a b"}))
    )
    fleet.settled(one)
    assert one.ask(odd, queues=frozenset({"a b", "ü"})).granted
    assert one.beat().held
    assert one.coordinator.view(POOL).holders == (one(odd),)
    (seen,) = [worker for worker in one.coordinator.view(POOL).reports if worker.worker == one(odd)]
    assert seen.queues == {"a b", "ü"}


def test_view_shows_what_was_told(pair: tuple[Host, Host]) -> None:
    one, two = pair
    told = {worker.worker: worker for worker in two.coordinator.view(POOL).reports}
    for host, seen in itertools.chain(
        itertools.product([one], one.reports), itertools.product([two], two.reports)
    ):
        values = {**vars(seen), "worker": host(seen.worker)}
        assert vars(told[host(seen.worker)]) == values


def test_view_of_a_pool_that_nobody_told_of_is_empty(fleet: Fleet) -> None:
    view = fleet.host("one").coordinator.view("another")
    assert (view.reports, view.holders, view.max_draining) == ((), (), None)


def test_events_are_kept_up_to_a_number(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, _ = pair
    for number in range(1300):
        one.coordinator.record(POOL, "drain.done", {"worker": "a", "number": str(number)})
    entries = fleet.redis.xrange(key(part=":events"))
    assert 1000 <= len(entries) < 1300
    assert entries[-1][1] == {"event": "drain.done", "host": "one/s", "worker": "a", "number": "1299"}
