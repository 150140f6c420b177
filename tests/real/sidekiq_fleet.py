"""A real supervisord with real Sidekiqs and the listener, and one real Redis: the whole thing."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world.supervisord import Supervisord
from tests.harness import short_directory
from tests.real.repeating import repeating
from tests.real.watched import Waits, Watched
from tests.real_redis import RealRedis
from tests.real_supervisord import RealSupervisord, program
from tests.workers.sidekiq_app import SidekiqJobs, sidekiq_command

MAX_RSS = "100MB"
BLOAT_MEGABYTES = 110
"""A fresh Sidekiq of the tests takes about 30 MB."""
LISTENER = "memkill:memkill"
SAMPLE_SECONDS = 0.2
MOMENT_SECONDS = 0.5
"""Shorter than `settle`: while a look lasts, no worker comes back and another one goes."""

RECORDS = """
local found = {}
for _, identity in ipairs(redis.call('SMEMBERS', 'processes')) do
    local busy, quiet, beat = unpack(redis.call('HMGET', identity, 'busy', 'quiet', 'beat'))
    if beat then table.insert(found, {identity, busy, quiet, beat}) end
end
return found
"""
"""All records of one instant."""

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Sidekiq:
    """One program of the fleet."""

    name: str
    megabytes: int = 0
    """Held by its first process from the start; those after it are slim."""
    boot_seconds: float = 0.0
    """How long its first process takes to boot."""
    wrapped: bool = False
    """It runs behind a shell that does not exec."""
    concurrency: int = 1
    timeout_seconds: int = 1
    """How long it waits for its jobs when it is stopped; then it requeues them."""
    shown_timeout_seconds: int | None = None
    """The same as far as supervisord sees it, if that is another figure."""
    stopwaitsecs: int = 30
    redis_url: str = ""
    """Its way to Redis; empty for the straight one."""
    autostart: bool = True
    suite: str = ""
    """The later suite of Debian that it comes from; empty for this machine's."""
    capsules: bool = False
    """It has a capsule of its own for `mailers`, and its record names queues in capsules alone."""
    queue: str = "default"
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of its process."""

    def script(self, directory: Path) -> str:
        """What its shell runs."""
        first = shlex.quote(str(directory / f"{self.name}.started"))
        lines = [f"if mkdir {first} 2>/dev/null; then"]
        lines += [f"    export APP_BOOT_MB={self.megabytes} APP_BOOT_SECONDS={self.boot_seconds}", "fi"]
        if self.redis_url:
            lines.append(f"export REDIS_URL={shlex.quote(self.redis_url)}")
        if self.capsules:
            lines.append("export APP_WITHOUT_QUEUES=1")
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        command = sidekiq_command(
            concurrency=self.concurrency,
            queue=self.queue,
            timeout=self.timeout_seconds,
            suite=self.suite,
            capsules=self.capsules,
        )
        lines.append(f"exec {command}")
        return "\n".join(lines) + "\n"

    def section(self) -> str:
        """Its section in supervisord's configuration."""
        # The script has the timeout, too: here supervisord sees it, and so does the listener.
        shown = self.timeout_seconds if self.shown_timeout_seconds is None else self.shown_timeout_seconds
        command = f"sh %(here)s/{self.name}.sh -t {shown}"
        return program(
            self.name,
            f"sh -c '{command}; true'" if self.wrapped else command,
            stopwaitsecs=self.stopwaitsecs,
            autostart=str(self.autostart).lower(),
            redirect_stderr="true",
            stdout_logfile=f"%(here)s/{self.name}.log",
        )


def bloated(name: str, **options: object) -> Sidekiq:
    """A Sidekiq whose first process is over its limit."""
    return Sidekiq(name, **{"megabytes": BLOAT_MEGABYTES, **options})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Beat:
    """One Sidekiq's record."""

    busy: int
    quiet: bool
    at: float


