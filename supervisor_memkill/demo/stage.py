"""The demo's own supervisord with its workers and its listener, in a temporary directory."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from supervisor_memkill.config.options import REDIS_VARIABLE
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.demo.spool import Spool
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.world.supervisord import Supervisord

GROUP = "jobs"
PREFIX = "memkill-demo-"
SOCKET, OUTPUT, LOG = "sock", "supervisord.out", "memkill.log"
MAX_SOCKET_PATH = 90
"""Characters. unix(7) allows about 100 (sun_path), and supervisord at first adds its pid."""
STOP_SECONDS = 8.0
"""Time for supervisord to stop all workers, each of which finishes its running job."""
HASTE_SECONDS = 2.0
"""The same after an interruption."""
KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Leak:
    """The leak of one worker."""

    name: str
    bytes_per_second: int
    """Per second of work."""
    max_bytes: int


class Stage:
    """What `set_stage` has started."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.spool = Spool(directory)
        self.log = directory / LOG
        self.supervisord = Supervisord(f"unix://{directory / SOCKET}")
        self._process = process

    def check(self) -> None:
        """Raises MemkillError with the last line of supervisord's output when supervisord has ended."""
        if self._process.poll() is not None:
            output = (self.directory / OUTPUT).read_text(errors="replace").strip()
            words = output.rpartition("\n")[2] or "it printed nothing"
            status = self._process.returncode
            raise MemkillError(f"the demo's supervisord ended with status {status}: {words}")

    def close(self, patience_seconds: float = STOP_SECONDS) -> None:
        """Stop supervisord as an operator would, then kill what is left. May be called again.

        Raises MemkillError when a process cannot be killed.
        """
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_seconds)
        end = time.monotonic() + KILL_SECONDS
        while left := _living(self._process.pid):
            if time.monotonic() > end:
                raise MemkillError(
                    f"the demo could not end the processes {', '.join(str(one.pid) for one in left)}"
                )
            for one in left:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            time.sleep(0.05)
        self._process.wait()


@contextlib.contextmanager
def set_stage(leaks: Sequence[Leak], limit_bytes: int, python: str = sys.executable) -> Iterator[Stage]:
    """Start everything, and end and remove everything afterwards, whatever happens.

    supervisord may not answer yet when the stage is handed over.
    Raises MemkillError.
    """
    try:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=short_parent(tempfile.gettempdir())))
    except OSError as error:
        raise MemkillError(f"the demo cannot create its directory: {error}") from error
    try:
        stage = _start(directory, leaks, limit_bytes, python)
        try:
            yield stage
        finally:
            stage.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            raise MemkillError(f"the demo could not remove {directory}")


def short_parent(parent: str) -> str:
    """The directory for temporary files, or /tmp where that path is too long for a socket in it."""
    length = len(parent) + len(PREFIX) + len("/12345678/") + len(SOCKET)
    return parent if length < MAX_SOCKET_PATH else "/tmp"  # noqa: S108 - mkdtemp makes the name


def _start(directory: Path, leaks: Sequence[Leak], limit_bytes: int, python: str) -> Stage:
    try:
        Spool(directory).create()
        (directory / "supervisord.conf").write_text(supervisord_conf(leaks, python, os.getpid()))
        (directory / "memkill.conf").write_text(memkill_conf(limit_bytes, python))
        with (directory / OUTPUT).open("wb") as output:
            process = subprocess.Popen(
                [python, "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=environment(os.environ),
                # Ctrl-C must reach the demo alone, and the session is how all that it starts is found again.
                start_new_session=True,
            )
    except OSError as error:
        raise MemkillError(f"the demo's supervisord cannot be started: {error}") from error
    return Stage(directory, process)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables that lead to another supervisord or to a Redis."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("SUPERVISOR_") and name != REDIS_VARIABLE
    }


def _living(session: int) -> list[psutil.Process]:
    """The processes of supervisord's session, which its children and grandchildren do not leave.

    Commands that the listener runs have their own session; they end by themselves at once.
    """
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            process = psutil.Process(pid)
            if os.getsid(pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def supervisord_conf(leaks: Sequence[Leak], python: str, owner: int) -> str:
    """supervisord's configuration. The programs find their files in the current directory."""
    programs = "\n".join(_program(leak, python, owner) for leak in leaks)
    return f"""\
[supervisord]
logfile = %(here)s/supervisord.log
pidfile = %(here)s/supervisord.pid
childlogdir = %(here)s

[unix_http_server]
file = %(here)s/{SOCKET}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = memkill.conf

[group:{GROUP}]
programs = {",".join(leak.name for leak in leaks)}

{programs}"""


def _program(leak: Leak, python: str, owner: int) -> str:
    words = [python, "-m", "supervisor_memkill.demo.worker", leak.name, "--owner", str(owner)]
    words += ["--leak", str(leak.bytes_per_second), "--max", str(leak.max_bytes)]
    return f"""\
[program:{leak.name}]
command = {_command(words)}
redirect_stderr = true
"""


def memkill_conf(limit_bytes: int, python: str) -> str:
    """The file that a user would put into conf.d: the event listener and its pool."""
    return f"""\
[eventlistener:memkill]
command = {_command([python, "-m", "supervisor_memkill", "--config", "memkill.conf"])}
events = TICK_5
stdout_logfile = NONE
stderr_logfile = %(here)s/{LOG}

[memkill]
journal = %(here)s/journal
heartbeat = 1s
slot_ttl = 10s
poll_interval = 500ms

[memkill:demo]
programs = {GROUP}
max_rss = {limit_bytes}
min_uptime = 0
settle = 3s
worker = custom
quiet_signal = USR1
busy_command = cat %(name)s.busy
"""


def _command(words: Sequence[str]) -> str:
    """The words as one line, in which supervisord expands nothing."""
    return shlex.join(words).replace("%", "%%")
