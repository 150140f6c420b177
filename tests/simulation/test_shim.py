"""The simulated Redis answers the shipped scripts as a real one does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import redis

from supervisor_memkill.coordination.contract import Report, SlotClaim
from supervisor_memkill.coordination.redis import RedisCoordinator
from tests.builders import report
from tests.coordination.servers import FakeClock, ask, listening, redis_server, rules
from tests.simulation.lua_redis import LuaRedis, redis_time

pytestmark = pytest.mark.real

HISTORIES, STEPS = 120, 40
LISTENERS = ["east/s", "north/s", "wést/s"]
WORKERS = ["jobs:1", "jobs:2", 'jobs:"3"\\']
QUEUES = [frozenset[str](), frozenset({"a"}), frozenset({"a", "b/c"})]


class Both:
    """A client that asks the real Redis and the simulated one, and compares their answers."""

    def __init__(self, client: redis.Redis, clock: FakeClock) -> None:
        self.real, self.values = client, LuaRedis(clock)
        self._clock = clock
        self.asked = 0

    def register_script(self, text: str) -> Callable[..., Any]:
        assert text.count("redis.call('TIME')") == 1
        clocked = text.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
        real, values = self.real.register_script(clocked), self.values.register_script(text)

        def run(keys: Sequence[str], args: Sequence[str] = ()) -> Any:
            self.asked += 1
            answer = real(keys, [*args, *redis_time(self._clock())])
            assert _plain(values(keys, args)) == _plain(answer)
            return answer

        return run

    def assert_same(self) -> None:
        """Compare the data: fields as JSON values, members with their scores."""
        stored = {key: dict(fields) for key, fields in self.values.stored().items()}
        assert {key: _decoded(fields) for key, fields in stored.items()} == self._really_stored()

    def _really_stored(self) -> Mapping[str, Mapping[str, Any]]:
        client: Any = self.real
        found = {}
        for key in client.scan_iter():
            is_hash = client.type(key) == "hash"
            fields = client.hgetall(key) if is_hash else client.zrange(key, 0, -1, withscores=True)
            found[key] = _decoded(dict(fields))
        return found


def _decoded(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: json.loads(value) if isinstance(value, str) else value for name, value in fields.items()}


def _plain(answer: Any) -> Any:
    """The answer without the order in which Redis and Lua walk through a table."""
    if isinstance(answer, str):
        return json.loads(answer)
    now, *flat = answer
    return now, {name: json.loads(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with redis_server() as server:
        yield server.client()


def test_random_histories_give_the_same_answers_and_leave_the_same_data(client: redis.Redis) -> None:
    """Thousands of operations: several listeners, lost data, clocks that jump, repeated calls."""
    asked = 0
    for seed in range(HISTORIES):
        client.flushall()
        rng, clock = random.Random(seed), FakeClock(1_700_000_000.123)
        both = Both(client, clock)
        coordinators = [listening(both, name, f"life of {name}") for name in LISTENERS]
        if rng.random() < 0.3:
            coordinators.append(listening(both, LISTENERS[0], "its namesake"))
        for _ in range(STEPS):
            _happen(rng, both, clock, coordinators)
            both.assert_same()
        asked += both.asked
    assert asked > HISTORIES * STEPS / 2


def _happen(rng: random.Random, both: Both, clock: FakeClock, coordinators: list[RedisCoordinator]) -> None:
    what = rng.choice(
        ["publish"] * 6 + ["acquire"] * 6 + ["consider", "release", "view", "wait", "wait", "fault"]
    )
    coordinator = rng.choice(coordinators)
    rule = rules(rng.randint(0, 2), rng.randint(1, 2), rng.choice([0.0, 60.0]))
    worker = rng.choice(WORKERS)
    token = f"token-{rng.randrange(3)}"
    if what == "publish":
        coordinator.publish("jobs", rule, _reports(rng), _slot_claims(rng))
    elif what in ("acquire", "consider"):
        hard, out = rng.random() < 0.1, rng.random() < 0.1
        request = ask(worker, _urgency(rng), token, queues=rng.choice(QUEUES), hard=hard, already_out=out)
        getattr(coordinator, what)("jobs", rule, request)
    elif what == "release":
        coordinator.release("jobs", worker, token, drained=rng.random() < 0.5)
    elif what == "view":
        coordinator.view("jobs")
    elif what == "wait":
        clock.now += rng.choice([0.001, 1.0, 9.7, 31.0, 61.0, 1801.0, 90000.0])
    else:
        _break(rng, both, clock)


def _break(rng: random.Random, both: Both, clock: FakeClock) -> None:
    what = rng.choice(["flush", "evict", "evict", "back", "slack"])
    if what == "flush":
        both.real.flushall()
        both.values.flushall()
    elif what == "evict":
        key = rng.choice(["t:{jobs}", "t:{jobs}:up", "t:{jobs}:ask", "t:{jobs}:wait"])
        both.real.delete(key)
        both.values.delete(key)
    else:
        clock.now -= 100.0 if what == "back" else 0.5


def _urgency(rng: random.Random) -> float:
    return rng.choice([1.0, 1.1, 1 + 1 / 3, 2.5])


def _reports(rng: random.Random) -> list[Report]:
    told = [worker for worker in WORKERS if rng.random() < 0.8]
    return [
        report(
            worker,
            in_service=rng.random() < 0.8,
            urgency=_urgency(rng) if rng.random() < 0.5 else None,
            queues=rng.choice(QUEUES),
        )
        for worker in told
    ]


def _slot_claims(rng: random.Random) -> list[SlotClaim]:
    return [
        SlotClaim(worker, f"token-{rng.randrange(3)}", rng.random() < 0.5, rng.choice(("", "", "not up")))
        for worker in WORKERS
        if rng.random() < 0.3
    ]
