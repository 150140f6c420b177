"""A real supervisord for a test, and the sections of its configuration."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError
from tests import journals
from tests.harness import PATIENCE_SECONDS, Offspring, StartedProcess, free_port, wait_for


def program(name: str, command: str, kind: str = "program", **settings: object) -> str:
    """The text of a section: ``program("leaky", "sleep 9", numprocs=2, process_name="...")``."""
    lines = [f"[{kind}:{name}]", f"command = {command}"]
    lines += [f"{key} = {value}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


class RealSupervisord(StartedProcess):
    """A supervisord of its own, in a directory of its own, running the given program sections."""

    def __init__(
        self,
        directory: Path,
        sections: str = "",
        *,
        python: str = sys.executable,
        inet: bool = False,
        password: str | None = None,
        identifier: str = "supervisor",
        rpcinterface: bool = True,
        environment: Mapping[str, str] | None = None,
        loglevel: str = "info",
        minfds: int = 1024,
        arguments: Sequence[str] = ("-c", "{config}"),
    ) -> None:
        """With `inet` it listens on a TCP port instead of its unix socket.

        With `password` its user is ``user``. `minfds`: three descriptors for each of its processes, and more.
        `arguments`: after ``-n``, with the path of its configuration.
        """
        self.directory = directory
        self.config = directory / "supervisord.conf"
        self.socket = directory / "s.sock"
        self.port = free_port() if inet else None
        if self.port is not None:
            journals.note(journals.of_port(self.port))
        self.url = f"http://127.0.0.1:{self.port}" if inet else f"unix://{self.socket}"
        self.username = "user" if password is not None else None
        self.password = password
        self.proxy = Supervisord(self.url, self.username, password, timeout_seconds=10)
        self._python = python
        self._identifier = identifier
        self._rpcinterface = rpcinterface
        self._environment = environment
        self._loglevel = loglevel
        self._minfds = minfds
        self._arguments = [argument.format(config=self.config) for argument in arguments]
        self._offspring = Offspring()
        self.write_config(sections)

    def write_config(self, sections: str) -> None:
        """Write the configuration anew; `ctl("update")` makes a running supervisord take it up."""
        self.config.write_text("\n".join([*self._head(), sections]))

    def _head(self) -> Iterator[str]:
        yield "[supervisord]\nnodaemon = true\npidfile = %(here)s/supervisord.pid"
        yield f"logfile = %(here)s/supervisord.log\nloglevel = {self._loglevel}"
        yield f"childlogdir = %(here)s\nidentifier = {self._identifier}\nminfds = {self._minfds}"
        if self.port is None:
            yield f"[unix_http_server]\nfile = {self.socket}"
        else:
            yield f"[inet_http_server]\nport = 127.0.0.1:{self.port}"
        credentials = ""
        if self.password is not None:
            credentials = f"username = {self.username}\npassword = {self.password}"
        yield credentials
        yield f"[supervisorctl]\nserverurl = {self.url}\n{credentials}"
        if self._rpcinterface:
            yield "[rpcinterface:supervisor]"
            yield "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface"

    def environment(self) -> dict[str, str]:
        """For a process that is to count as its offspring, and so is ended with it."""
        return self._offspring.environment(self._environment)

    def start(self) -> RealSupervisord:
        """Start it and wait until it answers."""
        with (self.directory / "supervisord.out").open("ab") as output:
            self._process = subprocess.Popen(
                [self._python, "-m", "supervisor.supervisord", "-n", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                cwd=self.directory,
            )
        wait_for(
            self._answers, message=lambda: f"supervisord does not answer:\n{self.output()}\n{self.log()}"
        )
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"supervisord ended:\n{self.output()}\n{self.log()}")
        if not self._rpcinterface:
            return self.port is not None or self.socket.exists()
        try:
            return self.proxy.pid() == self._process.pid
        except SupervisordError:
            return False

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ctl(self, *arguments: str, check: bool = False) -> str:
        """Run supervisorctl; what it printed. Its exit status counts only with `check`."""
        done = subprocess.run(
            [self._python, "-m", "supervisor.supervisorctl", "-c", str(self.config), *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=check,
        )
        return done.stdout + done.stderr

    def stop_by_hand(self, worker: str) -> None:
        """Stop it as supervisorctl does, without the second that supervisorctl takes to start.

        Raises NotRunning.
        """
        self.proxy.stop(worker)
        self.wait_for_state(worker, ProcessState.STOPPED)

    def process(self, worker: str) -> ProcessInfo:
        """supervisord's word on a process that must be there."""
        found = self.proxy.process(worker)
        assert found is not None, f"{worker} is not in supervisord's configuration"
        return found

    def wait_for_state(
        self, worker: str, *states: ProcessState, seconds: float = PATIENCE_SECONDS
    ) -> ProcessInfo:
        """The process once it is in one of these states."""

        def in_state() -> list[ProcessInfo]:
            return [info for info in [self.process(worker)] if info.state in states]

        def words() -> str:
            return f"{worker} in {states}; it is {self.process(worker)}\n{self.log()}"

        return wait_for(in_state, seconds, words)[0]

    def log(self, name: str = "supervisord.log") -> str:
        """The text of a log in its directory, or "" while there is none."""
        path = self.directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    def output(self) -> str:
        return self.log("supervisord.out")

    def begin_shutdown(self) -> None:
        """Ask it to shut down, and return at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def stop(self, seconds: float = 20) -> None:
        """Shut it down as an operator would; kill it and all that came from it if that takes too long."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()
        self._offspring.end()

    def restart(self) -> None:
        self.stop()
        self.start()

    def offspring(self) -> list[psutil.Process]:
        """Every living process that came from it, orphans included, supervisord itself left out."""
        return [process for process in self._offspring.living() if process.pid != self.pid]
