"""What a process without privileges sees. Only root can start one."""

from __future__ import annotations

import os
from collections.abc import Callable

from supervisor_memkill.errors import MemkillError


def as_another_user(question: Callable[[], str]) -> str:
    """The answer of a process without privileges, or the words of its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing may leave this branch: it is a second pytest.
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writer, question().encode())
        except MemkillError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        words = answer.read()
    os.waitpid(child, 0)
    return words