class Fleet(Watched, Waits):
    """Sidekiqs under one supervisord; the listener starts when the test says so."""

    def __init__(
        self,
        directory: Path,
        redis_server: RealRedis,
        sidekiqs: Sequence[Sidekiq],
        pools: Mapping[str, Settings],
        options: str,
        others: str,
        main: Settings,
    ) -> None:
        self.redis = redis_server
        self.client = redis_server.client()
        self.jobs = SidekiqJobs(self.client)
        self.pushed: list[str] = []
        self.names = [one.name for one in sidekiqs]
        self.journal = directory / "own" / "memkill.journal"
        self.config = directory / "memkill.conf"
        self.config.write_text(self._memkill(pools, main))
        for one in sidekiqs:
            (directory / f"{one.name}.sh").write_text(one.script(directory))
        self.supervisord = RealSupervisord(
            directory,
            "\n".join([*(one.section() for one in sidekiqs), others, self._listener(options)]),
            environment={"REDIS_URL": redis_server.url},
        )

    def _memkill(self, pools: Mapping[str, Settings], more: Settings) -> str:
        main = {"journal": self.journal, "poll_interval": "200ms", "heartbeat": "1s", **more}
        defaults = {"worker": "sidekiq", "max_rss": MAX_RSS, "min_uptime": "0s", "settle": "1s"}
        defaults["redis"] = self.redis.url
        lines = ["[memkill]", *_lines(main)]
        for name, settings in pools.items():
            lines += [f"[memkill:{name}]", *_lines({**defaults, **settings})]
        return "\n".join(lines) + "\n"

    def _listener(self, options: str) -> str:
        return program(
            "memkill",
            f"{shlex.quote(sys.executable)} -m supervisor_memkill --config {self.config} {options}",
            "eventlistener",
            events="TICK_5,PROCESS_STATE",
            autostart="false",
            stderr_logfile="%(here)s/memkill.log",
        )

    def start(self) -> None:
        """Start everything but the listener."""
        self.supervisord.start()

    def listen(self) -> None:
        """Start the listener."""
        self.supervisord.proxy.start(LISTENER)
        self.wait_for_event("listener.started")

    # --- jobs -----------------------------------------------------------------------------------

    def push(self, argument: float, name: str = "SleepJob", queue: str = "default") -> str:
        """Put a job into the queue; its id."""
        jid = self.jobs.push(argument, name, queue)
        self.pushed.append(jid)
        return jid

    def give_each(self, seconds: float, name: str = "SleepJob") -> dict[str, str]:
        """One job for each worker (of concurrency 1), all in hand when this returns: ids by worker."""
        given = {self.push(seconds, name) for _ in self.names}
        self.wait_for(lambda: given <= self.jobs.running())
        return {name: jid for name in self.names for jid in given if self.runs(name, jid)}

    def give_each_until_ended(self) -> dict[str, str]:
        """The same with jobs that take as long as the test needs: until `end_jobs`."""
        return self.give_each(0, "GrowJob")

    def end_jobs(self) -> None:
        """Let the jobs of `give_each_until_ended` end, now and later."""
        self.client.mset({"app:grow": 1, "app:end": 1})

    def runs(self, name: str, jid: str) -> bool:
        """This worker is the one that ran the job last."""
        pid = self.client.hget("app:pids", jid)
        return pid is not None and int(str(pid)) == self.process(name).pid

    def wait_until_finished(self, *jids: str) -> None:
        """Wait for these jobs, or for all."""
        self.wait_for(
            lambda: set(jids or self.pushed) <= set(self.jobs.finished()),
            progress=lambda: len(self.jobs.finished()),
        )

    def assert_each_job_once(self) -> None:
        """Every job pushed was begun once and finished once, and no other."""
        once = dict.fromkeys(self.pushed, 1)
        started, finished = self.jobs.started(), self.jobs.finished()
        odd = {jid for jid in {*once, *started} if (started.get(jid), finished.get(jid)) != (1, 1)}
        assert not odd and set(started) == set(once), {
            jid: (started.get(jid), finished.get(jid)) for jid in odd
        }

    # --- what is --------------------------------------------------------------------------------

    def process(self, name: str) -> ProcessInfo:
        return self.supervisord.process(f"{name}:{name}")

    def beats(self) -> dict[int, Beat]:
        """Every Sidekiq's record, by its pid, all of one instant."""
        rows = self.client.eval(RECORDS, 0)
        assert isinstance(rows, list)
        return {
            int(identity.split(":")[1]): Beat(int(busy), quiet == "true", float(beat))
            for identity, busy, quiet, beat in rows
        }

    def out_of_service(self, supervisord: Supervisord | None = None) -> set[str]:
        """The workers that no job would reach now, as seen from outside.

        supervisord is read first: a worker counts as in service by a record later than its state.
        """
        found = (supervisord or self.supervisord.proxy).all_processes()
        beats = self.beats()
        serving = {
            process.name
            for process in found
            if process.state is ProcessState.RUNNING and process.pid in beats and not beats[process.pid].quiet
        }
        return set(self.names) - serving

    def story(self) -> str:
        """All that a failed test needs to be understood."""
        logs = ["memkill.log", "supervisord.log", *(f"{name}.log" for name in self.names)]
        return "\n".join(f"--- {log}\n{self.supervisord.log(log)}" for log in logs)

    # --- waiting --------------------------------------------------------------------------------

    def wait_for_event(self, name: str, text: str = "") -> str:
        """The first line of the listener's that tells this event and holds this text."""
        return self.wait_for(lambda: self.events(name, text))[0]

    def wait_for_beat(self, name: str, condition: Callable[[Beat], bool]) -> Beat:
        """This worker's record, once it meets the condition."""

        def beats() -> list[Beat]:
            beat = self.beats().get(self.process(name).pid)
            return [beat] if beat is not None and condition(beat) else []

        return self.wait_for(beats)[0]

    def wait_until_in_service(self, *names: str) -> dict[str, int]:
        """Wait for these workers, or for all; their pids."""
        wanted = set(names or self.names)
        self.wait_for(lambda: not wanted & self.out_of_service())
        return {name: self.process(name).pid for name in wanted}

    def wait_until_replaced(self, before: Mapping[str, int]) -> None:
        """Wait until fresh processes are in service instead of these, and nothing is owed."""
        replaced: set[str] = set()

        def each() -> bool:
            fresh = {name for name, pid in before.items() if self.process(name).pid not in (0, pid)}
            replaced.update(fresh)
            return fresh == set(before)

        self.wait_for(each, progress=lambda: len(replaced))
        self.wait_for(lambda: not self.out_of_service() and not self.drains())


