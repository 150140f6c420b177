"""Two or more workers of any framework under a real supervisord, fed steadily, replaced again and again.

Judged from outside: by what the jobs themselves wrote into Redis (tests/programs/job_body.py), by
supervisord, and by the listener's log for the moments at which it acted.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from supervisor_memkill.processes import ProcessInfo, ProcessState
from tests.harness import PATIENCE_SECONDS, PROGRAMS, short_directory
from tests.programs.job_body import ENOUGH, PUSHED, RECORD
from tests.real.watched import Waits, Watched
from tests.real_redis import RealRedis
from tests.real_supervisord import RealSupervisord, program

MAX_RSS = "300MB"
BLOAT_MEGABYTES = 320
"""On top of a fresh worker, whatever it measures: over the limit with it, and far below without."""
LISTENER = "memkill:memkill"
MOST_DRAINS = 24
"""Within so many drains one comes while a job is in hand."""

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Run:
    """One run of one job."""

    job: str
    pid: int
    process: frozenset[int]
    """The pids of the process that ran it, of its parent when it began, and its process group."""
    started: float
    """Epoch seconds."""
    finished: float | None
    """None: it was cut, or still runs."""


@dataclass(frozen=True)
class Left:
    """The listener told a worker to take no more jobs: its quiet, or the stop that is its drain."""

    worker: str
    pid: int
    at: float
    """Epoch seconds."""


class FrameworkFleet(Watched, Waits):
    """Workers of one framework, one program each, and their feed; the listener starts when told to."""

    def __init__(
        self,
        directory: Path,
        redis_server: RealRedis,
        *,
        kind: str,
        commands: Mapping[str, str],
        feed: str,
        pool: Settings | None = None,
        worker: Settings | None = None,
        environment: Mapping[str, str] | None = None,
        job_seconds: float = 0.5,
        feed_every_seconds: float = 0.15,
        most_waiting: int = 16,
        bloat_seconds: float = 3.0,
        options: str = "",
        main: Settings | None = None,
    ) -> None:
        """`commands`: each program's by its name; `feed`: the command that calls `job_body.feed`.

        `most_waiting`: the feed waits while so many jobs are not finished. More than the workers run at once,
        so that each has a job; and few enough that the last ones are soon done when the feed ends.

        `worker`: supervisord's settings of each program; `options`: the listener's; `main`: of [memkill].
        """
        self.kind = kind
        self.names = list(commands)
        self.directory = directory
        self.redis = redis_server
        self.client = redis_server.client()
        self.journal = directory / "own" / "memkill.journal"
        self.config = directory / "memkill.conf"
        self._feed_command = feed
        self._feeder: subprocess.Popen[bytes] | None = None
        self._environment = {
            "APP_REDIS_URL": redis_server.url,
            "APP_JOB_SECONDS": str(job_seconds),
            "APP_FEED_EVERY_SECONDS": str(feed_every_seconds),
            "APP_MOST_WAITING": str(most_waiting),
            "APP_BLOAT_SECONDS": str(bloat_seconds),
            "APP_BLOAT_MEGABYTES": str(BLOAT_MEGABYTES),
            "PYTHONPATH": str(PROGRAMS),
            **(environment or {}),
        }
        self.config.write_text(self._memkill(pool or {}, main or {}))
        settings: dict[str, Any] = {"stopwaitsecs": 60, "redirect_stderr": "true", **(worker or {})}
        sections = [
            program(name, command, stdout_logfile=f"%(here)s/{name}.log", **settings)
            for name, command in commands.items()
        ]
        self.supervisord = RealSupervisord(
            directory, "\n".join([*sections, self._listener(options)]), environment=self._environment
        )

    def _memkill(self, pool: Settings, more: Settings) -> str:
        main = {"journal": self.journal, "poll_interval": "200ms", "heartbeat": "1s", **more}
        settings = {
            "programs": " ".join(self.names),
            "worker": self.kind,
            "max_rss": MAX_RSS,
            "min_uptime": "0s",
            "settle": "1s",
            "drain_timeout": "60s",
            "redis": self.redis.url,
            **pool,
        }
        return "\n".join(["[memkill]", *_lines(main), "[memkill:jobs]", *_lines(settings)]) + "\n"

    def _listener(self, options: str) -> str:
        return program(
            "memkill",
            f"{shlex.quote(sys.executable)} -m supervisor_memkill --config {self.config} {options}",
            "eventlistener",
            events="TICK_5,REMOTE_COMMUNICATION",
            autostart="false",
            stopwaitsecs=120,  # a turn on a busy machine
            stderr_logfile="%(here)s/memkill.log",
        )

    def start(self) -> FrameworkFleet:
        """Start the workers."""
        self.supervisord.start()
        for name in self.names:
            self.supervisord.wait_for_state(f"{name}:{name}", ProcessState.RUNNING)
        return self

    def listen(self) -> None:
        """Start the listener."""
        self.supervisord.proxy.start(LISTENER)
        self.wait_for(lambda: self.events("listener.started"))

    # --- jobs -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def feeding(self) -> Iterator[None]:
        """A steady feed of jobs, which ends with the block."""
        self.client.delete(ENOUGH)
        with (self.directory / "feed.log").open("ab") as output:
            self._feeder = subprocess.Popen(
                shlex.split(self._feed_command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.supervisord.environment(),
                cwd=self.directory,
            )
        try:
            self.wait_for(self._is_fed)
            yield
        finally:
            self.client.set(ENOUGH, 1)
            try:
                self._feeder.wait(PATIENCE_SECONDS)
            finally:
                self._feeder.kill()
                self._feeder.wait()

    def _is_fed(self) -> bool:
        assert self._feeder is not None
        assert self._feeder.poll() is None, f"the feed ended:\n{self.supervisord.log('feed.log')}"
        return bool(self.pushed())

    def pushed(self) -> list[str]:
        return [str(job) for job in self.client.lrange(PUSHED, 0, -1)]

    def runs(self) -> list[Run]:
        """Every run of every job, in the order in which they began."""
        found: list[Run] = []
        under_way: dict[tuple[str, int], list[int]] = {}
        for line in self.client.lrange(RECORD, 0, -1):
            word, job, at, *pids = json.loads(line)
            if word == "start":
                under_way.setdefault((job, pids[0]), []).append(len(found))
                found.append(Run(job, pids[0], frozenset(pids), at, None))
                continue
            index = under_way[job, pids[0]].pop(0)
            found[index] = replace(found[index], finished=at)
        return found

    def finished(self) -> Counter[str]:
        return Counter(run.job for run in self.runs() if run.finished is not None)

    def lost(self) -> list[str]:
        """Jobs pushed and not finished."""
        return sorted(set(self.pushed()) - set(self.finished()))

    def twice(self) -> list[str]:
        """Jobs that were begun more than once."""
        return sorted(job for job, times in Counter(run.job for run in self.runs()).items() if times > 1)

    def wait_until_all_finished(self) -> None:
        """Of a feed that has ended."""
        self.wait_for(lambda: not self.lost(), progress=lambda: len(self.finished()))

    def assert_each_job_once(self) -> None:
        """Every job pushed was begun once and finished once."""
        lost, twice = self.lost(), self.twice()
        assert not lost and not twice, f"lost {lost}, twice {twice}"

    # --- replacements ---------------------------------------------------------------------------

    def replaced(self) -> Counter[str]:
        """How often each worker was drained and brought back, by the listener's word."""
        return Counter(field(line, "worker").partition(":")[2] for line in self.events("drain.done"))

    def wait_until_each_replaced(self, times: int = 2) -> None:
        def done() -> list[int]:
            replaced = self.replaced()
            return [min(replaced[name], times) for name in self.names]

        self.wait_for(lambda: min(done()) == times, progress=done)

    def wait_until_each_replaced_and_one_at_work(self, times: int = 2) -> None:
        """As above, and one of them, or a later one, had a job in hand that it finished."""
        self.wait_until_each_replaced(times)
        self.wait_for(
            self.in_hand_then_finished, progress=lambda: min(sum(self.replaced().values()), MOST_DRAINS)
        )

    def leavings(self) -> list[Left]:
        """Each moment from which a worker was to take no more jobs."""
        quiets = self.events("drain.quieting")
        return [
            Left(field(line, "worker"), int(field(line, "pid")), moment(line))
            for line in quiets or self.events("drain.stopping")
        ]

    def in_hand_then_finished(self) -> list[Run]:
        """Runs that were under way in a worker when it was told to take no more, and that it finished."""
        runs = self.runs()
        return [
            run
            for left in self.leavings()
            for run in runs
            if left.pid in run.process and run.finished is not None and run.started < left.at < run.finished
        ]

    def row(self, framework: str, version: str) -> str:
        """A line for the record: framework, version, restarts, jobs sent, lost, twice."""
        figures = (sum(self.replaced().values()), len(self.pushed()), len(self.lost()), len(self.twice()))
        return " | ".join([framework, version, *map(str, figures)])

    # --- what is --------------------------------------------------------------------------------

    def process(self, name: str) -> ProcessInfo:
        return self.supervisord.process(f"{name}:{name}")

    def dry_run(self) -> str:
        """What a dry run by hand shows, and what it complains of."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "supervisor_memkill", "--dry-run"),
                *("--config", str(self.config), "--serverurl", self.supervisord.url),
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            cwd=self.directory,
            check=False,
        )
        return done.stdout + done.stderr

    def story(self) -> str:
        """All that a failed test needs to be understood."""
        logs = ["memkill.log", "supervisord.log", "feed.log", *(f"{name}.log" for name in self.names)]
        return "\n".join(f"--- {log}\n{self.supervisord.log(log)[-6000:]}" for log in logs)


def field(line: str, name: str) -> str:
    """The value of a field of one line of the listener's log."""
    words = shlex.split(line)
    return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))


