"""What a silent listener reported does not count; the strictest settings of the others do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from supervisor_memkill.coordination.contract import Cause, ListenerRules, no_age
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
    contents,
    key,
    over,
    rules,
    stored,
)

pytestmark = pytest.mark.real


def test_workers_of_a_silent_listener_are_not_in_service(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.reports = [over("a")]
    fleet.passes(FRESH, one)
    assert one.ask("a").others_in_service == 2, "three heartbeats are not over yet"
    one.release("a", drained=False)
    fleet.passes(1, one)
    assert one.ask("a").refused is Cause.TOO_FEW_IN_SERVICE
    assert one.coordinator.view(POOL).silent == {two("c"), two("d")}


@pytest.mark.parametrize("what", ["new", "changed", "unchanged"])
def test_worker_counts_for_three_heartbeats_after_it_was_seen_and_not_after_its_late_report(
    fleet: Fleet, pair: tuple[Host, Host], what: str
) -> None:
    """Its listener was frozen between the look and the report, and the worker may have ended since."""
    one, two = pair
    if what == "new":
        fleet.redis.hdel(key(), f"l:{two.name}/s")  # Redis asks for the whole report.
    elif what == "changed":
        two.reports = [replace(each, busy=7) for each in two.reports]
    two.age = lambda: FRESH - 2
    two.beat()
    assert one.ask("a").others_in_service == 3
    one.release("a", drained=False)
    fleet.passes(3, one)
    assert one.ask("a").others_in_service == 1
    one.release("a", drained=False)
    two.age = no_age
    two.beat()
    assert one.ask("a").others_in_service == 3
    one.release("a", drained=False)
    two.age = lambda: 99 * FRESH
    two.beat()
    assert one.ask("a").others_in_service == 1


def test_report_that_redis_asks_for_as_a_whole_is_as_old_as_the_look(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    """The listener may be frozen until it gets this answer."""
    one, two = pair
    fleet.redis.hdel(key(), f"l:{two.name}/s")
    two.age = iter([0.0, FRESH + 1]).__next__
    two.beat()
    assert one.ask("a").others_in_service == 1


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


def test_strictest_min_available_of_the_living_counts(fleet: Fleet) -> None:
    lax = fleet.host("lax", over("a"), report("b"), rule=rules(min_available=0))
    strict = fleet.host("strict", report("c"), rule=rules(min_available=3))
    fleet.settled(lax, strict)
    refused = lax.ask("a")
    assert (refused.refused, refused.min_available) == (Cause.TOO_FEW_IN_SERVICE, 3)
    assert refused.words == "2 others are in service and min_available is 3 (a setting of strict/s)"
    assert {one.min_available for one in lax.coordinator.view(POOL).rules} == {0, 3}
    fleet.passes(FRESH, lax)
    refused = lax.ask("a")
    assert (refused.refused, refused.min_available_of) == (Cause.TOO_FEW_IN_SERVICE, "strict/s")
    fleet.passes(1, lax)
    assert lax.ask("a").granted


def test_of_equally_strict_listeners_the_same_one_is_always_named(fleet: Fleet) -> None:
    lax = fleet.host("lax", over("a"), over("b"), rule=rules(0, 3))
    others = [fleet.host(name, rule=rules(5, most)) for name, most in (("z", 2), ("y", 1), ("x", 4))]
    others += [fleet.host(name, rule=rules(least, 1)) for name, least in (("w", 4), ("v", 3))]
    fleet.settled(lax, *others)
    answer = lax.ask("a")
    assert (answer.min_available, answer.min_available_of) == (5, "x/s")
    assert (answer.max_draining, answer.max_draining_of) == (1, "v/s")


def test_setting_that_others_share_is_no_setting_of_theirs(fleet: Fleet) -> None:
    one = fleet.host("one", over("a"), rule=rules(2, 1))
    fleet.settled(one, fleet.host("two", rule=rules(2, 3)), fleet.host("three", rule=rules(1, 1)))
    answer = one.ask("a")
    assert (answer.min_available, answer.min_available_of) == (2, "")
    assert (answer.max_draining, answer.max_draining_of) == (1, "")


def test_strictest_max_draining_of_the_living_counts(fleet: Fleet) -> None:
    lax = fleet.host("lax", over("a"), over("b"), report("c"), rule=rules(max_draining=2))
    strict = fleet.host("strict", report("d"), rule=rules(max_draining=1))
    fleet.settled(lax, strict)
    assert lax.ask("a").granted
    refused = lax.ask("b")
    assert refused.refused is Cause.SLOTS_TAKEN
    assert refused.words == "max_draining is 1 (a setting of strict/s) and is reached (lax/s/a)"
    assert {one.max_draining for one in lax.coordinator.view(POOL).rules} == {1, 2}
    fleet.passes(FRESH + 1, lax)
    assert lax.ask("b").granted
    assert lax.coordinator.view(POOL).rules == (ListenerRules("lax/s", 1, 2),)


def test_clock_that_is_set_back_makes_no_strict_setting_last(fleet: Fleet) -> None:
    lax = fleet.host("lax", over("a"), report("b"))
    strict = fleet.host("strict", report("c"), rule=rules(min_available=3))
    fleet.settled(lax, strict)
    fleet.clock.now -= 500
    fleet.settled(lax)
    assert lax.ask("a").granted
