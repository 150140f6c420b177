"""``supervisor-memkill restart``: replace workers one by one, without losing a job."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import (
    CONFIG,
    INTERRUPTED,
    SERVER_OPTIONS,
    SUCCESS,
    Command,
)
from supervisor_memkill.errors import MemkillError, UsageError
from supervisor_memkill.units import parse_positive_duration

if TYPE_CHECKING:
    from supervisor_memkill.commands.progress import Progress
    from supervisor_memkill.commands.request import Requester
    from supervisor_memkill.rules.requests import TakenRequest

EXPIRES_SECONDS = 86400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a pool, a worker (group:name) or a group; *, ? and [...] match",
    )
    parser.add_argument("--wait", action="store_true", help="show the progress until all are replaced")
    parser.add_argument("--timeout", metavar="TIME", help="with --wait: end with status 1 after this time")
    parser.add_argument("--cancel", action="store_true", help="withdraw restarts that have not begun")
    parser.add_argument(
        "--expires", metavar="TIME", default="1d", help="forget the request after this time (default: 1d)"
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Request the restart; with --wait show its progress. Raises MemkillError."""
    from supervisor_memkill.commands.request import requester
    from supervisor_memkill.rules.requests import Act

    expires_seconds = duration("--expires", arguments.expires)
    timeout_seconds = None if arguments.timeout is None else duration("--timeout", arguments.timeout)
    if timeout_seconds is not None and not arguments.wait:
        raise UsageError("--timeout needs --wait")
    made = requester(arguments, environ)
    if arguments.cancel:
        if arguments.wait:
            raise UsageError("--cancel does not take --wait")
        made.send(Act.CANCEL, arguments.names, lasts_seconds=expires_seconds)
        output.show("withdrawn: restarts that have not begun; a drain under way is finished\n")
        return SUCCESS
    try:
        return _restart(made, arguments.names, expires_seconds, timeout_seconds, waits=arguments.wait)
    except KeyboardInterrupt:
        output.show(
            "\nstopped watching; the restart goes on. To withdraw what has not begun:"
            f" supervisor-memkill restart --cancel {' '.join(arguments.names)}\n"
        )
        return INTERRUPTED


def _restart(
    made: Requester,
    names: Sequence[str],
    expires_seconds: float,
    timeout_seconds: float | None,
    *,
    waits: bool,
) -> int:
    from supervisor_memkill.rules.requests import Act

    taken = made.send(Act.RESTART, names, lasts_seconds=expires_seconds)
    if not taken.workers:
        pools = ", ".join(made.pools)
        raise MemkillError(f"no worker that runs has the name {' '.join(names)}; the pools are {pools}")
    workers = ", ".join(taken.workers)
    output.show(f"requested: {len(taken.workers)} to be replaced, one after another: {workers}\n")
    return _watch(made, taken, timeout_seconds) if waits else SUCCESS


def duration(option: str, value: str) -> float:
    """The value of an option in seconds. Raises UsageError."""
    try:
        return parse_positive_duration(value)
    except ValueError as error:
        raise UsageError(f"{option}: must be {error}") from None


def _watch(made: Requester, taken: TakenRequest, timeout_seconds: float | None) -> int:
    watcher = _Watcher(taken)
    ended = watcher.watch(made, timeout_seconds)
    watcher.close()
    if ended is None:
        raise MemkillError(f"not all were replaced in time: {_left(watcher.last)}")
    if not ended.is_served:
        raise MemkillError(f"not replaced: {_left(ended)}")
    output.show(f"replaced: all {len(taken.workers)}\n")
    return SUCCESS


def _left(made: Progress | None) -> str:
    from supervisor_memkill.commands.progress import as_words
    from supervisor_memkill.rules.standing import Standing

    lines = made.lines if made is not None else ()
    return "; ".join(as_words(line) for line in lines if line.standing is not Standing.REPLACED)


class _Watcher:
    """Shows the progress: one line that is drawn again on a terminal, a line per change elsewhere."""

    def __init__(self, taken: TakenRequest) -> None:
        self._taken = taken
        self._is_terminal = sys.stdout.isatty()
        self._shown: dict[str, str] = {}
        self.last: Progress | None = None

    def watch(self, made: Requester, timeout_seconds: float | None) -> Progress | None:
        """The progress at the end; None when the time is over. Raises MemkillError."""
        from supervisor_memkill.commands.progress import progress

        for state in made.states(timeout_seconds):
            self.last = progress(self._taken.workers, self._taken.request.id, state)
            self._show(self.last)
            if self.last.is_over:
                return self.last
        return None

    def _show(self, made: Progress) -> None:
        from supervisor_memkill.clock import boot_clock
        from supervisor_memkill.commands.progress import as_bar, as_words

        if self._is_terminal:
            columns = shutil.get_terminal_size().columns - 1
            output.show(f"\r\x1b[K{as_bar(made, boot_clock(), columns)}")
            return
        for line in made.lines:
            words = as_words(line)
            if self._shown.get(line.worker) != words:
                self._shown[line.worker] = words
                output.show(f"{words}\n")

    def close(self) -> None:
        if self._is_terminal and self.last is not None:
            output.show("\n")


COMMAND = Command(
    "restart",
    "replace workers one by one by ordinary drains, without losing a job",
    run,
    (CONFIG, *SERVER_OPTIONS),
    add_arguments,
)
