"""Two hosts, two Redis servers and two feeds: all that the hand lays itself on."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import redis

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.listener import journal
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError
from tests.chaos.plan import HOSTS, LISTENER, POOLS, workers_of
from tests.chaos.story import lines_of
from tests.chaos.terms import (
    BEATS,
    BLOAT_MEGABYTES,
    HEARTBEAT_SECONDS,
    IN_HAND,
    JOB_SECONDS,
    LIMIT_MEGABYTES,
    MAX_DRAINING,
    MIN_AVAILABLE,
    POLL_SECONDS,
    SETTLE_SECONDS,
    SIDEKIQ_STOP_SECONDS,
    SLOT_TTL_SECONDS,
    STOP_WAIT_SECONDS,
    TICK_SECONDS,
)
from tests.harness import PROGRAMS, WORKERS_PYTHON, interpreter, require_program, wait_for
from tests.programs.job_body import ENOUGH
from tests.real_redis import RealRedis
from tests.real_supervisord import RealSupervisord, program

DATABASES = {"sidekiq": 0, "rq": 1}
START_SECONDS = 30
BY_EVENTS = HOSTS[:1]
"""The hosts whose listener subscribes to the changes of processes; the others to TICKs alone."""
_STARTED = "listener.started "


class Host:
    """One supervisord with its workers and its listener."""

    def __init__(self, name: str, directory: Path, coordination: RealRedis, jobs: Mapping[str, str]) -> None:
        """`jobs`: the URL of each pool's Redis."""
        self.name = name
        self.directory = directory
        self.bloat = directory / "bloat"
        self.bloat.mkdir()
        self.journal = directory / "own" / "memkill.journal"
        self.trap = directory / "trap"
        self.sprung = self.trap.with_suffix(".sprung")
        self.config = directory / "memkill.conf"
        self.config.write_text(self._memkill(coordination.url, jobs))
        self._jobs = jobs
        self._also_events = ["PROCESS_STATE"] if name in BY_EVENTS else []
        self._stop_waits = {worker.partition("/")[2]: STOP_WAIT_SECONDS for worker in workers_of(name)}
        self.supervisord = RealSupervisord(directory, self._sections(), environment=self._environment())

    def _memkill(self, coordination: str, jobs: Mapping[str, str]) -> str:
        main = {
            "redis": coordination,
            "host": self.name,
            "journal": self.journal,
            "heartbeat": f"{HEARTBEAT_SECONDS:g}s",
            "slot_ttl": f"{SLOT_TTL_SECONDS:g}s",
            "poll_interval": f"{POLL_SECONDS:g}s",
        }
        lines = ["[memkill]", *_lines(main)]
        for pool in POOLS:
            settings = {
                "worker": pool,
                "programs": f"{pool}_*",
                "max_rss": f"{LIMIT_MEGABYTES}MB",
                "min_uptime": "0s",
                "settle": f"{SETTLE_SECONDS:g}s",
                "min_available": MIN_AVAILABLE[pool],
                "max_draining": MAX_DRAINING,
                "drain_timeout": f"{STOP_WAIT_SECONDS}s",
                "redis": jobs[pool],
            }
            lines += [f"[memkill:{pool}]", *_lines(settings)]
        return "\n".join(lines) + "\n"

    def _environment(self) -> dict[str, str]:
        values = {
            "APP_BLOAT_DIRECTORY": str(self.bloat),
            "APP_BLOAT_MEGABYTES": str(BLOAT_MEGABYTES),
            "REDIS_URL": self._jobs["sidekiq"],
            "APP_REDIS_URL": self._jobs["rq"],
            "MEMKILL_TEST_TRAP": str(self.trap),
            "PYTHONPATH": str(PROGRAMS),
        }
        if self.name in BEATS:
            values["APP_BEAT_SECONDS"] = f"{BEATS[self.name]:g}"
        return values

    def _sections(self) -> str:
        sidekiq = [require_program("sidekiq"), "-r", str(Path(__file__).parent / "sidekiq_boot.rb")]
        sidekiq += ["-c", str(IN_HAND["sidekiq"]), "-q", "default", "-t", str(SIDEKIQ_STOP_SECONDS)]
        rq = [
            str(Path(interpreter(WORKERS_PYTHON)).parent / "rq"),
            "worker",
            "-c",
            "chaos_rq_settings",
            "default",
        ]
        commands = {"sidekiq": sidekiq, "rq": rq}
        workers = [
            program(
                name,
                shlex.join(commands[name.partition("_")[0]]),
                stopwaitsecs=wait,
                redirect_stderr="true",
                stdout_logfile=f"%(here)s/{name}.log",
            )
            for name, wait in self._stop_waits.items()
        ]
        listener = program(
            LISTENER,
            shlex.join([sys.executable, str(PROGRAMS / "chaos_listener.py"), "--config", str(self.config)]),
            "eventlistener",
            events=",".join([f"TICK_{TICK_SECONDS:g}", *self._also_events]),
            stderr_logfile="%(here)s/memkill.log",
        )
        return "\n".join([*workers, listener])

    def change(self, name: str) -> None:
        """Write another stopwaitsecs for this program: `supervisorctl update` restarts it then."""
        waits = self._stop_waits
        waits[name] = STOP_WAIT_SECONDS + (waits[name] == STOP_WAIT_SECONDS)
        self.supervisord.write_config(self._sections())

    # --- what is --------------------------------------------------------------------------------

    @property
    def listener(self) -> str:
        return f"{self.name}/{LISTENER}"

    def process(self, name: str) -> ProcessInfo | None:
        """supervisord's word on a program; None while it has none of that name, or does not answer."""
        try:
            return self.supervisord.proxy.process(f"{name}:{name}")
        except SupervisordError:
            return None

    def running_pid(self, name: str) -> int:
        """0 while it is not RUNNING."""
        found = self.process(name)
        return found.pid if found is not None and found.state is ProcessState.RUNNING else 0

    def kept(self) -> Contents | None:
        """What the journal holds; None when it cannot be read."""
        try:
            return journal.read(self.journal)[0]
        except FileNotFoundError:
            return Contents()
        except (OSError, ValueError):
            return None

    def drains(self) -> Mapping[str, Drain] | None:
        """The same of its drains."""
        kept = self.kept()
        return None if kept is None else kept.drains

    def listener_started_at(self) -> float:
        """When the listener that lives had its first heartbeat at the latest; 0.0 before.

        It is at work when it says that it started, and has to renew its slots within a heartbeat.
        """
        said = [at for at, _, words in lines_of(self.supervisord.log("memkill.log"), "") if _STARTED in words]
        is_due = bool(said) and time.time() >= said[-1] + HEARTBEAT_SECONDS
        return said[-1] if is_due else 0.0

    def started_times(self) -> int:
        """How often supervisord began, in this process or another."""
        return self.supervisord.log().count("supervisord started with pid")

    # --- the machine ----------------------------------------------------------------------------

    def die(self) -> list[int]:
        """All at once, as when the power fails; the pids."""
        everything = [self.supervisord.pid, *(process.pid for process in self.supervisord.offspring())]
        _signal_all(everything, signal.SIGSTOP)  # stopped first: none sees another one's end
        late = [process.pid for process in self.supervisord.offspring() if process.pid not in everything]
        _signal_all([*everything, *late], signal.SIGKILL)
        self.supervisord.kill()
        return [*everything, *late]


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Feed:
    """A program that pushes jobs steadily."""

    def __init__(self, pool: str, directory: Path, url: str, every_seconds: float) -> None:
        self._client = _client(url)
        self._log = directory / f"feed-{pool}.log"
        python, script = {
            "sidekiq": (sys.executable, "sidekiq_feed.py"),
            "rq": (interpreter(WORKERS_PYTHON), "rq_app.py"),
        }[pool]
        self._command = [python, str(PROGRAMS / script)]
        self._environment = {
            **os.environ,
            "APP_REDIS_URL": url,
            "APP_JOB_SECONDS": str(JOB_SECONDS),
            "APP_FEED_EVERY_SECONDS": str(every_seconds),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )

    def assert_alive(self) -> None:
        """Unless it was ended."""
        is_well = self._process is None or self._process.poll() is None
        assert is_well, f"the feed ended:\n{self._log.read_text()}"

    def end(self) -> None:
        """No job more."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(redis.RedisError, subprocess.TimeoutExpired):
                self._client.set(ENOUGH, 1)
                process.wait(10)
            process.kill()
            process.wait()


class Stage:
    """Everything that runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.coordination = _redis(directory / "coordination")
        self.jobs = _redis(directory / "jobs")
        base = self.jobs.url.rpartition("/")[0]
        self.urls = {pool: f"{base}/{DATABASES[pool]}" for pool in POOLS}
        self.hosts: dict[str, Host] = {}
        for name in HOSTS:
            (directory / name).mkdir()
            self.hosts[name] = Host(name, directory / name, self.coordination, self.urls)
        every = {"sidekiq": 0.3, "rq": 0.6}
        self.feeds = [Feed(pool, directory, self.urls[pool], every[pool]) for pool in POOLS]

    def start(self) -> None:
        self.coordination.start()
        self.jobs.start()
        for host in self.hosts.values():
            host.supervisord.start()
        for feed in self.feeds:
            feed.start()

    def stop(self) -> None:
        """Nothing of it is left."""
        for server in (self.coordination, self.jobs):
            with contextlib.suppress(AssertionError, ProcessLookupError):
                server.resume()
        for feed in self.feeds:
            feed.end()
        for host in self.hosts.values():
            _signal_all([process.pid for process in host.supervisord.offspring()], signal.SIGCONT)
            host.supervisord.stop(seconds=15)
        self.coordination.stop()
        self.jobs.stop()

    def client(self, pool: str, **options: Any) -> Any:
        """A client of the database that holds this pool's jobs."""
        return _client(self.urls[pool], **options)

    def supervisord_of(self, host: str) -> Supervisord:
        """A way to this host's supervisord for another thread."""
        return Supervisord(self.hosts[host].supervisord.url, timeout_seconds=3)

    def drains(self) -> list[str]:
        """The workers in the journals, with the states of their drains."""
        return [
            f"{name}/{worker.partition(':')[2]} {drain.state.value}"
            for name, host in self.hosts.items()
            for worker, drain in (host.drains() or {}).items()
        ]

    def held_back(self) -> set[str]:
        """The pools in which a quiet may have got lost, or a worker is left alone for a while."""
        found, now = set(), boot_clock()
        for host in self.hosts.values():
            kept = host.kept() or Contents()
            found |= {drain.pool for drain in kept.drains.values() if drain.state is State.QUIETING}
            found |= {worker.partition("_")[0] for worker, one in kept.back_offs.items() if now < one.until}
        return found

    def wait_for_host(self, name: str, restarted: int) -> None:
        """Wait until this host's supervisord began for the given time and answers."""
        host = self.hosts[name]

        def is_up() -> bool:
            if host.started_times() < restarted:
                return False
            try:
                return bool(host.supervisord.proxy.all_processes())
            except SupervisordError:
                return False

        wait_for(is_up, START_SECONDS + STOP_WAIT_SECONDS, lambda: host.supervisord.log()[-3000:], every=0.1)


def is_over_limit(pid: int) -> bool:
    """Whether this process holds more than its pool's limit; False when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss) > LIMIT_MEGABYTES * 1024 * 1024
    except psutil.Error:
        return False


def _client(url: str, **options: Any) -> Any:
    return redis.Redis.from_url(url, **{"decode_responses": True, "socket_timeout": 5, **options})


def _redis(directory: Path) -> RealRedis:
    directory.mkdir()
    return RealRedis(directory)


def _lines(settings: Mapping[str, object]) -> Iterator[str]:
    return (f"{key} = {value}" for key, value in settings.items())
