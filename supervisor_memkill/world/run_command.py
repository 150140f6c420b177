"""Runs a command of the operator: without a shell, with a time limit, and without leaving processes."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.processes import ProcessId

POLL_SECONDS = 0.05
KILLED_WITHIN_SECONDS = 1.0
MAX_OUTPUT_BYTES = 64 * 1024
"""More output of a command that is fed is read and thrown away."""
_CHUNK_BYTES = 16 * 1024


def run_command(words: Sequence[str], limit_seconds: float) -> str:
    """Run the command and return its output. An error names its first word: the others may hold a secret.

    Raises NotSent if it cannot be run or ends with a status other than 0. Raises MemkillError if its output
    is still open after the limit; then it is killed, with all processes that it started.
    """
    name = shlex.quote(words[0])
    process = _start(name, words, subprocess.DEVNULL)
    with process:
        try:
            output, complaints = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired as error:
            _end_tree(process)
            raise MemkillError(f"{name}: not done within {limit_seconds:g} s") from error
    _check_status(name, process.returncode, complaints)
    return output.decode(errors="replace")


def feed_command(
    words: Sequence[str],
    text: str,
    limit_seconds: float,
    is_given_up: Callable[[], bool] = lambda: False,
    *,
    name: str = "",
    began: Callable[[int], None] = lambda pid: None,
) -> str:
    """Run the command with this text on its standard input; the beginning of its output.

    Raises NotSent and MemkillError as `run_command` does. It is done when its first process has ended,
    whatever that left in the background. `is_given_up`, asked all the while, ends it before its limit.
    `name` stands for the command in an error; without it, the first word does. `began` gets the pid of its
    first process at once.
    """
    name = name or shlex.quote(words[0])
    process = _start(name, words, subprocess.PIPE)
    began(process.pid)
    with contextlib.ExitStack() as closing:
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            closing.callback(pipe.close)
        exchange = _Exchange(process, text.encode())
        closing.callback(exchange.close)
        end = time.monotonic() + limit_seconds
        while process.poll() is None:
            exchange.go_on(POLL_SECONDS)
            if time.monotonic() >= end or is_given_up():
                _end_tree(process)
                why = f"not done within {limit_seconds:g} s" if time.monotonic() >= end else "given up"
                raise MemkillError(f"{name}: {why}")
        exchange.read_rest()
    _check_status(name, process.returncode, exchange.complaints)
    return exchange.output.decode(errors="replace")


def _start(name: str, words: Sequence[str], stdin: int) -> subprocess.Popen[bytes]:
    """Its output must be a pipe: stdout of this process belongs to supervisord's protocol."""
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise NotSent(f"{name}: {error}") from error


def _check_status(name: str, status: int, complaints: bytes) -> None:
    if status != 0:
        last_words = complaints.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotSent(f"{name}: status {status}{last_words and ': ' + last_words[:200]}")


def kill_tree(pid: int) -> None:
    """Kill a command with its process group, and with those of its descendants that left the group.

    `pid`: its first process, which must be the leader of the group, and which no other process can be.
    """
    # psutil finds no descendant where /proc hides one process of another user (giampaolo/psutil#2026).
    from supervisor_memkill.world.memory import ProcessTable

    table, descendants = ProcessTable(), tuple[ProcessId, ...]()
    with contextlib.suppress(Unknown):
        descendants = table.tree(pid)[1:]
    with contextlib.suppress(OSError):  # It ended, or became another user's.
        os.killpg(pid, signal.SIGKILL)
    for one in descendants:
        with contextlib.suppress(Unknown, OSError):
            if table.is_alive(one):
                os.kill(one.pid, signal.SIGKILL)


def _end_tree(process: subprocess.Popen[bytes]) -> None:
    kill_tree(process.pid)
    with contextlib.suppress(subprocess.TimeoutExpired):  # It waits for a disk that does not answer.
        process.wait(KILLED_WITHIN_SECONDS)


class _Exchange:
    """What goes into a process and comes out of it. The process may read and write as it likes."""

    def __init__(self, process: subprocess.Popen[bytes], text: bytes) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._rest = text
        self.output = b""
        self.complaints = b""
        """The end of its standard error."""
        self._selector = selectors.DefaultSelector()
        for pipe, event in (
            (self._stdin, selectors.EVENT_WRITE),
            (self._stdout, selectors.EVENT_READ),
            (self._stderr, selectors.EVENT_READ),
        ):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, event)

    def close(self) -> None:
        self._selector.close()

    def go_on(self, wait_seconds: float) -> None:
        """Write and read what can be written and read, after a wait of this length at most."""
        if not self._selector.get_map():
            time.sleep(wait_seconds)  # It closed its pipes, and lives.
            return
        for key, _ in self._selector.select(wait_seconds):
            if key.fileobj is self._stdin:
                self._write()
            else:
                self._read(key.fileobj)

    def read_rest(self) -> None:
        """Read what is in the pipes already; a process in the background may hold them open."""
        for _ in range(MAX_OUTPUT_BYTES // _CHUNK_BYTES):
            for pipe in (self._stdout, self._stderr):
                if pipe in self._selector.get_map():
                    self._read(pipe)

    def _write(self) -> None:
        try:
            self._rest = self._rest[os.write(self._stdin.fileno(), self._rest[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:  # It does not read its input.
            self._rest = b""
        if not self._rest:
            self._selector.unregister(self._stdin)
            self._stdin.close()

    def _read(self, pipe: object) -> None:
        try:
            chunk = os.read(pipe.fileno(), _CHUNK_BYTES)  # type: ignore[attr-defined]
        except BlockingIOError:
            return
        if not chunk:
            self._selector.unregister(pipe)  # type: ignore[arg-type]
        elif pipe is self._stdout:
            self.output = (self.output + chunk)[:MAX_OUTPUT_BYTES]
        else:
            self.complaints = (self.complaints + chunk)[-_CHUNK_BYTES:]
