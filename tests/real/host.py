"""One real supervisord of a fleet, with leaky workers and a listener."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from supervisor_memkill.processes import ProcessInfo, ProcessState
from tests.harness import PROGRAMS, wait_for
from tests.leaky_workers import LeakyWorkers
from tests.real.watched import Watched
from tests.real_supervisord import RealSupervisord, program

POOL = "job"
LISTENER = "memkill:memkill"
MAX_RSS = "40MB"
SLOT_TTL_SECONDS = 5.0

Settings = Mapping[str, object]


class Host(Watched):
    """One supervisord with its workers and its listener."""

    def __init__(
        self,
        name: str,
        directory: Path,
        leaky: LeakyWorkers,
        megabytes: Sequence[int],
        worker_options: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        """`environment` is the listener's."""
        self.name = name
        self.directory = directory
        self.names = [f"{name}_{number}" for number in range(len(megabytes))]
        self.workers = [f"{worker}:{worker}" for worker in self.names]
        self.journal = directory / "own" / "memkill.journal"
        self.config = directory / "memkill.conf"
        self.paused = directory / "paused"
        self._environment = {**environment, "MEMKILL_TEST_PAUSED": str(self.paused)}
        for worker, size in zip(self.names, megabytes, strict=True):
            self._write_script(worker, size, leaky.command(*worker_options, name=worker))
        self.supervisord = RealSupervisord(directory, self.sections())

    def _write_script(self, worker: str, megabytes: int, command: str) -> None:
        started = shlex.quote(str(self.directory / f"{worker}.started"))
        first = f"if mkdir {started} 2>/dev/null; then exec {command} --megabytes {megabytes}; fi"
        (self.directory / f"{worker}.sh").write_text(f"{first}\nexec {command}\n")

    def sections(self, events: str = "TICK_5") -> str:
        """supervisord's sections, with the listener waiting for these events."""
        programs = [program(name, f"sh %(here)s/{name}.sh", stopwaitsecs=30) for name in self.names]
        command = [sys.executable, str(PROGRAMS / "pausing_listener.py"), "--config", str(self.config)]
        listener = program(
            "memkill",
            shlex.join(command),
            "eventlistener",
            events=events,
            environment=",".join(f'{key}="{value}"' for key, value in self._environment.items()),
            stderr_logfile="%(here)s/memkill.log",
        )
        return "\n".join([*programs, listener])

    def write_memkill(self, main: Settings, pool: Settings) -> None:
        """Write the listener's configuration; settings that are None are left out."""
        mains = {
            "host": self.name,
            "journal": self.journal,
            "heartbeat": "500ms",
            "slot_ttl": f"{SLOT_TTL_SECONDS:g}s",
            "poll_interval": "200ms",
            **main,
        }
        pools = {
            "programs": f"{self.name}_*",
            "max_rss": MAX_RSS,
            "min_uptime": "1s",
            "settle": "1s",
            **pool,
        }
        lines = ["[memkill]", *_lines(mains), f"[memkill:{POOL}]", *_lines(pools)]
        self.config.write_text("\n".join(lines) + "\n")

    # --- what is --------------------------------------------------------------------------------

    def process(self, worker: str) -> ProcessInfo:
        return self.supervisord.process(worker)

    def pids(self) -> dict[str, int]:
        return {worker: self.process(worker).pid for worker in self.workers}

    def bloat(self, name: str) -> int:
        """Start this worker again as if for the first time; the pid. Only a TICK finds it over its limit."""
        (self.directory / f"{name}.started").rmdir()
        self.supervisord.ctl("restart", f"{name}:{name}", check=True)
        return self.process(f"{name}:{name}").pid

    # --- the listener ---------------------------------------------------------------------------

    def listener_pid(self) -> int:
        return self.supervisord.wait_for_state(LISTENER, ProcessState.RUNNING).pid

    def resume_listener(self) -> None:
        os.kill(self.listener_pid(), signal.SIGCONT)

    def stop_listener(self) -> None:
        self.supervisord.ctl("stop", LISTENER, check=True)

    def start_listener(self) -> None:
        self.supervisord.ctl("start", LISTENER, check=True)

    def kill_listener(self) -> None:
        """SIGKILL, and wait until supervisord has started another one."""
        before = self.listener_pid()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.process(LISTENER).pid not in (0, before), message=self.log)

    # --- the machine ----------------------------------------------------------------------------

    def die(self) -> None:
        """All at once, as when the power fails."""
        everything = [self.supervisord.pid, *(process.pid for process in self.supervisord.offspring())]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: none sees another one's end
            for pid in everything:
                os.kill(pid, number)
        self.supervisord.kill()


def _lines(settings: Settings) -> list[str]:
    return [f"{key} = {value}" for key, value in settings.items() if value is not None]
