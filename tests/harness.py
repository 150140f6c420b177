"""What tests against real programs share: a supervisord, a Redis, workers, and waiting for things."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import redis

from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError
from tests import journals

PROGRAMS = Path(__file__).parent / "programs"
SUPERVISOR42_PYTHON = "MEMKILL_TEST_SUPERVISOR42_PYTHON"
"""Names the variable that names a Python interpreter with supervisor 4.2.5 and the oldest redis-py."""
WORKERS_PYTHON = "MEMKILL_TEST_WORKERS_PYTHON"
"""Likewise, with the newest release of each worker framework."""
OLD_WORKERS_PYTHON = "MEMKILL_TEST_OLD_WORKERS_PYTHON"
"""Likewise, with the oldest releases supported, and with those that want an older redis-py."""

ROOTS = Path(os.environ.get("MEMKILL_TEST_ROOTS") or PROGRAMS.parents[1] / ".roots").absolute()
"""The folders of scripts/make-test-roots."""

T = TypeVar("T")


PATIENCE_SECONDS = 120
"""How long a busy machine may take for what takes a moment on an idle one."""


def wait_for(
    condition: Callable[[], T],
    seconds: float = PATIENCE_SECONDS,
    message: str | Callable[[], str] = "",
    every: float = 0.05,
) -> T:
    """The first true value of the condition; fails the test when none comes within the limit."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            words = message() if callable(message) else message
            pytest.fail(f"waited {seconds:g} s in vain: {words or condition!r}")
        time.sleep(every)


_FIRST_PORT, _LAST_PORT = 10_000, 30_000
"""Below the range that kernels take ports from for whoever asks for any."""
_reservations: deque[socket.socket] = deque(maxlen=200)
"""Far more than one test uses; the oldest ones are given up."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on, and that no other test is given.

    The UDP port of the same number is kept as a mark, so that tests in other processes leave it alone
    before its server has begun to listen, and while that server is away.
    """
    while True:
        port = random.randrange(_FIRST_PORT, _LAST_PORT)
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _reservations.append(mark)
        return port


def missing(reason: str) -> None:
    """Skip the test for a user who lacks a program; fail it in CI, where nothing may be left out."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def require_program(name: str) -> str:
    """The path of a program that the test needs."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not installed")
    assert path is not None
    return path


def interpreter(variable: str) -> str:
    """The Python interpreter that an environment variable names."""
    path = os.environ.get(variable)
    if not path:
        missing(f"{variable} is not set")
    assert path is not None
    return path


def supervisor42_python() -> str:
    """The interpreter that has supervisor 4.2.5 and the oldest redis-py."""
    return interpreter(SUPERVISOR42_PYTHON)


def words_for_root(suite: str, roots: Path = ROOTS) -> list[str]:
    """The words in front of a command that run it in a later suite of Debian, with the same pid.

    Skips the test where the machine does not allow such a folder, also in CI: scripts/make-test-roots printed
    that in one line.
    """
    root, why_not = roots / suite, roots / "why-not"
    if not (root / ".made-from").exists():
        if why_not.exists():
            pytest.skip(f"Debian {suite}: {why_not.read_text().strip()}")
        missing(f"Debian {suite} is not in {roots}: run make test-roots")
    return [str(PROGRAMS / "in_root"), str(root)]


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the name of a unix socket (about 100 characters)."""
    path = Path(tempfile.mkdtemp(prefix="mk-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        journals.remove([journals.of_directory(path)])


class Offspring:
    """Finds every process that came from one start, orphans included, by a mark in its environment."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment to start with."""
        return {**os.environ, **(extra or {}), "MEMKILL_TEST_MARK": self._mark}

    def living(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                marked = process.environ().get("MEMKILL_TEST_MARK") == self._mark
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def end(self) -> None:
        """Kill whatever lives, and fail the test if it cannot be."""
        wait_for(lambda: not self._kill(), message=lambda: f"processes survive: {self.living()}")

    def _kill(self) -> list[psutil.Process]:
        living = self.living()
        for process in living:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return living


def program(name: str, command: str, kind: str = "program", **settings: object) -> str:
    """The text of a section: ``program("leaky", "sleep 9", numprocs=2, process_name="...")``."""
    lines = [f"[{kind}:{name}]", f"command = {command}"]
    lines += [f"{key} = {value}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


class RealSupervisord:
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
        self._process: subprocess.Popen[bytes] | None = None
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

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

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

    def kill(self) -> None:
        """SIGKILL for supervisord alone: its children are left as they are."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def offspring(self) -> list[psutil.Process]:
        """Every living process that came from it, orphans included, supervisord itself left out."""
        return [process for process in self._offspring.living() if process.pid != self.pid]


class RealRedis:
    """A Redis server of its own, on a port and a unix socket, that keeps nothing on disk."""

    def __init__(self, directory: Path, *arguments: str, program: Sequence[str] = ()) -> None:
        """`program`: the words that start the server, if it is not this machine's redis-server."""
        self.directory = directory
        self.port = free_port()
        self.socket = directory / "r.sock"
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.unix_url = f"unix://{self.socket}?db=0"
        self._program = list(program) or [require_program("redis-server")]
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RealRedis:
        """Start it, empty, and wait until it answers."""
        command = [
            *self._program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.directory),
        ]
        command += ["--unixsocket", str(self.socket), "--save", "", "--appendonly", "no", *self._arguments]
        with (self.directory / "redis.out").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        wait_for(self._answers, message=lambda: f"Redis does not answer:\n{self.output()}")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"Redis ended:\n{self.output()}")
        try:
            with contextlib.closing(self.client()) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self, **options: Any) -> redis.Redis:
        """A client of its own connections, with decoded strings."""
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=5, **options)

    def output(self) -> str:
        path = self.directory / "redis.out"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """It takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Connections are refused from now on; its data is gone."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()

    kill = stop

    def restart(self) -> None:
        self.stop()
        self.start()


class LeakyWorkers:
    """The directory of a pool of tests/programs/leaky_worker.py: its spool, its record, its command."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spool = directory / "spool"
        self.spool.mkdir(exist_ok=True)
        self.record = directory / "record"
        self.record.touch()

    def command(self, *options: str, name: str | None = None) -> str:
        """The command line; with `name` the worker keeps its busy count in `busy_file(name)`.

        `name` may hold supervisord's ``%(process_num)s``.
        """
        arguments = [sys.executable, str(PROGRAMS / "leaky_worker.py"), *options]
        arguments += ["--spool", str(self.spool), "--record", str(self.record)]
        if name is not None:
            arguments += ["--busy-file", str(self.busy_file(name))]
        return shlex.join(arguments)

    def busy_file(self, name: str) -> Path:
        return self.directory / f"busy-{name}"

    def put(self, job: str, seconds: float | None = None) -> None:
        """Put a job into the spool at once as a whole."""
        fresh = self.spool / f"{job}.new"
        fresh.write_text("" if seconds is None else str(seconds))
        fresh.rename(self.spool / f"{job}.job")

    def facts(self, word: str) -> list[str]:
        """What follows this word ("start", "finish", "quiet" ...) in each line of the record."""
        lines = [line.split() for line in self.record.read_text().splitlines()]
        return [" ".join(rest) for first, *rest in lines if first == word]

    def started(self) -> Counter[str]:
        """How often each job was begun."""
        return Counter(fact.split()[0] for fact in self.facts("start"))

    def finished(self) -> Counter[str]:
        """How often each job was finished."""
        return Counter(fact.split()[0] for fact in self.facts("finish"))
