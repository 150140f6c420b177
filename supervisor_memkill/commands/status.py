"""``supervisor-memkill status``: what the listener sees and does now."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import CONFIG, FAILURE, JSON, SERVER_OPTIONS, SUCCESS, Command
from supervisor_memkill.errors import MemkillError

if TYPE_CHECKING:
    from supervisor_memkill.commands.status_values import Status
    from supervisor_memkill.commands.terminal import Terminal

WATCH_SECONDS = 2.0
LOOKS_SHARE = 10
"""A look at a large pool in Redis takes long: the pause after it is so many times longer."""
STEP_SECONDS = 0.1
"""How soon a signal ends the watching."""
BEGIN_SCREEN, END_SCREEN = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
"""The alternate screen without a cursor, where a line that is too long is cut; and back."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="show only this pool, worker (group:name) or group; *, ? and [...] match",
    )
    parser.add_argument("--fleet", action="store_true", help="show the pools in Redis, with all hosts")
    parser.add_argument("--watch", action="store_true", help="repeat every 2 s, until Ctrl-C")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show the status; FAILURE if something is not well. Raises MemkillError."""
    if arguments.watch:
        return _watch(arguments, environ)
    status = _status(arguments, environ)
    output.show(_text(arguments, status, output.terminal(environ)))
    return FAILURE if status.problems else SUCCESS


def _status(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Status:
    from supervisor_memkill.commands.status_read import read_fleet, read_here

    status = read_fleet(arguments, environ) if arguments.fleet else read_here(arguments, environ)
    is_seen = status.listener.pid is not None if status.fleet is None else True
    shown = [one.name for one in (status.pools if status.fleet is None else status.fleet)]
    if arguments.names and is_seen and not shown:
        raise MemkillError(f"no pool or worker has the name {' '.join(arguments.names)}")
    return status


def _text(arguments: argparse.Namespace, status: Status, terminal: Terminal) -> str:
    from supervisor_memkill.commands.status_screen import screen
    from supervisor_memkill.commands.status_values import as_json

    if arguments.json:
        return as_json(status, in_one_line=arguments.watch)
    return output.text_of(screen(output.as_shown(status), terminal, with_workers=bool(arguments.names)))


# --- again and again ------------------------------------------------------------------------------------


def _watch(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show the status until a signal comes; the exit status is that of the last screen."""
    from supervisor_memkill.demo.interruption import Interruption

    draws = sys.stdout.isatty() and not arguments.json and environ.get("TERM") != "dumb"
    _status(arguments, environ)  # What is wrong from the beginning is one line and no screen.
    with Interruption() as interruption:
        try:
            if draws:
                output.show(BEGIN_SCREEN)
            status = SUCCESS
            while not interruption.number:
                began = time.monotonic()
                status = _show_again(arguments, environ, draws=draws)
                took_seconds = time.monotonic() - began
                until = time.monotonic() + max(WATCH_SECONDS, LOOKS_SHARE * took_seconds)
                while time.monotonic() < until and not interruption.number:
                    time.sleep(STEP_SECONDS)
        finally:
            if draws:
                output.show(END_SCREEN)
    return status


def _show_again(arguments: argparse.Namespace, environ: Mapping[str, str], *, draws: bool) -> int:
    terminal = output.terminal(environ)
    try:
        shown = _status(arguments, environ)
    except MemkillError as error:  # It may pass, as a restart of supervisord does.
        text, status = _text_of_error(error, terminal, as_object=arguments.json), FAILURE
    else:
        text, status = _text(arguments, shown, terminal), FAILURE if shown.problems else SUCCESS
    if draws:
        output.show(frame(text.splitlines(), terminal.lines))
    elif arguments.json:
        output.show(text)
    else:
        output.show(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")
    return status


def _text_of_error(error: MemkillError, terminal: Terminal, *, as_object: bool) -> str:
    """`as_object`: a program reads one object per line."""
    if not as_object:
        return output.text_of(terminal.wrap(f"supervisor-memkill: {error}"))
    from supervisor_memkill.commands.status_read import unseen
    from supervisor_memkill.commands.status_values import as_json

    return as_json(unseen(error), in_one_line=True)


def frame(lines: Sequence[str], height: int | None) -> str:
    """The lines from the top of the screen on; what was there is overwritten, and a longer text is cut."""
    shown = list(lines)
    if height is not None and len(lines) > height:
        shown = [*lines[: height - 1], f"({len(lines) - height + 1} more lines: name a pool or a worker)"]
    return "\x1b[H" + "\x1b[K\r\n".join(shown) + "\x1b[K\x1b[J"


COMMAND = Command(
    "status",
    "show the state of the listener: pools, workers, drains, requests, pauses",
    run,
    (CONFIG, JSON, *SERVER_OPTIONS),
    add_arguments,
)
