"""Calls a function in a short-lived child process: what it imports is not in the memory of this process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from supervisor_memkill.errors import MemkillError

try:
    from _pickle import loads  # The C part of pickle: the rest of it would need 0.4 MB here.
except ImportError:  # not CPython
    from pickle import loads

T = TypeVar("T")

LIMIT_SECONDS = 60.0
"""Far above what reading a configuration takes. A child of a process with threads may hang for good."""


def in_child(
    work: Callable[[], T], limit_seconds: float = LIMIT_SECONDS, fork: Callable[[], int] = os.fork
) -> T:
    """What `work` returns; also raises the MemkillError or SystemExit that it raises.

    To be called before the first thread is started. If there can be no child, if it dies or takes longer
    than the limit, or if its answer cannot be sent, this process calls `work` itself. When this process ends,
    however that is, the child ends, too.
    """
    reader, writer = os.pipe()
    ended, lives = os.pipe()
    _flush()  # Else the child would write the same text a second time.
    try:
        pid = fork()
    except OSError:
        for descriptor in (reader, writer, ended, lives):
            os.close(descriptor)
        return work()
    if pid == 0:
        os.close(reader)
        os.close(lives)
        _end_with_parent(ended)
        _answer(work, writer)
    os.close(writer)
    os.close(ended)
    sent = _read(reader, limit_seconds)
    os.close(reader)
    os.close(lives)
    with contextlib.suppress(ChildProcessError):  # Whoever ignores SIGCHLD has no child to wait for.
        if not sent and os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)  # It hangs.
        os.waitpid(pid, 0)
    try:
        is_result, answer = loads(sent)  # noqa: S301 - from this program itself
    except Exception:  # noqa: BLE001 - pickle names no others; `work` then fails here, and says why
        return work()
    if is_result:
        result: T = answer
        return result
    raise answer


def _read(reader: int, limit_seconds: float) -> bytes:
    """All that the child sends; empty: it sent nothing, or not all of it within the limit."""
    end, sent = time.monotonic() + limit_seconds, b""
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        chunk = os.read(reader, 65536)
        if not chunk:
            return sent
        sent += chunk
    return b""


def _end_with_parent(ended: int) -> None:
    """The work may hang, as on a file system that does not answer; nobody else would end this child."""
    import threading

    def wait() -> None:
        os.read(ended, 1)
        os._exit(0)

    with contextlib.suppress(RuntimeError):  # The system has no thread left.
        threading.Thread(target=wait, daemon=True).start()


def _answer(work: Callable[[], object], writer: int) -> NoReturn:
    """End as a child, whatever happens."""
    try:
        try:
            answer: tuple[bool, object] = (True, work())
        except (MemkillError, SystemExit) as error:
            answer = (False, error)
        from pickle import dumps

        sent = dumps(answer)
        _flush()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(sent)
    finally:
        os._exit(0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
