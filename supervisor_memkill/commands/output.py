"""What is written to standard output, by a command that a person runs."""

from __future__ import annotations

import os
import sys

from supervisor_memkill.errors import MemkillError


def show(text: str) -> None:
    """Write it now; what the terminal's encoding does not have stands there as an escape.

    Raises BrokenPipeError when nobody reads it, MemkillError when it cannot be written otherwise.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up()
        raise MemkillError(f"its output cannot be written: {error.strerror or error}") from error


def give_up() -> None:
    """Write no more: Python must not complain about what is left at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
