"""The requests of people to all hosts, and what every host makes of them, judged by the true times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.rules.requests import Act, OperatorRequest, RunningProcess, decode, encode
from tests.simulation.servers import PREFIX, pool_of

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

SLACK_SECONDS = 2.0
"""supervisord and the listener count a process's age in whole seconds."""


@dataclass(frozen=True)
class Made:
    """A request that reached Redis, or was meant to."""

    request: OperatorRequest
    pool: str
    at: float


class FleetRequests:
    """All requests to the hosts of one world."""

    def __init__(self, world: World, heartbeat: float, slot_ttl: float) -> None:
        self._world = world
        self.made: dict[str, Made] = {}
        self._offered: dict[tuple[str, str], list[str]] = {}
        """The ids that Redis offered a machine last, by machine and pool; of its present life."""
        self._answer_lasted: dict[tuple[str, str], float] = {}
        """How long the answer with this request took to its machine."""
        self._wanted: dict[tuple[str, int, str, str], RunningProcess] = {}
        """The process that a machine wanted to replace first, by machine, its boot, request and worker."""
        self._coordinator = RedisCoordinator(
            lambda: world.redis.lua,
            "",
            "",
            prefix=PREFIX,
            heartbeat_seconds=heartbeat,
            slot_ttl_seconds=slot_ttl,
        )

    def make(self, pool: str, request: OperatorRequest, *, place: str = "") -> None:
        """A person makes this request, or makes it once more."""
        redis = self._world.redis
        if redis.is_away or redis.hangs():
            return
        if all(offer.id != request.id for offer in self._coordinator.view(pool).requests):
            self.made[request.id] = Made(request, pool, self._world.engine.now)
        is_pause = request.act in (Act.PAUSE, Act.UNPAUSE)
        place = place or ("pause" if is_pause else f"{request.act.value} {request.names}")
        self._coordinator.request(
            pool, request.id, encode(request), lasts_seconds=request.lasts_seconds, place=place
        )
        self._world.trace.count(f"fleet: {request.act.value}")
        self._world.trace.say(
            "", f"a person requests {request.act.value} of {pool} for all hosts: {request.id}"
        )

    def begins_life(self, machine: Machine) -> None:
        for key in [key for key in self._offered if key[0] == machine.name]:
            del self._offered[key]

    def answered(
        self, machine: Machine, keys: Sequence[str], args: Sequence[str], answer: Any, executed_at: float
    ) -> None:
        """A machine got the answer to a report."""
        if not args or '"holdings":' not in args[0]:
            return
        found = json.loads(answer)
        if "again" in found:
            return
        offers = [one[0] for one in found.get("offers", [])]
        self._offered[machine.name, pool_of(keys)] = offers
        for identity in offers:
            self._answer_lasted[machine.name, identity] = self._world.engine.now - executed_at

    # --- judging --------------------------------------------------------------------------------------

    def journalled(self, machine: Machine, contents: Contents) -> None:
        """None is of a process that began after it, and a worker is replaced once by it at most."""
        for identity, taken in contents.requests.items():
            for worker, wanted in {**taken.workers, **taken.withdrawn}.items():
                key = (machine.name, machine.boot, identity, worker)
                if self._wanted.setdefault(key, wanted) != wanted:
                    self._broken("request", machine, f"{worker} is to be replaced twice by {identity}")
                if identity in self.made and worker in taken.workers:
                    self._judge_age(machine, identity, worker, wanted)

    def _judge_age(self, machine: Machine, identity: str, worker: str, wanted: RunningProcess) -> None:
        known, made = machine.supervisord.workers.get(worker), self.made[identity]
        process = known.process if known is not None else None
        if known is None or process is None or (process.pid, known.start) != (wanted.pid, wanted.start):
            return
        if self._world.redis.went_back_at >= made.at:
            return  # By its clock the request is younger than it is.
        excuse = SLACK_SECONDS + self._answer_lasted.get((machine.name, identity), 0.0)
        if process.created > made.at + excuse:
            text = f"{worker} began {process.created - made.at:.1f} s after {identity}, and is to go"
            self._broken("request", machine, text)

    def begins(self, machine: Machine, contents: Contents, pool: str) -> None:
        """A drain begins: no pause that the machine heard of waits for the journal."""
        for identity in self._offered.get((machine.name, pool), []):
            is_taken = identity in contents.requests or identity in contents.ended_requests
            made = self.made.get(identity)
            if made is not None and made.request.act is Act.PAUSE and not is_taken:
                self._broken("pause", machine, f"a drain begins in {pool}, and {identity} pauses it")

    def _broken(self, promise: str, machine: Machine, text: str) -> None:
        self._world.promises.broken(promise, machine, text)

    def not_taken(self) -> Iterator[str]:
        """The open requests that a working machine does not know, though Redis works."""
        if not self._world.shape.shares:
            return
        for pool in self._world.shape.pools:
            for offer in self._coordinator.view(pool.config.name).requests:
                for machine in self._world.machines:
                    known = {*machine.disk.requests, *machine.disk.ended_requests}
                    if not machine.is_gone and not machine.is_unsaved and offer.id not in known:
                        act = decode(offer.text).act.value
                        yield f"request: {machine.name} has not taken {act} {offer.id}"