def _lines(settings: Settings) -> list[str]:
    return [f"{key} = {value}" for key, value in settings.items()]


@contextlib.contextmanager
def running_fleet(
    redis_server: RealRedis,
    *sidekiqs: Sidekiq,
    pool: Settings | None = None,
    pools: Mapping[str, Settings] | None = None,
    options: str = "",
    others: str = "",
    main: Settings | None = None,
) -> Iterator[Fleet]:
    """A fleet, started but for its listener; its logs are told when the test fails.

    `pool`: settings of the one pool that holds everything; or all of `pools`. `options` are the
    listener's, `others` further sections of supervisord's configuration, `main` further ones of [memkill].
    """
    with short_directory() as directory:
        every = pools or {"sidekiq": {"programs": "*", **(pool or {})}}
        fleet = Fleet(directory, redis_server, sidekiqs, every, options, others, main or {})
        try:
            fleet.start()
            yield fleet
        finally:
            print(fleet.story())  # pytest shows it of a failed test only
            fleet.supervisord.stop(seconds=5)
            fleet.client.close()


def feeding(fleet: Fleet, seconds: float, every_seconds: float) -> contextlib.AbstractContextManager[None]:
    """A steady feed of jobs of that length."""
    return repeating(lambda: fleet.push(seconds), every_seconds)


@contextlib.contextmanager
def observing(fleet: Fleet) -> Iterator[list[set[str]]]:
    """Who was out of service, several times a second."""
    supervisord = Supervisord(fleet.supervisord.url, timeout_seconds=10)
    with sampling(lambda: fleet.out_of_service(supervisord)) as samples:
        yield samples


@contextlib.contextmanager
def sampling(look: Callable[[], set[str]]) -> Iterator[list[set[str]]]:
    """What each look found; a look that took longer than a moment is of several moments, and left out."""
    samples: list[set[str]] = []

    def sample() -> None:
        began = time.monotonic()
        found = look()
        if time.monotonic() - began <= MOMENT_SECONDS:
            samples.append(found)

    with repeating(sample, SAMPLE_SECONDS):
        yield samples


def replace_each_among_bursts(fleet: Fleet) -> None:
    """Each worker is replaced while jobs come at the moment of each quiet; each job runs once."""
    before = fleet.wait_until_in_service()
    with bursting(fleet, jobs=4, seconds=2.5) as moments:
        fleet.listen()
        fleet.wait_until_replaced(before)
    fleet.wait_until_finished()
    fleet.assert_each_job_once()
    assert len(moments) >= 2 * len(fleet.names)


@contextlib.contextmanager
def bursting(fleet: Fleet, jobs: int, seconds: float) -> Iterator[list[str]]:
    """A burst of jobs at the moment of each quiet: when the listener logs it, and when Redis shows it.

    Yields what set each burst off.
    """
    moments: list[str] = []

    def watch() -> None:
        quiet = [str(pid) for pid, beat in fleet.beats().items() if beat.quiet]
        for moment in {*fleet.events("drain.quieting"), *quiet} - set(moments):
            moments.append(moment)
            for _ in range(jobs):
                fleet.push(seconds)

    with repeating(watch, 0.02):
        yield moments
