"""Writes to standard output, for the commands that a person runs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

from supervisor_memkill.errors import MemkillError


def show(text: str) -> None:
    """Write the text now; a character that the terminal's encoding lacks becomes an escape.

    Raises BrokenPipeError when nobody reads any more, MemkillError when writing fails otherwise.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up()
        raise MemkillError(f"cannot write the output: {error.strerror or error}") from error


def warn(text: str) -> None:
    """Write one line to standard error: something is wrong, and the command goes on."""
    print(f"supervisor-memkill: {text}", file=sys.stderr, flush=True)  # noqa: T201 - as `main` prints an error


def columns() -> int | None:
    """The width of the terminal in characters; None: the output goes elsewhere, or the width is unknown."""
    if not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size((0, 0)).columns or None


def give_up() -> None:
    """Discard what is still buffered, so that Python does not complain about it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def has_colour(environ: Mapping[str, str]) -> bool:
    """Standard output is a terminal with colours. ``NO_COLOR`` turns them off (no-color.org)."""
    return sys.stdout.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
