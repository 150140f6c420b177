"""Writes to standard output, for the commands that a person runs."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from supervisor_memkill.commands.command import OUTPUT_CLOSED, PROGRAM
from supervisor_memkill.errors import MemkillError, one_line

if TYPE_CHECKING:
    from supervisor_memkill.commands.terminal import Terminal

Made = TypeVar("Made")


def show(text: str) -> None:
    """Write the text now; a character that the terminal's encoding lacks becomes an escape.

    Raises BrokenPipeError when nobody reads any more, MemkillError when writing fails otherwise.
    """
    if sys.stdout is None:
        raise MemkillError(OUTPUT_CLOSED)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up()
        raise MemkillError(f"cannot write the output: {error.strerror or error}") from error


def say(line: str) -> None:
    """Write one line. Names in it, which may come from Redis, cannot steer the terminal. Raises as `show`."""
    show(f"{one_line(line)}\n")


def show_made(
    made: Made,
    environ: Mapping[str, str],
    *,
    as_json: Callable[[Made], str] | None,
    screen: Callable[[Made, Terminal], Sequence[str]],
) -> None:
    """Write the values as JSON, or as lines for the terminal if `as_json` is None. Raises as `show` does."""
    show(as_json(made) if as_json is not None else text_of(screen(as_shown(made), terminal(environ))))


def as_shown(made: Made, encoding: str | None = None) -> Made:
    """The same values with texts as `show` writes them: an escape takes its room in a column.

    `encoding`: that of the output; None: that of standard output.
    """
    encoding = encoding or sys.stdout.encoding or "utf-8"
    if encoding.lower().startswith("utf"):
        return made  # It has every character, and there may be thousands of values.
    shown: Made = _as_shown(made, encoding)
    return shown


def _as_shown(value: Any, encoding: str) -> Any:
    if type(value) is str:
        return value.encode(encoding, "backslashreplace").decode(encoding)
    if type(value) in (tuple, list):
        return type(value)(_as_shown(one, encoding) for one in value)
    if isinstance(value, Mapping):
        return {_as_shown(key, encoding): _as_shown(one, encoding) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(
            value, **{name: _as_shown(getattr(value, name), encoding) for name in names}
        )
    return value


def text_of(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def warn(text: str) -> None:
    """Write one line to standard error. Where that cannot be written, the exit status alone is left."""
    try:
        print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the one line of an error
    except OSError:
        give_up(2)


def columns() -> int | None:
    """The width of the terminal in characters; None: the output goes elsewhere, or the width is unknown.

    COLUMNS in the environment comes first: watch(1) reads the output from a pipe, and sets COLUMNS.
    """
    return shutil.get_terminal_size((0, 0)).columns or None


def terminal(environ: Mapping[str, str]) -> Terminal:
    """Where standard output goes."""
    from supervisor_memkill.commands.terminal import Terminal

    lines = shutil.get_terminal_size((0, 0)).lines or None
    made = Terminal.of(columns(), lines, sys.stdout.encoding, environ)
    return dataclasses.replace(made, has_colour=made.has_colour and sys.stdout.isatty())


def give_up(stream_fd: int = 1) -> None:
    """Discard what is still buffered, so that Python does not complain about it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream_fd)


def has_colour(environ: Mapping[str, str]) -> bool:
    """Standard output is a terminal with colours. ``NO_COLOR`` turns them off (no-color.org)."""
    return sys.stdout.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
