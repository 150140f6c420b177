"""The servers that may lose, delay or refuse a request, and the one Redis that all hosts share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as TooLate

from tests.simulation.leases import Heard, Lease, Leases, worker_id
from tests.simulation.lua_redis import LuaRedis

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

REDIS_TIMEOUT_SECONDS, REDIS_TRIES = 2.0, 2
PREFIX = "m"
REDIS_EPOCH = 1_700_000_500.0


@dataclass(frozen=True)
class Arrival:
    """Who sent a request, and what it is based on: it may arrive long after it was sent."""

    machine: str
    looked_at: float
    """When its supervisord had last reported all workers, at the time of the request."""
    wrote_at: float
    """When the last write that this listener knows of reached Redis."""


def pool_of(keys: Sequence[str]) -> str:
    """The name of the pool that has these keys."""
    return keys[0].partition("{")[2].rstrip("}")


def _has_written(request: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """The call changed the data: it neither looked only, nor was refused for its listener's name."""
    is_known = "again" not in found and not found.get("taken", False) and "taken_by" not in found
    return is_known and not request.get("dry", False)


class NotSent(Exception):
    """The request certainly did not arrive."""


class NoReply(Exception):
    """The request may have had its effect."""


class Server:
    """A server that may be away or hang: requests that arrive while it hangs wait until it is over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_away = False
        self.hangs_until = 0.0
        self._waiting: list[Callable[[], None]] = []

    def hang(self, seconds: float) -> None:
        until = self._world.engine.now + seconds
        self.hangs_until = max(self.hangs_until, until)
        self._world.engine.at(until, self._wake)

    def hangs(self) -> bool:
        return self._world.engine.now < self.hangs_until

    def go_on(self) -> None:
        """Stop hanging."""
        self.hangs_until = min(self.hangs_until, self._world.engine.now)
        self._wake()

    def put(self, effect: Callable[[], None]) -> None:
        """Do this once it does not hang any more."""
        self._waiting.append(effect)

    def drop(self) -> None:
        """Forget the waiting requests: a new program takes its place."""
        self._waiting.clear()
        self.hangs_until = 0.0

    def _wake(self) -> None:
        if not self.hangs():
            waiting, self._waiting = self._waiting, []
            for effect in waiting:
                effect()


class SharedRedis(Server):
    """The Redis through which the listeners coordinate; its data may be lost, its clock may jump."""

    def __init__(self, world: World, ttl: float) -> None:
        super().__init__(world)
        self.lua = LuaRedis(self.clock)
        self.leases = Leases(ttl)
        self.ahead = 0.0
        """How far its clock is ahead of the world's."""
        self.went_back_at = -1e9
        """When its clock was last set back."""
        self._kept: tuple[Any, dict[tuple[str, str], Lease], float] | None = None
        self._fell_back: tuple[float, float] | None = None
        """When it fell back last, and from when its data was since then; by the world's clock."""

    def clock(self) -> float:
        return REDIS_EPOCH + self._world.engine.now + self.ahead

    def execute(self, arrival: Arrival, script: Callable[..., Any], keys: Sequence[str], args: Any) -> Any:
        """Run one script that arrived; returns its answer."""
        answer = script(keys, args)
        if args:
            request, found = json.loads(args[0]), json.loads(answer)
            self._note(arrival, pool_of(keys), request, found)
        return answer

    def _note(
        self, arrival: Arrival, pool: str, request: Mapping[str, Any], found: Mapping[str, Any]
    ) -> None:
        now = self.clock()
        if not _has_written(request, found):
            return
        fell_back = self._fell_back
        if fell_back is not None and fell_back[1] < arrival.wrote_at < fell_back[0]:
            self.leases.loss_is_noticed(pool)
        if "workers" in request:
            self.leases.published(pool, request, now)
            heard = Heard(self._world.engine.now, arrival.looked_at)
            self.leases.heard[pool, arrival.machine] = heard
        elif "urgency" in request:
            if "refused" not in found:
                self._waits_for_cooldown(arrival, pool, request, now)
                self._heeds_lost_slots(arrival, pool, request, now)
                self.leases.acquired(pool, request, now, self._world.engine.now)
        elif "drained" in request:
            self.leases.released(pool, request, now)

    def _waits_for_cooldown(
        self, arrival: Arrival, pool: str, request: Mapping[str, Any], now: float
    ) -> None:
        """Check that a slot was not granted during the cooldown of the pool."""
        before = self.leases.leases.get((pool, worker_id(request["id"])))
        is_new = before is None or before.token != request["token"]
        machine = self._world.machine(arrival.machine)
        is_early = now - self.leases.ended.get(pool, -1e12) < machine.pools[pool].cooldown_seconds
        if is_new and is_early and not request["hard"] and not request["already_out"]:
            text = f"{request['id']} gets a slot within the cooldown of {pool}"
            self._world.promises.broken("cooldown", machine, text)

    def _heeds_lost_slots(self, arrival: Arrival, pool: str, request: Mapping[str, Any], now: float) -> None:
        """Check S1 where Redis lost slots: a live listener has time to report before another one gets a slot.

        A listener lives if it renewed its slot within 3 heartbeats.
        """
        before = self.leases.leases.get((pool, worker_id(request["id"])))
        if request["hard"] or request["already_out"] or (before and before.token == request["token"]):
            return
        machine = self._world.machine(arrival.machine)
        worker, live_seconds = worker_id(request["id"]), 3 * self._world.shape.heartbeat
        lost = self.leases.lost_by_living(pool, worker, now, live_seconds)
        others = [name for name, _ in self.leases.in_force(pool, now) if name != worker]
        if lost and len(lost) + len(others) >= machine.pools[pool].max_draining:
            text = f"{request['id']} gets a slot of {pool} while the lost slot of {', '.join(lost)} is in use"
            self._world.promises.broken("S1", machine, text)

    # --- what may befall it -----------------------------------------------------------------------

    def keep(self) -> None:
        """Remember the stored data, to fall back on."""
        self._kept = (self.lua.dump(), dict(self.leases.leases), self._world.engine.now)

    def fall_back(self) -> None:
        """A replica that lacked the last writes was promoted, or an older dump was loaded."""
        if self._kept is not None:
            data, leases, kept_at = self._kept
            self._fell_back = (self._world.engine.now, kept_at)
            self.lua.load(data)
            self.leases.fall_back(leases, self.clock())

    def flush(self) -> None:
        self.lua.flushall()
        self.leases.lose([pool.config.name for pool in self._world.shape.pools], self.clock())

    def evict(self, pool: str, part: str) -> None:
        """Throw one key of a pool away, as allkeys-* does."""
        self.lua.delete(f"{PREFIX}:{{{pool}}}{part}")
        if not part:
            self.leases.lose([pool], self.clock())

    def jump(self, seconds: float) -> None:
        self.ahead += seconds
        self.leases.clock_jumped()
        if seconds < 0:
            self.went_back_at = self._world.engine.now
            self.leases.clock_went_back(self.clock())

    def slots(self) -> list[str]:
        """The workers that hold a slot, by the stored data."""
        found, now = [], self.clock() * 1000
        for key, fields in self.lua.stored().items():
            for name, text in fields.items():
                if isinstance(text, str) and name.startswith("s:") and json.loads(text)["expires"] > now:
                    found.append(f"{key} {name[2:]}")
        return found


