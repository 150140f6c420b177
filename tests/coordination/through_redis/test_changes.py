"""A listener sends the workers that changed; the others are reported again as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.builders import report
from tests.coordination.servers import FRESH, HEARTBEAT, POOL, Fleet, Host, contents, key, over, stored

pytestmark = pytest.mark.real


def sent(host: Host) -> list[dict[str, Any]]:
    """The requests of the next heartbeat, in their order."""
    requests: list[dict[str, Any]] = []
    ask = host.coordinator._ask

    def hear(question: Any) -> Any:
        def run(redis: Any) -> Any:
            return question(_Hearing(redis, requests))

        return ask(run)

    host.coordinator._scripts.clear()
    host.coordinator._ask = hear  # type: ignore[method-assign]
    try:
        host.beat()
    finally:
        host.coordinator._ask = ask  # type: ignore[method-assign]
        host.coordinator._scripts.clear()
    return requests


class _Hearing:
    def __init__(self, redis: Any, requests: list[dict[str, Any]]) -> None:
        self._redis = redis
        self._requests = requests

    def register_script(self, text: str) -> Any:
        script = self._redis.register_script(text)

        def run(keys: Any, args: Any = ()) -> Any:
            self._requests.append(json.loads(args[0]))
            return script(keys=keys, args=args)

        return run


def names(request: dict[str, Any]) -> list[str]:
    return [worker[0].rpartition("/")[2] for worker in request["workers"]]


def test_only_workers_that_changed_or_ask_are_sent(fleet: Fleet) -> None:
    one = fleet.host("one", over("a", 2.5), report("b"), report("c"), report("d"))
    fleet.settled(one)
    one.reports[1] = report("b", busy=4)
    del one.reports[3]
    (request,) = sent(one)
    assert names(request) == ["a", "b"]
    assert request["gone"] == ["one/s/d"]
    told = {worker.worker: worker for worker in one.coordinator.view(POOL).reports}
    assert sorted(told) == ["one/s/a", "one/s/b", "one/s/c"]
    assert told["one/s/b"].busy == 4


def test_pool_is_the_same_as_if_all_were_sent(fleet: Fleet) -> None:
    """The workers, their times, who asks, and the sorted sets."""
    reports = [over("a", 2.5), *(report(f"w{number}", in_service=number % 2 == 0) for number in range(250))]
    endings = []
    for sends_all in (True, False):
        fleet.redis.flushall()
        fleet.clock.now = 1000.0
        host = fleet.host("one", *reports)
        fleet.settled(host)
        fleet.clock.now += HEARTBEAT
        if sends_all:
            host.coordinator._sent.clear()
        host.reports[1] = report("w0", queues=frozenset({"mail"}))
        host.beat()
        endings.append(contents(fleet.redis))
    assert endings[0] == endings[1]


@pytest.mark.parametrize("lost", ["up", "worker", "listener", "all"])
def test_lost_part_of_the_last_report_is_sent_again_at_once(fleet: Fleet, lost: str) -> None:
    one = fleet.host("one", report("a"), report("b"))
    fleet.settled(one)
    if lost == "up":
        fleet.redis.delete(key(part=":up"))
    elif lost == "all":
        fleet.redis.flushall()
    else:
        fleet.redis.hdel(key(), {"worker": "w:one/s/a", "listener": "l:one/s"}[lost])
    first, second = sent(one)
    assert (names(first), names(second)) == ([], ["a", "b"])
    assert {"w:one/s/a", "w:one/s/b", "l:one/s"} <= stored(fleet.redis).keys()
    assert fleet.redis.zcard(key(part=":up")) == 2


def test_report_of_another_listener_of_that_name_is_no_base(fleet: Fleet) -> None:
    """A listener of an older version with the same journal wrote the record meanwhile."""
    one = fleet.host("one", report("a"), report("b"))
    fleet.settled(one)
    record = json.loads(stored(fleet.redis)["l:one/s"])
    del record["report"]
    record["workers"] = ["one/s/a"]
    fleet.redis.hset(key(), "l:one/s", json.dumps(record))
    assert [names(request) for request in sent(one)] == [[], ["a", "b"]]


def test_workers_that_are_not_sent_stay_in_service(fleet: Fleet) -> None:
    one, two = fleet.host("one", over("a", 2.5)), fleet.host("two", report("b"))
    fleet.settled(one, two)
    for _ in range(6):
        fleet.passes(FRESH / 2, one, two)
    assert one.ask("a").others_in_service == 1