def moment(line: str) -> float:
    """When a line was logged, in epoch seconds."""
    return datetime.strptime(" ".join(line.split(" ")[:2]), "%Y-%m-%d %H:%M:%S,%f").timestamp()


def _lines(settings: Settings) -> list[str]:
    return [f"{key} = {value}" for key, value in settings.items()]


@contextlib.contextmanager
def running_fleet(
    redis_server: RealRedis, *, kind: str, commands: Mapping[str, str], feed: str, **options: Any
) -> Iterator[FrameworkFleet]:
    """A fleet whose workers run; its logs are told when the test fails."""
    with short_directory() as directory:
        fleet = FrameworkFleet(
            directory,
            redis_server,
            kind=kind,
            commands=commands,
            feed=feed,
            **options,
        )
        try:
            yield fleet.start()
        finally:
            print(fleet.story())  # pytest shows it of a failed test only
            fleet.supervisord.stop(seconds=5)
            fleet.client.close()


def replace_each_twice(fleet: FrameworkFleet) -> None:
    """The common run: under a steady feed each worker is replaced at least twice, and each job runs once."""
    with fleet.feeding():
        fleet.listen()
        fleet.wait_until_each_replaced_and_one_at_work()
    fleet.wait_until_all_finished()
    fleet.assert_each_job_once()
