"""A real supervisord with leaky workers and the listener: the whole thing, on throwaway processes."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.drain import State
from tests.harness import PATIENCE_SECONDS, PROGRAMS, wait_for
from tests.leaky_workers import LeakyWorkers
from tests.real.watched import Watched
from tests.real_supervisord import RealSupervisord, program

MAX_RSS = "40MB"
LEAK_MEGABYTES = 40
"""Kept from each job: a worker is over its limit after its first, and far below it before."""

LISTENER = "memkill:memkill"
KINDS: Mapping[str, Mapping[str, str]] = {
    "custom": {
        "quiet_signal": "USR1",
        "resume_signal": "USR2",
        "busy_command": "cat %(here)s/busy-%(name)s",
    },
    "plain": {},
}
TICKS_ALONE = "TICK_5,REMOTE_COMMUNICATION"
WITH_CHANGES = f"{TICKS_ALONE},PROCESS_STATE"
"""What a listener subscribes to: without, and with the changes of processes."""
GATE = {"busy_command": "cat %(here)s/gate"}
"""The busy count is what the test writes there, so that DRAINING lasts without a job in hand."""

Settings = Mapping[str, object]


class LeakyPool(Watched):
    """One pool of leaky workers, each a program of its own, under one supervisord.

    Every job leaves a worker over its limit, so that each job of a test is one drain. While the pool
    is on hold, no job finishes.
    """

    def __init__(
        self,
        directory: Path,
        kind: str = "custom",
        *,
        count: int = 2,
        pool: Settings | None = None,
        main: Settings | None = None,
        worker: Settings | None = None,
        worker_options: Sequence[str] = (),
        wrap: Callable[[LeakyWorkers, str, str], str] = lambda leaky, name, command: command,
        die_at: str = "",
        listener: str | None = None,
        events: str = WITH_CHANGES,
        loglevel: str = "info",
    ) -> None:
        """`pool`, `main` and `worker` are settings of [memkill:job], [memkill] and of each program.

        `wrap` makes another command of a worker's name and command; `die_at` is the place where the
        listener kills itself once; `listener` is another command for the listener, `events` what it
        subscribes to, `loglevel` that of supervisord.
        """
        self.directory = directory
        self.leaky = LeakyWorkers(directory)
        self.names = [f"job_{number}" for number in range(count)]
        self.workers = [f"{name}:{name}" for name in self.names]
        self.journal = directory / "own" / "memkill.journal"
        self.died = directory / "died"
        self._hold = directory / "hold"
        self._jobs: set[str] = set()
        self._worker_settings: dict[str, Any] = {"stopwaitsecs": 30, **(worker or {})}
        self._commands = {
            name: wrap(self.leaky, name, self._worker_command(name, worker_options)) for name in self.names
        }
        self._listener = listener or shlex.join([sys.executable, str(PROGRAMS / "dying_listener.py")])
        self._die_at = die_at
        self._events = events
        self.write_memkill(kind, pool or {}, main or {})
        self.gate(1)
        self.supervisord = RealSupervisord(directory, self.sections(), loglevel=loglevel)

    def _worker_command(self, name: str, options: Sequence[str]) -> str:
        leak = ("--leak-megabytes", str(LEAK_MEGABYTES), "--hold", str(self._hold))
        return self.leaky.command(*leak, *options, name=name)

    def sections(self, without: str = "") -> str:
        """supervisord's sections, but for the program `without`."""
        programs = [
            program(name, command, **self._worker_settings)
            for name, command in self._commands.items()
            if name != without
        ]
        environment = f'MEMKILL_TEST_DIE_AT="{self._die_at}",MEMKILL_TEST_DIED="{self.died}"'
        listener = program(
            "memkill",
            f"{self._listener} --config {self.directory}/memkill.conf",
            "eventlistener",
            events=self._events,
            environment=environment,
            stderr_logfile="%(here)s/memkill.log",
        )
        return "\n".join([*programs, listener])

    def write_memkill(self, kind: str, pool: Settings, main: Settings) -> None:
        """Write the listener's own configuration."""
        mains = {"journal": self.journal, "poll_interval": "200ms", "heartbeat": "1s", **main}
        pools = {
            "programs": "job_*",
            "worker": kind,
            "max_rss": MAX_RSS,
            "min_uptime": "0s",
            "settle": "1s",
            **KINDS[kind],
            **pool,
        }
        lines = ["[memkill]", *_lines(mains), "[memkill:job]", *_lines(pools)]
        (self.directory / "memkill.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> LeakyPool:
        """Start it and wait until every worker takes jobs and counts as RUNNING."""
        self.supervisord.start()
        self.wait_for(lambda: len(self._serving()) == len(self.names))
        for worker in self.workers:
            self.supervisord.wait_for_state(worker, ProcessState.RUNNING)
        return self

    def wait_for(self, condition: Callable[[], object]) -> None:
        wait_for(condition, PATIENCE_SECONDS, self.story, every=0.03)

    def story(self) -> str:
        """All that a failed test needs to be understood."""
        parts = {
            "listener": self.log(),
            "workers": self.leaky.record.read_text(),
            "supervisord": self.supervisord.log(),
        }
        return "\n".join(f"--- {name}\n{text}" for name, text in parts.items())

    # --- jobs -----------------------------------------------------------------------------------

    def hold(self) -> None:
        self._hold.touch()

    def release(self) -> None:
        self._hold.unlink(missing_ok=True)

    def gate(self, busy: int) -> None:
        """Where GATE is set: the busy count of every worker."""
        fresh = self.directory / "gate.new"
        fresh.write_text(f"{busy}\n")
        fresh.replace(self.directory / "gate")

    def give(self, job: str) -> str:
        """Give one job, and wait until a worker has it in hand; that worker."""
        self._jobs.add(job)
        self.leaky.put(job)
        self.wait_for(lambda: self._taker(job))
        taker = self._taker(job)
        return next(worker for worker, pid in self.spawned() if pid == taker)

    def _taker(self, job: str) -> int:
        started = dict(fact.split() for fact in self.leaky.facts("start"))
        return int(started.get(job, 0))

    def bloat(self, job: str) -> str:
        """Give a job and wait until it is done; the worker that is over its limit now."""
        worker = self.give(job)
        self.wait_for(lambda: self.leaky.finished()[job])
        return worker

    # --- what is ------------------------------------------------------------------------------

    def process(self, worker: str) -> ProcessInfo:
        return self.supervisord.process(worker)

    def _serving(self) -> set[int]:
        """The pids that take jobs, by the workers' own word."""
        serving: set[int] = set()
        for word, pid in self._facts():
            _follow(serving, word, pid)
        return serving

    def _facts(self) -> list[tuple[str, int]]:
        lines = [line.split() for line in self.leaky.record.read_text().splitlines()]
        return [(words[0], int(words[-1])) for words in lines]

    def least_in_service(self) -> int:
        """The fewest workers that took jobs at any one time, once all of them had come up.

        It is what they themselves wrote down, in the order in which it happened, so that no moment
        is missed. Those that were killed count on.
        """
        serving: set[int] = set()
        counts: list[int] = []
        for word, pid in self._facts():
            _follow(serving, word, pid)
            if counts or len(serving) == len(self.names):
                counts.append(len(serving))
        return min(counts)

    def told(self) -> bool:
        """Some worker was told to take no new job, by a quiet or by a stop."""
        return any(word in ("quiet", "term") for word, _ in self._facts())

    def ups(self) -> int:
        """How many worker processes came as far as to take jobs."""
        return len(self.leaky.facts("up"))

    def spawned(self) -> list[tuple[str, int]]:
        """The worker and the pid of each process that supervisord started, even if it ended at once."""
        found = re.findall(r"spawned: '(job_\d+)' with pid (\d+)", self.supervisord.log())
        return [(f"{name}:{name}", int(pid)) for name, pid in found]

    # --- waiting --------------------------------------------------------------------------------

    def wait_for_event(self, name: str, times: int = 1, text: str = "") -> None:
        """Wait until the listener has told it so often, in lines that hold the text."""
        self.wait_for(lambda: len([line for line in self.events(name) if text in line]) >= times)

    def wait_for_drain(self, state: State) -> str:
        """Wait until the journal holds a drain in this state; its worker."""

        def found() -> list[str]:
            return [drain.worker for drain in self.drains().values() if drain.state is state]

        return wait_for(found, PATIENCE_SECONDS, lambda: f"{state}\n{self.story()}", every=0.01)[0]

    def wait_until_whole(self, *, but: str = "") -> None:
        """Wait until nothing is owed: all jobs done, and every worker but `but` fresh and taking jobs."""
        self.wait_for(lambda: self._is_whole([worker for worker in self.workers if worker != but]))
        self.assert_each_job_once()

    def _is_whole(self, workers: Sequence[str]) -> bool:
        if set(self.leaky.finished()) != self._jobs or self.drains():
            return False
        processes = [self.process(worker) for worker in workers]
        pids = {process.pid for process in processes}
        bloated = {int(fact.split()[1]) for fact in self.leaky.facts("start")}
        running = all(process.state is ProcessState.RUNNING for process in processes)
        return running and pids <= self._serving() and not pids & bloated

    def assert_each_job_once(self) -> None:
        once = Counter(self._jobs)
        assert self.leaky.started() == self.leaky.finished() == once, self.story()

    # --- the listener ---------------------------------------------------------------------------

    def listener_pid(self) -> int:
        return self.supervisord.wait_for_state(LISTENER, ProcessState.RUNNING).pid

    def kill_listener(self) -> None:
        """SIGKILL, and wait until supervisord has started another one."""
        before = self.listener_pid()
        os.kill(before, signal.SIGKILL)
        self.wait_for(lambda: self.process(LISTENER).pid not in (0, before))


def _follow(serving: set[int], word: str, pid: int) -> None:
    if word in ("up", "resume"):
        serving.add(pid)
    elif word in ("quiet", "term"):
        serving.discard(pid)


def _lines(settings: Settings) -> list[str]:
    return [f"{key} = {value}" for key, value in settings.items()]
