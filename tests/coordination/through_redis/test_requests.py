"""Requests to all listeners of a pool: each finds them at its next report, until their time is over."""

from __future__ import annotations

import json

import pytest

from supervisor_memkill.coordination.contract import AnswerLine, Cause, Offer, RequestAnswer
from supervisor_memkill.coordination.redis import MAX_OPEN_REQUESTS
from tests.builders import report
from tests.coordination.former import FormerCoordinator
from tests.coordination.servers import FRESH, POOL, TTL, Fleet, Host, key, over, stored

pytestmark = pytest.mark.real

TAKEN = RequestAnswer(workers=2, replaced=2)


def ask(
    host: Host, identity: str, *, lasts: float | None = 600.0, place: str = "", text: str = "text"
) -> bool:
    place = place or f"place of {identity}"
    return host.coordinator.request(POOL, identity, text, lasts_seconds=lasts, place=place)


def offered(host: Host) -> list[str]:
    return [offer.id for offer in host.beat().offers]


def test_each_listener_is_offered_a_request_until_it_has_answered(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    assert one.beat().offers == ()
    assert ask(one, "r1", text='{"names": "ü"}')
    fleet.clock.now += 4
    assert one.beat().offers == (Offer("r1", '{"names": "ü"}', 4.0, 596.0),)
    assert offered(one) == offered(two) == ["r1"]
    one.answers["r1"] = TAKEN
    assert offered(one) == [] and offered(two) == ["r1"]
    assert one.beat().open_requests == {"r1"}
    three = fleet.host("three", report("z"))
    assert offered(three) == ["r1"], "one that comes later"


def test_requests_are_offered_in_the_order_in_which_they_were_made(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, _ = pair
    names = [f"r{number}" for number in range(25)]
    for name in names:
        ask(one, name)
    seen: list[str] = []
    while new := offered(one):
        seen += new
        one.answers |= dict.fromkeys(new, TAKEN)
    assert seen == names


def test_request_is_over_by_the_clock_of_redis(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    ask(one, "r1", lasts=60.0)
    ask(one, "r2", lasts=None)
    fleet.clock.now += 59.9
    assert offered(two) == ["r1", "r2"]
    fleet.clock.now += 0.1
    assert [offer.id for offer in one.coordinator.view(POOL).requests] == ["r2"]
    assert two.beat().offers == (Offer("r2", "text", 60.0, None),)
    assert "q:r1" not in stored(fleet.redis)
    assert [entry[0] for entry in json.loads(stored(fleet.redis)["requests"])] == ["r2"]


def test_request_that_comes_twice_is_one_request(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    ask(one, "r1", lasts=60.0)
    fleet.clock.now += 10
    assert ask(one, "r1", lasts=60.0, text="another")
    assert two.beat().offers == (Offer("r1", "text", 10.0, 50.0),)


def test_newer_request_of_the_same_place_replaces_the_older_one(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, two = pair
    ask(one, "r1", place="restart of jobs")
    ask(one, "r2", place="pause")
    ask(one, "r3", place="restart of jobs")
    assert offered(two) == ["r2", "r3"]
    assert "q:r1" not in stored(fleet.redis)


def test_newcomer_beyond_the_most_open_requests_is_refused_and_nothing_is_lost(
    fleet: Fleet, pair: tuple[Host, Host]
) -> None:
    one, _ = pair
    names = [f"r{number}" for number in range(MAX_OPEN_REQUESTS)]
    assert all(ask(one, name, lasts=60.0) for name in names)
    assert not ask(one, "one more")
    assert ask(one, "a newer one of the same place", place="place of r7", lasts=60.0)
    assert [offer.id for offer in one.coordinator.view(POOL).requests] == [
        *(name for name in names if name != "r7"),
        "a newer one of the same place",
    ]
    fleet.clock.now += 61
    assert ask(one, "one more")


def test_answers_are_shown_with_those_who_have_none(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    ask(one, "r1")
    line = AnswerLine("jobs:ü\n", "draining", "draining, 2 running jobs", 12.5)
    one.answers["r1"] = RequestAnswer(workers=2, replaced=1, lines=(line,))
    one.beat()
    fleet.clock.now += FRESH
    two.answers["r1"] = RequestAnswer(refused="it is a dry run")
    two.beat()
    fleet.clock.now += 1
    first, second = one.coordinator.view(POOL).listeners
    assert (first.listener, first.is_silent, first.seen_seconds_ago) == ("one/s", True, FRESH + 1)
    assert first.answers is not None and second.answers is not None
    assert first.answers["r1"].lines == (
        AnswerLine("jobs:ü\\n", "draining", "draining, 2 running jobs", 12.5),
    )
    assert (second.is_silent, second.answers["r1"].refused) == (False, "it is a dry run")


def test_request_hides_no_loss_and_begins_no_pool(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.ask("a")
    fleet.redis.flushall()
    ask(one, "r1")
    assert "meta" not in stored(fleet.redis)
    assert one.coordinator.view(POOL).is_new
    two.beat()
    assert two.ask("c").refused is Cause.DATA_LOST
    assert offered(two) == ["r1"]


def test_second_listener_of_a_name_is_offered_nothing(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, _ = pair
    ask(one, "r1")
    assert fleet.host("one", over("a"), instance="another").beat().offers == ()


@pytest.mark.parametrize("text", ["5", "{", "null", '[[1,2,3],5,["r1","x",0],["r1"]]'])
def test_list_that_is_not_understood_hinders_nothing(
    fleet: Fleet, pair: tuple[Host, Host], text: str
) -> None:
    one, two = pair
    fleet.redis.hset(key(), "requests", text)
    assert one.beat().offers == ()
    assert two.coordinator.view(POOL).requests == ()
    assert one.ask("a").granted
    assert ask(one, "r1") and offered(two) == ["r1"]


# --- beside a listener of the version before --------------------------------------------------------------


@pytest.fixture
def mixed(fleet: Fleet) -> tuple[Host, Host]:
    """A listener of this version, and one of the version before."""
    new = fleet.host("new", over("a"), report("b"))
    old = fleet.host("old", over("c", 2.0), report("d"), made=FormerCoordinator)
    fleet.settled(new, old)
    return new, old


def test_former_version_keeps_the_requests_and_is_known_as_such(
    fleet: Fleet, mixed: tuple[Host, Host]
) -> None:
    new, old = mixed
    ask(new, "r1")
    new.answers["r1"] = TAKEN
    for _ in range(3):
        fleet.passes(30, new, old)
        assert old.beat().offers == ()
    first, second = new.coordinator.view(POOL).listeners
    assert (first.listener, first.answers) == ("new/s", {"r1": TAKEN})
    assert (second.listener, second.answers) == ("old/s", None)
    assert offered(fleet.host("later", report("x"))) == ["r1"]


def test_former_version_and_this_one_keep_each_others_slots(mixed: tuple[Host, Host]) -> None:
    new, old = mixed
    ask(new, "r1")
    assert old.ask("c").granted
    assert new.ask("a", urgency=9.0).refused is Cause.SLOTS_TAKEN
    assert new.beat().held == set() and old.beat().held
    old.release("c")
    assert new.ask("a", urgency=9.0).granted
    assert old.ask("c").refused is Cause.SLOTS_TAKEN
    assert old.coordinator.view(POOL).holders == ("new/s/a",)


def test_loss_is_noticed_by_both_versions(fleet: Fleet, mixed: tuple[Host, Host]) -> None:
    new, old = mixed
    for loser, other in ((new, old), (old, new)):
        fleet.redis.flushall()
        ask(new, "r1")
        loser.beat()
        assert other.ask("a" if other is new else "c").refused is Cause.DATA_LOST
        fleet.passes(TTL, new, old)


def test_former_scripts_read_what_this_version_wrote(fleet: Fleet, mixed: tuple[Host, Host]) -> None:
    new, old = mixed
    line = AnswerLine("jobs:a", "waiting", 'its turn "comes"\\', None)
    new.answers = {"r1": RequestAnswer(workers=1, lines=(line,)), "r2": RequestAnswer(refused="ü")}
    ask(new, "r1")
    new.beat()
    assert json.loads(stored(fleet.redis)["l:new/s"])["answers"]["r1"]["lines"] == [
        ["jobs:a", "waiting", 'its turn "comes"\\', None]
    ]
    again = fleet.host("new", over("a"), report("b"), made=FormerCoordinator)
    assert not again.beat().name_is_taken, "an older version takes the place of this one"
    assert old.ask("c").granted
    assert [one.answers for one in new.coordinator.view(POOL).listeners] == [None, None]