class RedisClient:
    """The client of one machine: each attempt may be lost on its way there or back."""

    def __init__(self, machine: Machine, redis: SharedRedis) -> None:
        self._machine = machine
        self._redis = redis
        self._wrote_at: dict[str, float] = {}
        """By pool; see `Arrival`."""

    def register_script(self, text: str) -> Callable[..., Any]:
        script = self._redis.lua.register_script(text)

        def run(keys: Sequence[str], args: Sequence[str] = ()) -> Any:
            machine = self._machine
            machine.asks_for_slot(args)
            machine.tells(keys, args)
            pool = pool_of(keys)
            arrival = Arrival(machine.name, machine.looked_at, self._wrote_at.get(pool, -1e9))
            executed_at: list[float] = []

            def execute() -> Any:
                executed_at.append(machine.engine.now)
                return self._redis.execute(arrival, script, keys, args)

            answer = self._ask(execute)
            machine.is_answered(args, answer)
            if args and _has_written(json.loads(args[0]), json.loads(answer)):
                self._wrote_at[pool] = executed_at[-1]
            machine.world.requests.answered(machine, keys, args, answer, executed_at[-1])
            return answer

        return run

    def xadd(self, key: str, entry: Mapping[str, str], *, maxlen: int, approximate: bool) -> str:
        self._ask(lambda: None)
        return "1-1"

    def _ask(self, effect: Callable[[], Any]) -> Any:
        for tried in range(1, REDIS_TRIES + 1):
            try:
                return self._machine.exchange("redis", self._redis, effect, REDIS_TIMEOUT_SECONDS)
            except NotSent:
                if tried == REDIS_TRIES:
                    raise NoConnection("connection refused") from None
            except NoReply:
                if tried == REDIS_TRIES:
                    raise TooLate("timeout reading from socket") from None
        raise AssertionError("the last try returns or raises")
