"""Looks at everything several times a second, from outside, and lets the judges see it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError
from tests.chaos.doings import Doings
from tests.chaos.judges import MOMENT_SECONDS, Broken, Judge, OperatorsJudge, Owed, owed
from tests.chaos.plan import HOSTS, POOLS, workers_of
from tests.chaos.seen import Phase, Sample, Worker, phase
from tests.chaos.stage import Stage, is_over_limit
from tests.chaos.terms import MIN_AVAILABLE
from tests.real.sidekiq_fleet import RECORDS

SAMPLE_SECONDS = 0.25
BLOAT_AFTER_SECONDS = 2.0
"""A worker is told to grow when it was in service for so long and no drain of it is under way."""
TOLD_TO_BE_QUIET = re.compile(rb"pid=(\d+) .*Received TSTP")
"""Sidekiq's own log (lib/sidekiq/cli.rb); its record says so up to a beat later."""


class Observer:
    """A thread of its own; what it saw is kept as changes, for the story."""

    def __init__(self, stage: Stage, doings: Doings) -> None:
        self._stage = stage
        self._supervisords = {name: stage.supervisord_of(name) for name in HOSTS}
        self._records = Records(stage)
        self._operators = OperatorsJudge(doings)
        self.judges = {pool: Judge(pool, doings, MIN_AVAILABLE[pool]) for pool in POOLS}
        self.broken: list[Broken] = []
        self.changes: list[tuple[float, str]] = []
        self.sample = Sample(0.0, {}, {})
        self.bloats = False
        """Whether workers that served for a while are told to grow."""
        self.slow_looks = 0
        self._in_since: dict[int, float] = {}
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="observer")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what went wrong in the thread."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._ended.wait(SAMPLE_SECONDS):
                self._take(self._look())
        except BaseException as error:  # noqa: BLE001 - raised again by check()
            self._error = error

    def _look(self) -> Sample:
        """supervisord is read first: a worker is in service by a record later than its state."""
        began = time.monotonic()
        at = time.time()
        processes: dict[str, ProcessInfo] = {}
        for name, supervisord in self._supervisords.items():
            processes.update(_processes(name, supervisord))
        recorded = self._records.read()
        workers = {
            worker: Worker(phase(processes[worker], recorded), processes[worker].pid, processes[worker].start)
            for name in HOSTS
            for worker in workers_of(name)
            if worker in processes
        }
        return Sample(at, workers, processes, time.monotonic() - began)

    def _take(self, sample: Sample) -> None:
        before, self.sample = self.sample, sample
        for name, seen in sample.workers.items():
            former = before.workers.get(name)
            if former is None or (former.phase, former.pid) != (seen.phase, seen.pid):
                self.changes.append((sample.at, f"{name} is {seen.phase.value} (pid {seen.pid})"))
        for name in HOSTS:
            answers = any(worker.startswith(f"{name}/") for worker in sample.workers)
            if answers != any(worker.startswith(f"{name}/") for worker in before.workers):
                self.changes.append((sample.at, f"{name}: supervisord {'answers' if answers else 'is away'}"))
        found = [broken for judge in self.judges.values() for broken in judge.look(sample)]
        self.broken += [*found, *self._operators.look(sample)]
        self.slow_looks += sample.seconds > MOMENT_SECONDS
        self._bloat(sample)

    def _bloat(self, sample: Sample) -> None:
        """Let what has served for a while grow over its limit; a drain that goes on is let finish first."""
        serving = {seen.pid: name for name, seen in sample.workers.items() if seen.phase is Phase.IN}
        self._in_since = {pid: self._in_since.get(pid, sample.at) for pid in serving}
        if not self.bloats:
            return
        for pid, name in serving.items():
            if sample.at - self._in_since[pid] < BLOAT_AFTER_SECONDS:
                continue
            host, _, program = name.partition("/")
            told = self._stage.hosts[host].bloat / str(pid)
            drains = self._stage.hosts[host].drains()
            if not told.exists() and drains is not None and f"{program}:{program}" not in drains:
                told.touch()

    # --- what is --------------------------------------------------------------------------------

    def owed(self) -> list[Owed]:
        """What is not yet as it is when all is calm."""
        return list(owed(self.sample, self._stage.drains(), self.too_big()))

    def too_big(self) -> list[str]:
        """The workers that are over their limit."""
        return [name for name, seen in self.sample.workers.items() if seen.pid and is_over_limit(seen.pid)]

    def taken_out(self) -> dict[str, int]:
        return {pool: judge.taken_out for pool, judge in self.judges.items()}


class Records:
    """What the frameworks' own records say, by pid: whether each worker is quiet."""

    def __init__(self, stage: Stage) -> None:
        hasty: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 0.4}
        self._sidekiq = stage.client("sidekiq", **hasty)
        self._rq = stage.client("rq", **hasty)
        self._logs = [
            Tail(host.directory / f"{worker.partition('/')[2]}.log")
            for host in stage.hosts.values()
            for worker in workers_of(host.name)
            if "sidekiq" in worker
        ]
        self._told: set[int] = set()
        self._last: dict[int, bool] = {}

    def read(self) -> dict[int, bool]:
        """As of now; as of the last time while Redis does not answer."""
        for log in self._logs:
            self._told |= {int(pid) for pid in TOLD_TO_BE_QUIET.findall(log.more())}
        with contextlib.suppress(redis.RedisError):
            self._last = {**self._sidekiqs(), **self._rqs()}
        return {pid: quiet or pid in self._told for pid, quiet in self._last.items()}

    def _sidekiqs(self) -> dict[int, bool]:
        rows = self._sidekiq.eval(RECORDS, 0)
        return {int(identity.split(":")[1]): quiet == "true" for identity, _, quiet, _ in rows}

    def _rqs(self) -> dict[int, bool]:
        """A worker that was told to stop takes no jobs: RQ's only quiet."""
        pipe = self._rq.pipeline(transaction=False)
        for key in self._rq.smembers("rq:workers"):
            pipe.hmget(key, "pid", "death", "state", "shutdown_requested_date")
        return {
            int(pid): stopping is not None
            for pid, death, state, stopping in pipe.execute()
            if pid is not None and death is None and state is not None
        }


class Tail:
    """What is added to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._rest = b""

    def more(self) -> bytes:
        """The whole lines that were added since the last time."""
        if not self._path.exists():
            return b""
        with self._path.open("rb") as file:
            file.seek(self._read)
            text = self._rest + file.read()
            self._read = file.tell()
        lines, newline, self._rest = text.rpartition(b"\n")
        return lines + newline


def _processes(host: str, supervisord: Supervisord) -> Iterator[tuple[str, ProcessInfo]]:
    try:
        found = supervisord.all_processes()
    except SupervisordError:
        return
    for process in found:
        yield f"{host}/{process.name}", process
