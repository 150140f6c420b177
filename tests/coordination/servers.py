"""What the tests of coordination through Redis share: a clock that is moved, hosts, and servers."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import redis

from supervisor_memkill.coordination.contract import (
    Age,
    Answer,
    Published,
    Report,
    Request,
    RequestAnswer,
    Rules,
    SlotClaim,
    no_age,
)
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.world.redis_client import connect
from tests.builders import report
from tests.harness import short_directory
from tests.real_redis import RealRedis

POOL = "jobs"
PREFIX = "t"
HEARTBEAT = 10.0
FRESH = 3 * HEARTBEAT
TTL = 60.0

_TOKENS = itertools.count()


class FakeClock:
    """Seconds, moved by the test alone."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ClockedRedis:
    """A client whose scripts are those that ship, except that TIME answers with the test's clock."""

    def __init__(self, client: Any, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock

    def register_script(self, text: str) -> Callable[..., Any]:
        assert text.count("redis.call('TIME')") == 1
        script = self._client.register_script(text.replace("redis.call('TIME')", "{ARGV[#ARGV], 0}"))

        def run(keys: Sequence[str], args: Sequence[str] = ()) -> Any:
            return script(keys=keys, args=[*args, repr(self._clock())])

        return run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def rules(min_available: int = 1, max_draining: int = 1, cooldown_seconds: float = 0.0) -> Rules:
    return Rules(min_available, max_draining, cooldown_seconds)


def ask(worker: str, urgency: float = 1.5, token: str = "", **values: Any) -> Request:
    return Request(worker, token or f"token-{worker}", urgency, **values)


def over(worker: str, urgency: float = 1.5, **values: Any) -> Report:
    return report(worker, urgency=urgency, **values)


def listening(
    client: Any,
    listener: str = "one/s",
    instance: str = "first life",
    *,
    settle_seconds: float | None = None,
    heartbeat_seconds: float = HEARTBEAT,
    slot_ttl_seconds: float = TTL,
    made: type[RedisCoordinator] = RedisCoordinator,
    **values: Any,
) -> RedisCoordinator:
    return made(
        lambda: client,
        listener,
        instance,
        prefix=PREFIX,
        heartbeat_seconds=heartbeat_seconds,
        slot_ttl_seconds=slot_ttl_seconds,
        settle_seconds=settle_seconds,
        **values,
    )


class Host:
    """One listener: what it sees of its workers, and the drains in its journal."""

    def __init__(
        self, client: Any, name: str, instance: str, rule: Rules, reports: Sequence[Report], **values: Any
    ) -> None:
        self.name = name
        self.rules = rule
        self.reports = list(reports)
        self.drains: dict[str, SlotClaim] = {}
        self.answers: dict[str, RequestAnswer] = {}
        self.age: Age = no_age
        self.coordinator = listening(client, f"{name}/s", instance, **values)

    def beat(self) -> Published:
        """What its heartbeat tells."""
        claims = list(self.drains.values())
        return self.coordinator.publish(POOL, self.rules, self.reports, claims, self.answers, self.age)

    def ask(self, worker: str, **values: Any) -> Answer:
        """Ask with the token of the drain that runs, or else a new one; journal it when it is granted.

        Its urgency is what was published, unless told otherwise.
        """
        token = self.drains[worker].token if worker in self.drains else f"token-{next(_TOKENS)}"
        told = next((one.urgency for one in self.reports if one.worker == worker), None)
        asked = {"urgency": told or 1.5, "token": token, **values}
        answer = self.coordinator.acquire(POOL, self.rules, ask(worker, **asked))
        if answer.granted:
            self.drains[worker] = SlotClaim(worker, asked["token"])
        return answer

    def release(self, worker: str, *, drained: bool = True) -> None:
        self.coordinator.release(POOL, worker, self.drains.pop(worker).token, drained=drained)

    def __call__(self, worker: str) -> str:
        """The id of its worker."""
        return f"{self.name}/s/{worker}"


class Fleet:
    """Hosts that share one pool, on a clock that the test moves."""

    def __init__(self, client: Any) -> None:
        self.clock = FakeClock()
        self.redis = client
        self._clocked = ClockedRedis(client, self.clock)

    def host(
        self,
        name: str,
        *reports: Report,
        rule: Rules | None = None,
        instance: str = "first life",
        **values: Any,
    ) -> Host:
        """`values` are for the coordinator."""
        return Host(self._clocked, name, instance, rule or rules(), reports, **values)

    def passes(self, seconds: float, *living: Host) -> None:
        """Time passes, and those who live tell of themselves at every heartbeat."""
        end = self.clock.now + seconds
        while living and self.clock.now + HEARTBEAT <= end:
            self.clock.now += HEARTBEAT
            for host in living:
                host.beat()
        self.clock.now = end

    def settled(self, *hosts: Host) -> None:
        """The pool's first use is over: nothing is granted until all had time to tell of themselves."""
        for host in hosts:
            host.beat()
        self.passes(TTL, *hosts)


@contextlib.contextmanager
def redis_server(*arguments: str, **options: Any) -> Iterator[RealRedis]:
    """A server of its own in a directory of its own."""
    with short_directory() as directory:
        server = RealRedis(directory, *arguments, **options)
        try:
            yield server.start()
        finally:
            server.stop()


@contextlib.contextmanager
def admin(server: RealRedis) -> Iterator[Any]:
    """A client with all permissions, for what a test does behind the listener's back."""
    with contextlib.closing(server.client()) as client:
        yield client


def allow(client: Any, user: str, password: str, commands: Sequence[str]) -> None:
    """Make a user who may run these commands alone, on the pools' keys alone."""
    rights = [f"~{PREFIX}:*", *(f"+{command}" for command in commands)]
    client.execute_command("ACL SETUSER", user, "reset", "on", f">{password}", *rights)


@contextlib.contextmanager
def at(url: str, **options: Any) -> Iterator[RedisCoordinator]:
    """A coordinator with the client that the listener makes of this URL; nothing settles."""
    with contextlib.closing(connect(url, "memkill-test")) as client:
        yield listening(client, **{"settle_seconds": 0, **options})


def works(coordinator: RedisCoordinator, pool: str = POOL) -> bool:
    """Every call does what it is there for."""
    coordinator.publish(pool, rules(), [over("a", 2.5), over("b"), report("c")], [])
    granted = coordinator.acquire(pool, rules(), ask("a", 2.5)).granted
    coordinator.record(pool, "drain.done", {"worker": "a"})
    is_open = coordinator.request(pool, "ab" * 8, "{}", lasts_seconds=60.0, place="restart")
    held = coordinator.view(pool).holders
    coordinator.release(pool, "a", "token-a", drained=True)
    return bool(granted and is_open and held and not coordinator.view(pool).holders)


def stored(client: Any, pool: str = POOL) -> Mapping[str, str]:
    """The pool's hash as it stands in Redis."""
    fields: dict[str, str] = client.hgetall(key(pool))
    return fields


def key(pool: str = POOL, part: str = "") -> str:
    return f"{PREFIX}:{{{pool}}}{part}"


def contents(client: redis.Redis) -> object:
    """All that the pool is, but for what counts the writes, and the names of the epoch and of the reports."""
    fields = {name: json.loads(text) for name, text in stored(client).items() if not name.startswith("k:")}
    for name, values in fields.items():
        if name.startswith("l:"):
            values.pop("report", None)
    for name in ("seq", "epoch", "born_of", "swept"):
        fields["meta"].pop(name, None)
    return fields, [
        client.zrange(key(part=part), 0, -1, withscores=True) for part in (":up", ":ask", ":wait")
    ]
