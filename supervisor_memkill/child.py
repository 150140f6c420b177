"""Calls a function in a short-lived child process: what it imports is not in the memory of this process."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from supervisor_memkill.errors import MemkillError

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """What `work` returns; also raises the MemkillError or SystemExit that it raises.

    To be called before the first thread is started. If there can be no child, if it dies, or if its answer
    cannot be sent, this process calls `work` itself. The child ends with this process, however that ends.
    """
    reader, writer = os.pipe()
    ended, lives = os.pipe()
    _flush()  # Else the child would write the same text a second time.
    try:
        pid = os.fork()
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
    with os.fdopen(reader, "rb") as pipe:
        sent = pipe.read()
    os.close(lives)
    with contextlib.suppress(ChildProcessError):  # Whoever ignores SIGCHLD has no child to wait for.
        os.waitpid(pid, 0)
    try:
        is_result, answer = pickle.loads(sent)  # noqa: S301 - from this program itself
    except Exception:  # noqa: BLE001 - pickle names no others; `work` then fails here, and says why
        return work()
    if is_result:
        result: T = answer
        return result
    raise answer


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
        sent = pickle.dumps(answer)
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
