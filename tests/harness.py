"""What tests against real programs share: waiting, ports, directories, and what this machine must have."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

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


PATIENCE_SECONDS = 300
"""How long a busy machine may take for a moment's work of an idle one, or for one drain with its start."""


def wait_for(
    condition: Callable[[], T],
    seconds: float = PATIENCE_SECONDS,
    message: str | Callable[[], str] = "",
    every: float = 0.05,
    progress: Callable[[], object] = lambda: None,
) -> T:
    """The first true value of the condition; fails the test when none comes within the limit.

    The limit begins anew with each new value of `progress`, which must come to an end by itself: a wait for
    several things gives each of them its time.
    """
    __tracebackhide__ = True  # the place of the failure is the caller's
    end, seen = time.monotonic() + seconds, progress()
    while True:
        value = condition()
        if value:
            return value
        if (now := progress()) != seen:
            end, seen = time.monotonic() + seconds, now
        elif time.monotonic() > end:
            words = message() if callable(message) else message
            name = getattr(condition, "__qualname__", repr(condition))
            pytest.fail(f"waited {seconds:g} s in vain: {name}\n{words}")
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


@functools.cache
def _why_no_mount() -> str:
    words = ["unshare", "--mount", "mount", "-t", "proc", "proc", "/proc"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr.strip()


def require_mount() -> None:
    """Skip the test where the machine allows no mount, also in CI: as root in a container or a chroot."""
    require_program("unshare")
    if why_not := _why_no_mount():
        pytest.skip(f"this machine does not allow mount: {why_not}")


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


class StartedProcess:
    """A server of a test, as the process that the test started."""

    _process: subprocess.Popen[bytes] | None = None
    """None: it was not started."""

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

    def kill(self) -> None:
        """SIGKILL for this process alone: its children are left as they are."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
