"""The faults, drawn from the seed: each world has a few sorts of faults, some of them often.

Two sorts of sorts: the standing ones are asked at every request, reading or place; the sudden ones happen
at times of their own. After `clear_up` nothing goes wrong any more.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import Act, OperatorRequest, encode
from tests.simulation.process import Process
from tests.simulation.shape import BLOATED, HUGE
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

STANDING = ("losses", "slowness", "deaths", "pauses")
DRAIN_STATES = ("quieting", "draining", "stopping", "starting", "settling")
PLACES = (
    *(f"{state}.{what}" for state in DRAIN_STATES for what in ("saved", "acted")),
    *(f"{act} before" for act in ("quiet", "stop", "start")),
)
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
        self._sudden: dict[str, Callable[[Machine], None]] = {
            "partition": self._partition,
            "kill": self.kill,
            "pause": self.pause,
            "redis outage": self._redis_outage,
            "redis hangs": self._redis_hangs,
            "redis loses all": self._redis_flush,
            "redis falls back": self._redis_fall_back,
            "redis evicts": self._redis_evict,
            "redis clock": self._redis_clock,
            "wall clock": self._wall_clock,
            "wall clock in a drain": self._wall_clock_in_a_drain,
            "supervisord hangs": self._supervisord_hangs,
            "supervisord restart": self.restart_supervisord,
            "reboot": self.reboot,
            "worker dies": self._worker_dies,
            "worker hangs": self._worker_hangs,
            "worker refuses to start": self._worker_refuses,
            "worker grows": self._worker_grows,
            "burst": self._burst,
            "operator stops": self._operator_stops,
            "operator starts": self._operator_starts,
            "operator restarts": self._operator_restarts,
            "operator removes": self._operator_removes,
            "operator quiets": self._operator_quiets,
            "operator resumes": self._operator_resumes,
            "operator aims": self._operator_aims,
            "operator requests": self._operator_requests,
            "records away": self._records_go,
            "record lost": self._record_is_lost,
            "memory unknown": self._memory_goes,
            "disk full": self._disk_full,
        }
        met = set() if calm else {name for name in (*STANDING, *self._sudden) if rng.random() < SHARE}
        self._sudden[REQUESTS_OF_ALL] = self._operator_requests_of_all
        if not calm and also is not None and also.random() < SHARE:
            met.add(REQUESTS_OF_ALL)
        later: dict[str, Callable[[Machine], None]] = {
            "new process grows": self._new_process_grows,
            "worker hears late": self._worker_hears_late,
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
        process = self._any_worker(machine).process
        if process is not None and process.habits.kind == "sidekiq":
            self._unrecorded[process.nonce] = self._world.engine.now + self._rng.uniform(0.5, 30.0)

    def _memory_goes(self, machine: Machine) -> None:
        self._memory[machine.name] = self._world.engine.now + self._rng.uniform(0.5, 30.0)

    def _disk_full(self, machine: Machine) -> None:
        def free() -> None:
            machine.disk_is_full = False

        machine.disk_is_full = True
        self._world.engine.after(self._rng.uniform(0.5, 30.0), free)

    # --- sudden: Redis ------------------------------------------------------------------------------

    def _redis_outage(self, machine: Machine) -> None:
        redis = self._world.redis

        def back() -> None:
            redis.is_away = False

        redis.is_away = True
        self._world.engine.after(self._rng.uniform(1.0, 2 * self._world.shape.slot_ttl), back)

    def _redis_hangs(self, machine: Machine) -> None:
        self._world.redis.hang(self._rng.uniform(1.0, 2 * self._world.shape.slot_ttl))

    def _redis_flush(self, machine: Machine) -> None:
        self._world.redis.flush()

    def _redis_fall_back(self, machine: Machine) -> None:
        self._world.redis.keep()
        later = self._rng.choice((0.05, 1.0, 10.0, 30.0))
        self._world.engine.after(later, lambda: None if self.is_clear else self._world.redis.fall_back())

    def _redis_evict(self, machine: Machine) -> None:
        pool = self._rng.choice(self._world.shape.pools).config.name
        self._world.redis.evict(pool, self._rng.choice(("", ":up", ":ask", ":wait")))

    def _redis_clock(self, machine: Machine) -> None:
        self._world.redis.jump(self._rng.choice((-40.0, -5.0, -0.5, 0.5, 5.0, 40.0)))

    # --- sudden: the machine ------------------------------------------------------------------------

    def _wall_clock(self, machine: Machine) -> None:
        far = 30.0 if self.heals else 3600.0
        machine.set_wall(self._rng.choice((-far, -20.0, -2.0, 2.0, 20.0, far)))

    def _wall_clock_in_a_drain(self, machine: Machine) -> None:
        """supervisord moves the start of a young process when the clock is set back."""
        place = self._rng.choice(PLACES)
        self.when_at(machine, place, lambda: None if self.is_clear else self._wall_clock(machine))

    def _supervisord_hangs(self, machine: Machine) -> None:
        machine.server.hang(self._rng.choice((2.0, 6.0, 20.0, 60.0)))

    def restart_supervisord(self, machine: Machine) -> None:
        supervisord = machine.supervisord
        if supervisord.is_down or supervisord.is_shutting_down:
            return
        supervisord.shut_down()

        def down() -> None:
            supervisord.go_down()
            self._world.standings.supervisord_took(machine)
            machine.server.drop()
            machine.events.forget()
            self.kill(machine)

        self._world.engine.after(self._rng.uniform(0.5, 6.0), down)
        self._world.engine.after(self._rng.uniform(7.0, 10.0), supervisord.come_up)

    def reboot(self, machine: Machine) -> None:
        if machine.supervisord.is_down or machine.supervisord.is_shutting_down:
            return
        machine.supervisord.go_down()
        self._world.standings.supervisord_took(machine)
        machine.server.drop()
        self.kill(machine)
        machine.reboot()
        self._world.engine.after(self._rng.uniform(5.0, 15.0), machine.supervisord.come_up)

    # --- sudden: workers ----------------------------------------------------------------------------

    def _any_worker(self, machine: Machine) -> Worker:
        return self._rng.choice(list(machine.supervisord.workers.values()))

    def _worker_dies(self, machine: Machine) -> None:
        machine.supervisord.die(self._any_worker(machine), self._rng.choice((0, 1)))

    def _worker_hangs(self, machine: Machine) -> None:
        worker = self._any_worker(machine)
        if worker.process is not None and worker.process.hung_at is None:
            self._world.standings.hides(worker)
            worker.process.look(self._world.engine.now)
            worker.process.hung_at = self._world.engine.now

    def _worker_refuses(self, machine: Machine) -> None:
        worker = self._any_worker(machine)

        def mend() -> None:
            worker.fails = ""

        worker.fails = self._rng.choice(("dies", "no file"))
        self._world.engine.after(self._rng.uniform(1.0, 40.0), mend)

    def _worker_grows(self, machine: Machine) -> None:
        process = self._any_worker(machine).process
        if process is not None:
            process.memory = self._rng.choice((BLOATED, HUGE))

    def _new_process_grows(self, machine: Machine) -> None:
        """The next process that a drain starts is soon above its hard limit."""

        def grow() -> None:
            for drain in machine.disk.drains.values() if not self.is_clear else ():
                process = machine.supervisord.workers[drain.worker].process
                if drain.state is State.SETTLING and process is not None:
                    process.memory = HUGE

        def begin() -> None:
            self._world.engine.after(1.0, grow)

        self.when_at(machine, "settling.saved", begin)

    def _worker_hears_late(self, machine: Machine) -> None:
        """Its next quiet takes effect long after it was sent; its peers may be gone meanwhile."""
        for process in machine.living():
            if process.habits.kind in ("sidekiq", "celery"):
                process.hears_from = self._world.engine.now + self._rng.choice((10.0, 40.0, 90.0))

    def _burst(self, machine: Machine) -> None:
        """All machines at once."""
        for one in self._world.machines:
            for process in one.living():
                process.memory = max(process.memory, BLOATED + self._rng.randrange(50))

    # --- sudden: operators --------------------------------------------------------------------------

    def _drained_or_any(self, machine: Machine) -> Worker:
        drained = list(machine.disk.drains)
        if drained and self._rng.random() < 0.7:
            return machine.supervisord.workers[drained[0]]
        return self._any_worker(machine)

    def _operator_stops(self, machine: Machine) -> None:
        self._world.operator(machine, self._drained_or_any(machine), "stop")

    def _operator_starts(self, machine: Machine) -> None:
        self._world.operator(machine, self._any_worker(machine), "start")

    def _operator_restarts(self, machine: Machine) -> None:
        worker = self._drained_or_any(machine)
        self._world.operator(machine, worker, "stop")

        def start_when_stopped() -> None:
            if worker.state is ProcessState.STOPPING:
                self._world.engine.after(0.5, start_when_stopped)
            else:
                self._world.operator(machine, worker, "start")

        start_when_stopped()

    def _operator_removes(self, machine: Machine) -> None:
        """Remove a worker with its process: supervisord refuses to remove a running one."""
        worker = self._any_worker(machine)
        pool = [one for one in self._world.workers_of(worker.pool) if not one.removed]
        if len(pool) > 2:
            self._world.operator(machine, worker, "remove")

    def _operator_quiets(self, machine: Machine) -> None:
        worker = self._any_worker(machine)
        signal = {"sidekiq": "TSTP", "celery": "USR1"}.get(worker.habits.kind)
        booted = worker.process is not None and worker.process.is_booted(self._world.engine.now)
        if signal and booted and worker.state is ProcessState.RUNNING:
            self._world.operator(machine, worker, signal)

    def _operator_resumes(self, machine: Machine) -> None:
        """The operator resumes a quiet worker, whoever quieted it."""
        for worker in machine.supervisord.workers.values():
            is_quiet = worker.process is not None and worker.process.quiet_at is not None
            if is_quiet and worker.habits.kind == "celery" and worker.state is ProcessState.RUNNING:
                self._world.operator(machine, worker, "USR2")
                return

    def _operator_aims(self, machine: Machine) -> None:
        """The operator acts exactly when a drain reaches one of its places."""
        place = self._rng.choice(PLACES)
        act = self._rng.choice(
            (self._operator_stops, self._operator_stops, self._operator_restarts, self._operator_resumes)
        )
        self.when_at(machine, place, lambda: None if self.is_clear else act(machine))

    def _operator_requests(self, machine: Machine) -> None:
        """A person requests something; the request may come again, late, and it may get lost."""
        if machine.supervisord.is_down or self._rng.random() < 0.1:
            return
        _, request = self._draw_request(machine)
        machine.mail.append(encode(request))
        if self._rng.random() < 0.3:
            again, boot = self._rng.uniform(0.1, 60.0), machine.boot

            def repeat() -> None:
                if machine.boot == boot:  # No event outlives its supervisord.
                    machine.mail.append(encode(request))

            self._world.engine.after(again, repeat)

    def _draw_request(self, machine: Machine) -> tuple[str, OperatorRequest]:
        """A request, and a pool that it is for."""
        act = self._rng.choice((Act.RESTART, Act.RESTART, Act.RESTART, Act.CANCEL, Act.PAUSE, Act.UNPAUSE))
        worker, pool = self._any_worker(machine).name, self._rng.choice(self._world.shape.pools).config.name
        names = (pool,) if act in (Act.PAUSE, Act.UNPAUSE) else (self._rng.choice((pool, worker, "*")),)
        lasts = self._rng.choice((5.0, 30.0, 300.0))
        identity = f"{self._rng.getrandbits(64):016x}"
        return pool, OperatorRequest(identity, act, names, lasts, except_hard=self._rng.random() < 0.5)

    def _operator_requests_of_all(self, machine: Machine) -> None:
        """A person requests something of all hosts; the request may come again, also much later."""
        world = self._world
        pool, request = self._draw_request(machine)
        if not world.shape.shares:
            return
        world.requests.make(pool, request)
        if self._rng.random() < 0.3:
            again = self._rng.uniform(0.1, 60.0)
            world.engine.after(again, lambda: None if self.is_clear else world.requests.make(pool, request))
