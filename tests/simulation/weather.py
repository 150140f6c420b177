"""The faults, drawn from the seed: each world has a few sorts of faults, some of them often.

Two sorts of sorts: the standing ones are asked at every request, reading or place; the sudden ones happen
at times of their own, to servers, to workers, or by operators. After `clear_up` nothing goes wrong any more.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.operators import Operators
from tests.simulation.process import Process
from tests.simulation.server_faults import ServerFaults
from tests.simulation.worker_faults import WorkerFaults

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

STANDING = ("losses", "slowness", "deaths", "pauses")
REQUESTS_OF_ALL = "operator requests of all"
SHARE = 0.3
"""The chance of each sort of fault to occur in one world."""


class Weather:
    """The faults of one world."""

    def __init__(
        self, world: World, rng: random.Random, also: random.Random | None = None, *, calm: bool = False
    ) -> None:
        """`calm`: without faults other than those of the test.

        `also` draws whether people request something of all hosts: each seed stays the history that it was
        otherwise.
        """
        self._world = world
        self._rng = rng
        self.servers = ServerFaults(self, world, rng)
        self._workers = WorkerFaults(self, world, rng)
        operators = Operators(self, world, rng, self._workers)
        self._sudden: dict[str, Callable[[Machine], None]] = {
            "partition": self._partition,
            "kill": self.kill,
            "pause": self.pause,
            "redis outage": self.servers.redis_outage,
            "redis hangs": self.servers.redis_hangs,
            "redis loses all": self.servers.redis_flush,
            "redis falls back": self.servers.redis_fall_back,
            "redis evicts": self.servers.redis_evict,
            "redis clock": self.servers.redis_clock,
            "wall clock": self.servers.wall_clock,
            "wall clock in a drain": self.servers.wall_clock_in_a_drain,
            "supervisord hangs": self.servers.supervisord_hangs,
            "supervisord restart": self.servers.restart_supervisord,
            "reboot": self.servers.reboot,
            "worker dies": self._workers.worker_dies,
            "worker hangs": self._workers.worker_hangs,
            "worker refuses to start": self._workers.worker_refuses,
            "worker grows": self._workers.worker_grows,
            "burst": self._workers.burst,
            "operator stops": operators.stops,
            "operator starts": operators.starts,
            "operator restarts": operators.restarts,
            "operator removes": operators.removes,
            "operator quiets": operators.quiets,
            "operator resumes": operators.resumes,
            "operator aims": operators.aims,
            "operator requests": operators.requests,
            "records away": self._records_go,
            "record lost": self._record_is_lost,
            "memory unknown": self._memory_goes,
            "disk full": self._disk_full,
        }
        met = set() if calm else {name for name in (*STANDING, *self._sudden) if rng.random() < SHARE}
        self._sudden[REQUESTS_OF_ALL] = operators.requests_of_all
        if not calm and also is not None and also.random() < SHARE:
            met.add(REQUESTS_OF_ALL)
        later: dict[str, Callable[[Machine], None]] = {
            "new process grows": self._workers.new_process_grows,
            "worker hears late": self._workers.worker_hears_late,
        }
        self._sudden |= later
        for name in later if not calm else ():
            if random.Random(f"{world.seed} {name}").random() < SHARE:
                met.add(name)
        self.sorts = sorted(met)
        self._loss = rng.choice((0.005, 0.02, 0.1)) if "losses" in met else 0.0
        self._slow = rng.choice((0.01, 0.1)) if "slowness" in met else 0.0
        self._deaths = rng.choice((0.01, 0.03, 0.08)) if "deaths" in met else 0.0
        self._pauses = rng.choice((0.002, 0.01)) if "pauses" in met else 0.0
        self._cut: dict[str, float] = {}
        self._records: dict[str, float] = {}
        self._unrecorded: dict[str, float] = {}
        """Keyed by the nonce of the process."""
        self._memory: dict[str, float] = {}
        self._pause_next: dict[str, float] = {}
        self._until_death = self._draw_death()
        self._at: dict[tuple[str, str], Callable[[], None]] = {}
        self._rests: dict[str, float] = {}
        self._deaf = random.Random(f"{world.seed} deaf")
        self.deafens = not calm and self._deaf.random() < SHARE
        """Listeners measure how long they hear nothing, and some are sent no events any more."""
        self._event_faults = 0.0 if calm else random.Random(f"{world.seed} events").choice((0.0, 0.03, 0.3))
        self.is_clear = False
        self.heals = False
        """Faults that cannot end soon, such as a clock that is set back by an hour, do not occur."""

    @property
    def sudden_sorts(self) -> tuple[str, ...]:
        """All faults that occur at random times."""
        return tuple(self._sudden)

    def when_at(self, machine: Machine, place: str, happen: Callable[[], None]) -> None:
        """Do this once, when this machine's listener next reaches the place."""
        self._at[machine.name, place] = happen

    def dies_at(self, machine: Machine, place: str, away: float) -> None:
        """Its listener is killed when it next reaches the place, and starts again `away` seconds later."""

        def die() -> None:
            self.rests(machine, away)
            raise machine.die()

        self.when_at(machine, place, die)

    def rests(self, machine: Machine, seconds: float) -> None:
        """Its listener starts again this late after its next end."""
        self._rests[machine.name] = seconds

    def schedule(self, begin: float, end: float) -> None:
        """Spread the sudden faults over this time."""
        for name in self.sorts:
            if name in self._sudden:
                for _ in range(self._rng.choice((1, 1, 2, 4))):
                    self._world.engine.at(self._rng.uniform(begin, end), self._happening(name))

        for _ in range(self._deaf.choice((1, 1, 2)) if self.deafens else 0):
            self._world.engine.at(self._deaf.uniform(begin, end), self._deafen)

    def _deafen(self) -> None:
        if not self.is_clear:
            machine = self._deaf.choice(self._world.machines)
            self._say(machine, "listener hears nothing")
            machine.ears.deafen(self._deaf.choice((1, 1, 1, 2)))

    def _happening(self, name: str) -> Callable[[], None]:
        def happen() -> None:
            if not self.is_clear:
                machine = self._rng.choice(self._world.machines)
                self._say(machine, name)
                self._sudden[name](machine)

        return happen

    def _say(self, machine: Machine, name: str) -> None:
        self._world.trace.count(name)
        self._world.trace.say(machine.name, f"fault: {name}")

    def clear_up(self) -> None:
        """From now on, no fault occurs."""
        self.is_clear = True
        self._loss = self._slow = self._deaths = self._pauses = 0.0
        for away in (self._cut, self._records, self._unrecorded, self._memory, self._pause_next):
            away.clear()
        self._until_death = -1
        self._world.redis.is_away = False
        self._world.redis.go_on()
        for machine in self._world.machines:
            machine.ears.heal()
            machine.disk_is_full = False
            machine.server.go_on()
            if machine.backs_off:
                self._world.engine.wake(machine.actor)

    # --- standing ---------------------------------------------------------------------------------

    def fate(self, machine: Machine, what: str) -> str:
        """The fate of a request: ``fine``, ``slow``, ``refused``, ``lost``, or ``mute`` (no reply)."""
        if self._loss and self._rng.random() < self._loss:
            self._world.trace.count("losses")
            return self._rng.choice(("refused", "lost", "mute", "mute"))
        if self._slow and self._rng.random() < self._slow:
            return "slow"
        return "fine"

    def event_faults(self) -> float:
        """The share of supervisord's events that are lost, late, or come again."""
        return 0.0 if self.is_clear else self._event_faults

    def latency(self, fate: str) -> float:
        if fate == "slow":
            return self._rng.uniform(0.1, 1.9)
        return self._world.shape.latency * self._rng.random()

    def _draw_death(self) -> int:
        """After how many places a listener is killed."""
        if not self._deaths:
            return -1
        return 1 + int(math.log(1 - self._rng.random()) / math.log(1 - self._deaths))

    def kills(self, machine: Machine, place: str) -> bool:
        if self._at:
            self._at.pop((machine.name, place), lambda: None)()
        if self._until_death < 0 or place.startswith("supervisord"):
            return False
        if place.startswith("redis") and self._rng.random() < 0.9:
            return False  # There are so many of them that there would be few deaths elsewhere.
        self._until_death -= 1
        if self._until_death > 0:
            return False
        self._until_death = self._draw_death()
        self._world.trace.count(f"death: {place}")
        return True

    def pause_seconds(self, machine: Machine) -> float:
        """For how many seconds its listener is paused now; mostly 0."""
        if machine.name in self._pause_next:
            return self._pause_next.pop(machine.name) or self._draw_pause()
        if not self._pauses or self._rng.random() >= self._pauses:
            return 0.0
        self._world.trace.count("pauses")
        return self._draw_pause()

    def _draw_pause(self) -> float:
        return self._rng.choice((0.3, 1.0, 2.5)) * self._world.shape.slot_ttl

    def restart_seconds(self, machine: Machine) -> float:
        if machine.name in self._rests:
            return self._rests.pop(machine.name)
        return 0.5 if self.is_clear or not self.sorts else self._rng.choice((0.2, 1.0, 1.0, 8.0))

    def is_cut(self, machine: Machine, what: str) -> bool:
        return what == "redis" and self._cut.get(machine.name, 0.0) > self._world.engine.now

    def records_away(self, machine: Machine) -> bool:
        return self._records.get(machine.name, 0.0) > self._world.engine.now

    def record_is_lost(self, process: Process) -> bool:
        return self._unrecorded.get(process.nonce, 0.0) > self._world.engine.now

    def memory_unknown(self, machine: Machine) -> bool:
        return self._memory.get(machine.name, 0.0) > self._world.engine.now

    # --- sudden: the ways between -------------------------------------------------------------------

    def cut(self, machine: Machine, seconds: float) -> None:
        """The network between it and the shared Redis is cut."""
        self._cut[machine.name] = self._world.engine.now + seconds

    def _partition(self, machine: Machine) -> None:
        self.cut(machine, self._rng.uniform(0.5, 3 * self._world.shape.slot_ttl))

    def kill(self, machine: Machine) -> None:
        self._world.engine.doom(machine.actor, machine.die())

    def pause(self, machine: Machine, seconds: float = 0.0) -> None:
        """Its listener is paused at its next answer; 0: for a random time."""
        self._pause_next[machine.name] = seconds

    def records_go(self, machine: Machine, seconds: float) -> None:
        """The records of its workers cannot be read."""
        self._records[machine.name] = self._world.engine.now + seconds

    def _records_go(self, machine: Machine) -> None:
        self.records_go(machine, self._rng.uniform(0.5, 30.0))

    def _record_is_lost(self, machine: Machine) -> None:
        """The record of one Sidekiq is deleted, and written again after a while."""
        process = self._workers.any_worker(machine).process
        if process is not None and process.habits.kind == "sidekiq":
            self._unrecorded[process.nonce] = self._world.engine.now + self._rng.uniform(0.5, 30.0)

    def _memory_goes(self, machine: Machine) -> None:
        self._memory[machine.name] = self._world.engine.now + self._rng.uniform(0.5, 30.0)

    def _disk_full(self, machine: Machine) -> None:
        def free() -> None:
            machine.disk_is_full = False

        machine.disk_is_full = True
        self._world.engine.after(self._rng.uniform(0.5, 30.0), free)
