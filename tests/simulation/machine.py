"""One machine: its clocks, its supervisord, its processes, and how its listener reaches servers."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as NoConnection

from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.world.supervisord import NoAnswer, Unreachable
from tests.simulation.ears import Ears
from tests.simulation.engine import Actor, Engine
from tests.simulation.events import ProcessEvents
from tests.simulation.evidence import Commands
from tests.simulation.process import RECORD_LIVES_SECONDS, Process
from tests.simulation.servers import NoReply, NotSent, Server, pool_of
from tests.simulation.supervisord import SimSupervisord, Worker

if TYPE_CHECKING:
    from tests.simulation.shape import Shape
    from tests.simulation.world import World

EPOCH = 1_700_000_000.0
SUPERVISORD_TIMEOUT_SECONDS = 5.0


class Killed(BaseException):
    """The listener is dead: raised where a SIGKILL would strike."""


class Machine:
    """One host: its clocks, its supervisord, its workers, and what the listener of this life knows."""

    def __init__(self, world: World, name: str, shape: Shape) -> None:
        self.world = world
        self.name = name
        self.engine: Engine = world.engine
        self.actor = Actor(name)
        self.supervisord = SimSupervisord(self.engine, self.wall, world)
        self.server = Server(world)
        self.shape = shape
        self.events = ProcessEvents(
            self.engine,
            random.Random(f"{world.seed} {name} events"),
            fault_share=world.weather.event_faults,
            count=world.trace.count,
            is_subscribed=name not in shape.without_events,
            wake=self._wake_for_event,
        )
        self.ears = Ears(self)
        self._waits_for_events = False
        self.commands = Commands(self, random.Random(f"{world.seed} {name} evidence"))
        self.mail: deque[str] = deque()
        """Requests that supervisord has for the listener."""
        self.pools = {pool.config.name: pool.config for pool in shape.pools}
        self.disk = Contents()
        """The contents of the journal on disk."""
        self.boot = 0
        self.lives = 0
        self.is_gone = False
        """It never comes back."""
        self.disk_is_full = False
        self.is_unsaved = False
        """The last save failed, and the listener has saved nothing since."""
        self.backs_off = False
        self.times_reported = 0
        """How often supervisord reported all its workers."""
        self.looked_at = 0.0
        self.lives_since = 0.0
        """When the present life of its listener began."""
        """The last look knew all that happened at supervisord until then."""
        self.has_read_log = True
        """The listener's last question for supervisord's log was answered."""
        self.served: dict[str, float] = {}
        """When supervisord last reported each worker."""
        self.unanswered: dict[str, float] = {}
        """When the listener sent each stop without an answer; until it sees that worker running."""
        self.measured: dict[int, tuple[float, int]] = {}
        """When the memory of each pid was last measured, and its bytes."""
        self.hides_measure = shape.machines.index(name) % 2 == 1
        """Every second machine is a container without SYS_PTRACE: memory is known only between two sizes."""
        self.readable: dict[str, bool] = {}
        """Whether the last reading of each worker succeeded."""
        self.read_at: dict[str, float] = {}
        """When each worker that answers for itself last answered."""
        self.seen_back_at: dict[str, float] = {}
        """When each worker was first seen to be resumed."""
        self.answers: dict[str, bool | None] = {}
        """The answer that the listener got for each token; None: it waits, or will never know."""
        self._booted_at = -500.0
        self._ahead = [(-1e9, 0.0)]
        self._pids = 100 * (1 + shape.machines.index(name))
        self._dead: list[Process] = []
        self.free_read = 0
        """The bytes that were left when they were read last."""
        self.others = 0
        """Bytes that other processes use."""
        self._children: dict[int, tuple[Process, float]] = {}
        self._pausable = True
        self._fates: list[str] = []

    def shown_memory(self, process: Process) -> int:
        """The most that the memory of this process can be, as this machine shows it."""
        return process.memory * 5 // 4 if self.hides_measure else process.memory

    def limit_bytes(self) -> int:
        return self.shape.memory

    def available_bytes(self) -> int:
        return self.shape.memory - self.others - sum(one.memory for one in self.living())

    def free_bytes(self) -> int:
        self.free_read = max(0, self.available_bytes())
        return self.free_read

    def stalled_percent(self) -> float:
        return 0.0

    # --- clocks -----------------------------------------------------------------------------------

    def clock(self) -> float:
        """The boot clock."""
        return self.clock_at(self.engine.now)

    def clock_at(self, when: float) -> float:
        """The time of the boot clock at that moment."""
        return when - self._booted_at

    def wall(self) -> float:
        return self.wall_at(self.engine.now)

    def wall_at(self, when: float) -> float:
        """The time of the wall clock at that moment."""
        return EPOCH + when + next(ahead for since, ahead in reversed(self._ahead) if since <= when)

    def latest_wall_since(self, when: float) -> float:
        """The latest time that the wall clock has shown since that moment: it may have been set back."""
        set_since = [
            EPOCH + at + ahead_before
            for (_, ahead_before), (at, _) in itertools.pairwise(self._ahead)
            if at > when
        ]
        return max([self.wall(), *set_since])

    def set_wall(self, seconds: float) -> None:
        """Put the wall clock forward, or back; supervisord takes notice (process.py)."""
        self._ahead.append((self.engine.now, self._ahead[-1][1] + seconds))
        self.world.standings.clock_is_set(self)
        now = int(self.wall())
        for worker in self.supervisord.workers.values():
            young = worker.start < now + worker.start_secs and worker.start > now - worker.start_secs
            if worker.state is ProcessState.STARTING and now < worker.start:
                worker.start = now
            elif worker.state is ProcessState.RUNNING and young:
                worker.start = now - worker.start_secs

    @property
    def wall_set_at(self) -> float:
        return self._ahead[-1][0]

    # --- processes --------------------------------------------------------------------------------

    def spawn(self, worker: Worker) -> Process:
        rng, now = self.world.rng, self.engine.now
        dead = [one.pid for one in self._dead[-1:] if self.process(one.pid) is None and rng.random() < 0.1]
        self._pids += 2
        return Process(
            pid=dead[0] if dead else self._pids,
            created=now,
            habits=worker.habits,
            rng=rng,
            memory=self.world.fresh_memory,
            nonce=f"{rng.getrandbits(48):012x}",
            child=self._pids + 1 if worker.habits.orphan_seconds else 0,
        )

    def bury(self, process: Process) -> None:
        self._dead.append(process)
        if process.child:
            until = self.engine.now + self.world.rng.uniform(0, process.habits.orphan_seconds)
            self._children[process.child] = (process, until)

    def process(self, pid: int) -> Process | None:
        """The living process with this pid."""
        for worker in self.supervisord.workers.values():
            if worker.process is not None and worker.process.pid == pid:
                return worker.process
        return None

    def living(self) -> Iterator[Process]:
        for worker in self.supervisord.workers.values():
            if worker.process is not None:
                yield worker.process

    def orphan(self, pid: int) -> Process | None:
        """The dead parent of a child that lives on."""
        parent, until = self._children.get(pid, (None, 0.0))
        return parent if until > self.engine.now else None

    def recorded(self) -> list[Process]:
        """Those of which a record stands in the workers' own Redis; the dead for a while as well."""
        now = self.engine.now
        self._dead = [one for one in self._dead if now - (one.ended_at or now) < RECORD_LIVES_SECONDS]
        found = []
        for process in (*self.living(), *self._dead):
            last = self.last_beat(process)
            if self.world.weather.record_is_lost(process):
                continue
            if process.habits.kind == "sidekiq" and last is not None and now - last < RECORD_LIVES_SECONDS:
                found.append(process)
        return found

    def last_beat(self, process: Process) -> float | None:
        """When its record was last written; None before the first time."""
        ends = (process.frozen_at, process.held_at, process.hung_at, process.ended_at, self.engine.now)
        until = min(end for end in ends if end is not None)
        if until < process.boots_at:
            return None
        beats = int((until - process.boots_at) / process.habits.beat)
        return process.boots_at + beats * process.habits.beat

    # --- asking -----------------------------------------------------------------------------------

    def loses_next(self, *fates: str) -> None:
        """What becomes of its next requests; see Weather.fate."""
        self._fates += fates

    def breathe(self, seconds: float) -> None:
        self.engine.sleep(seconds)

    @contextlib.contextmanager
    def waiting_for_events(self) -> Iterator[None]:
        """The listener waits for its next event, and wakes up when one comes."""
        self._waits_for_events = True
        try:
            yield
        finally:
            self._waits_for_events = False

    def _wake_for_event(self) -> None:
        if self._waits_for_events:
            self.engine.wake(self.actor)

    def point(self, place: str) -> None:
        """A place where a death would matter."""
        if self.world.weather.kills(self, place):
            self.world.trace.say(self.name, f"the listener is killed at {place}")
            raise self.die()

    def die(self) -> Killed:
        killed = Killed()
        self.actor.doom = killed
        return killed

    def _pause(self, seconds: float) -> None:
        self.world.trace.say(self.name, "the listener is paused")
        self.backs_off = True
        self.breathe(seconds)
        self.backs_off = False
        self.world.trace.say(self.name, "the listener goes on")

    @contextlib.contextmanager
    def unpaused(self) -> Iterator[None]:
        self._pausable = False
        try:
            yield
        finally:
            self._pausable = True

    def exchange(self, what: str, server: Server, effect: Callable[[], Any], timeout: float) -> Any:
        """Ask a server: its answer or its error. Raises NotSent or NoReply."""
        world, weather = self.world, self.world.weather
        self.point(f"{what} before")
        fate = self._fates.pop(0) if self._fates else weather.fate(self, what)
        self.breathe(weather.latency(fate))
        if server.is_away or fate == "refused":
            raise NotSent
        if fate == "lost" or weather.is_cut(self, what):
            self.breathe(timeout)
            raise NoReply
        replies: list[tuple[Any, Exception | None]] = []

        def arrive() -> None:
            try:
                replies.append((effect(), None))
            except Exception as error:  # noqa: BLE001 - it is the answer
                replies.append((None, error))

        if server.hangs():
            server.put(arrive)
            self.breathe(min(timeout, server.hangs_until - self.engine.now))
        else:
            arrive()
        if fate == "mute" or not replies:
            if fate == "mute":
                world.trace.say(self.name, f"the reply of {what} is lost")
            self.breathe(timeout)
            raise NoReply
        self.breathe(weather.latency(fate))
        if self._pausable and (pause := weather.pause_seconds(self)):
            self._pause(pause)
        self.point(f"{what} after")
        value, error = replies[0]
        if error is not None:
            raise error
        return value

    def ask_supervisord(self, effect: Callable[[], Any]) -> Any:
        self.server.is_away = self.supervisord.is_down
        try:
            return self.exchange("supervisord", self.server, effect, SUPERVISORD_TIMEOUT_SECONDS)
        except NotSent:
            raise Unreachable("connection refused") from None
        except NoReply:
            raise NoAnswer("no answer within 5 s") from None

    def ask_records(self, pool: str) -> None:
        """One round trip to the Redis of the workers' own records. Raises redis-py's errors."""
        self.breathe(self.shape.latency * self.world.rng.random())
        weather = self.world.weather
        for worker in self.world.workers_of(pool, self.name):
            lost = worker.process is not None and weather.record_is_lost(worker.process)
            self.readable[worker.name] = not weather.records_away(self) and not lost
        if self.world.weather.records_away(self):
            raise NoConnection("the records are away")

    def node_answers(self, worker: str) -> bool:
        answers = not self.world.weather.records_away(self)
        self.readable[worker] = answers
        process = self.supervisord.workers[worker].process
        if answers and process is not None:
            if process.resumed_at >= self.read_at.get(worker, 0.0):
                self.seen_back_at[worker] = self.engine.now
            self.read_at[worker] = self.engine.now
        return answers

    def asks_for_slot(self, args: Sequence[str]) -> None:
        if args and '"urgency":' in args[0]:
            request = json.loads(args[0])
            if "token" in request and not request["dry"]:
                self.answers[request["token"]] = None

    def tells(self, keys: Sequence[str], args: Sequence[str]) -> None:
        if args and '"holdings":' in args[0]:
            self.world.promises.tells(self, pool_of(keys), json.loads(args[0]))

    def is_answered(self, args: Sequence[str], answer: Any) -> None:
        if args and '"urgency":' in args[0]:
            request = json.loads(args[0])
            if "token" in request and not request["dry"]:
                self.answers[request["token"]] = "refused" not in json.loads(answer)

    # --- its lives --------------------------------------------------------------------------------

    def begins_life(self) -> None:
        """The listener begins a life: it knows of no answer."""
        self.lives += 1
        self.lives_since = self.engine.now
        self._pausable, self.backs_off = True, False
        self.answers.clear()
        self.unanswered.clear()

    def reboot(self) -> None:
        """Another boot; the journal is of the one before."""
        self.boot += 1
        self.mail.clear()
        self.events.forget()
        self.disk = Contents()
        self._booted_at = self.engine.now
        self._children.clear()
