"""Runs a command in the background, in the care of a guard: a process of its own that outlives nobody.

The guard ends the command with its whole tree when its time is over, and when the process that began it ends
or gives up, however it ends: the guard's standard input is a pipe that closes then. If the guard itself is
killed, the process that began it ends the tree.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.processes import ProcessId
from supervisor_memkill.world.commands import CommandEnd
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.run_command import feed_command, kill_tree

MAX_ERROR = 300
"""The longest text of an error, in characters."""
_GUARD = "import sys; sys.path[:] = {path!r}; from {module} import guard; guard()"
"""The guard finds its modules as this process did, whatever the environment says: the command gets that."""


class GuardedCommand:
    """One command with its guard."""

    def __init__(self, words: Sequence[str], limit_seconds: float) -> None:
        self._end: CommandEnd | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        code = _GUARD.format(path=sys.path, module=__name__)
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-c", code, repr(limit_seconds), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._end = CommandEnd(0.0, _short(f"it cannot be run: {error}"))

    def end(self) -> CommandEnd | None:
        """Raises no error."""
        guard = self._guard
        if guard is not None and self._end is None and guard.poll() is not None:
            self._end = _clear_up(guard)
            self._close(guard)
        return self._end

    def give_up(self) -> None:
        guard = self._guard
        if guard is None or guard.returncode is not None:
            return
        self._close_input(guard)

        def see_its_end() -> None:
            guard.wait()
            _clear_up(guard)
            self._close(guard)

        # Somebody must ask for its status, or its entry stays in the table of processes.
        with contextlib.suppress(RuntimeError):  # The system has no thread left.
            threading.Thread(target=see_its_end, name="guard", daemon=True).start()

    def _close(self, guard: subprocess.Popen[bytes]) -> None:
        self._close_input(guard)
        if guard.stdout is not None:
            guard.stdout.close()

    def _close_input(self, guard: subprocess.Popen[bytes]) -> None:
        if guard.stdin is not None:
            with contextlib.suppress(OSError):
                guard.stdin.close()


def _clear_up(guard: subprocess.Popen[bytes]) -> CommandEnd:
    """What the guard wrote: the command's process, then its end. It has ended, and nothing has its pipe.

    Without the second line the guard was killed: then the command is ended here, if it still is that process.
    """
    assert guard.stdout is not None
    process = b""
    try:
        process, _, answer = guard.stdout.read().partition(b"\n")
        values = json.loads(answer or "null")
        return CommandEnd(float(values["seconds"]), str(values["error"]))
    except (OSError, ValueError, TypeError, KeyError):
        _kill_if_it_runs(process)
        return CommandEnd(0.0, f"the process that ran it ended with status {guard.returncode}")


def _kill_if_it_runs(written: bytes) -> None:
    with contextlib.suppress(ValueError, TypeError, Unknown):
        pid, created = json.loads(written)
        if ProcessTable().is_alive(ProcessId(int(pid), float(created))):
            kill_tree(int(pid))


def guard() -> None:
    """The guard's program: the time limit and the words of the command are its arguments."""
    limit_seconds, *words = sys.argv[1:]
    # Whatever is written later on goes nowhere: the answer is one line.
    answer_fd = os.dup(sys.stdout.fileno())
    began, error = time.monotonic(), ""

    def report(pid: int) -> None:
        with contextlib.suppress(OSError, Unknown):
            process = ProcessTable().identify(pid)
            os.write(answer_fd, json.dumps([process.pid, process.created]).encode())

    try:
        feed_command(words, "", float(limit_seconds), _is_alone, name=shlex.quote(words[0]), began=report)
    except MemkillError as failure:
        error = _short(str(failure))
    except OSError as failure:
        error = _short(f"{shlex.quote(words[0])}: {failure}")
    answer = {"seconds": round(time.monotonic() - began, 3), "error": error}
    with contextlib.suppress(OSError):  # Nobody waits for it any more.
        os.write(answer_fd, b"\n" + json.dumps(answer).encode())


def _is_alone() -> bool:
    """The process that began this one has ended, or gives up: nobody ever writes to the pipe."""
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], 0.0)
    return bool(readable)


def _short(text: str) -> str:
    return text[:MAX_ERROR]
