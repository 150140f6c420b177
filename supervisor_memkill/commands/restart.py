"""``supervisor-memkill restart``: replace workers one by one, without losing a job."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
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
    from supervisor_memkill.commands.fleet_request import FleetRequester
    from supervisor_memkill.commands.progress import Progress
    from supervisor_memkill.commands.request import Requester

EXPIRES_SECONDS = 86400.0
WITHDRAWN = "withdrawn: {what}; a drain under way is finished"
NOT_BEGUN = "restarts that have not begun"
STOPPED_WATCHING = "stopped watching; the restart goes on"
NOT_CONFIRMED = "interrupted before the listener confirmed the request: the restart may begin or not"
NOTHING_WITHDRAWN = "nothing is withdrawn: no restart of {names} waits; a drain under way is finished"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a pool, a worker (group:name) or a group; *, ? and [...] match",
    )
    parser.add_argument("--wait", action="store_true", help="show the progress until all are replaced")
    parser.add_argument(
        "--timeout", metavar="TIME", help="with --wait: end with status 1 after this time, such as 30m"
    )
    parser.add_argument("--cancel", action="store_true", help="withdraw restarts that have not begun")
    parser.add_argument(
        "--expires",
        metavar="TIME",
        default="1d",
        help="forget the request after this time, such as 12h (default: 1d)",
    )
    add_fleet(parser)


def add_fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fleet", action="store_true", help="on all hosts that share the pool, through Redis"
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Request the restart; with --wait show its progress. Raises MemkillError."""
    from supervisor_memkill.commands.request import requester

    expires_seconds = duration("--expires", arguments.expires)
    timeout_seconds = None if arguments.timeout is None else duration("--timeout", arguments.timeout)
    if timeout_seconds is not None and not arguments.wait:
        raise UsageError("--timeout needs --wait")
    if arguments.cancel and arguments.wait:
        raise UsageError("--cancel does not take --wait")
    if arguments.fleet:
        from supervisor_memkill.commands.fleet_request import fleet_requester

        everywhere = fleet_requester(arguments, environ)
        if arguments.cancel:
            return _cancel_fleet(everywhere, arguments.names, expires_seconds)
    else:
        made = requester(arguments, environ)
        if arguments.cancel:
            return _cancel(made, arguments.names, expires_seconds)
    try:
        if arguments.fleet:
            return _restart_fleet(
                everywhere, arguments.names, expires_seconds, timeout_seconds, waits=arguments.wait
            )
        return _restart(made, arguments.names, expires_seconds, timeout_seconds, waits=arguments.wait)
    except KeyboardInterrupt as interruption:
        happened = STOPPED_WATCHING if isinstance(interruption, _StoppedWatching) else NOT_CONFIRMED
        withdraw = ["supervisor-memkill", "restart", *(["--fleet"] if arguments.fleet else []), "--cancel"]
        command = shlex.join([*withdraw, *arguments.names])
        _say_apart(f"{happened}. To withdraw what has not begun: {command}")
        return INTERRUPTED


class _StoppedWatching(KeyboardInterrupt):
    """Ctrl-C after the request was confirmed."""


def _say_apart(line: str) -> None:
    """Below the line that is drawn again and again."""
    output.show("\n")
    output.say(line)


def _restart(
    made: Requester,
    names: Sequence[str],
    expires_seconds: float,
    timeout_seconds: float | None,
    *,
    waits: bool,
) -> int:
    from supervisor_memkill.commands.progress import progress
    from supervisor_memkill.commands.request import NOBODY
    from supervisor_memkill.rules.requests import Act

    taken = made.send(Act.RESTART, names, lasts_seconds=expires_seconds)
    if not taken.workers:
        raise MemkillError(NOBODY.format(names=" ".join(names), pools=", ".join(made.pools)))
    workers = ", ".join(taken.workers)
    output.say(f"requested: {len(taken.workers)} to be replaced, one after another: {workers}")
    if not waits:
        return SUCCESS
    states = made.states(timeout_seconds)
    return _watch(progress(taken.workers, taken.request.id, state) for state in states)


def _restart_fleet(
    made: FleetRequester,
    names: Sequence[str],
    expires_seconds: float,
    timeout_seconds: float | None,
    *,
    waits: bool,
) -> int:
    from supervisor_memkill.clock import boot_clock
    from supervisor_memkill.commands.fleet_progress import FleetProgress
    from supervisor_memkill.commands.fleet_request import silent_hosts
    from supervisor_memkill.commands.request import NOBODY
    from supervisor_memkill.rules.requests import Act

    sent = made.send(Act.RESTART, names, lasts_seconds=expires_seconds)
    pools = ", ".join(one.pool for one in sent)
    output.say(f"requested: a restart on all hosts that share {pools}")
    follower = FleetProgress(sent, boot_clock, _say_apart)
    if waits:
        return _watch(map(follower.progress, made.views(sent, timeout_seconds)))
    views = made.wait_for_answers(sent)
    follower.progress(views)
    workers, silent = follower.workers, silent_hosts(sent, views)
    if not workers and not silent:
        raise MemkillError(NOBODY.format(names=" ".join(names), pools=pools))
    output.say(f"{workers} to be replaced, one after another{when_they_come(silent)}")
    return SUCCESS


def _cancel(made: Requester, names: Sequence[str], expires_seconds: float) -> int:
    from supervisor_memkill.rules.requests import Act

    before = made.withdrawn()
    made.send(Act.CANCEL, names, lasts_seconds=expires_seconds)
    workers = sorted({worker for _, worker in made.withdrawn() - before})
    words = WITHDRAWN.format(what=", ".join(workers)) if workers else NOTHING_WITHDRAWN
    output.say(words.format(names=" ".join(names)))
    return SUCCESS


def _cancel_fleet(made: FleetRequester, names: Sequence[str], expires_seconds: float) -> int:
    from supervisor_memkill.commands.fleet_request import silent_hosts
    from supervisor_memkill.rules.requests import Act

    # A host that comes later must find it as long as it finds what is withdrawn.
    lasts_seconds = max(expires_seconds, made.longest_left_seconds())
    sent = made.send(Act.CANCEL, names, lasts_seconds=lasts_seconds)
    silent = silent_hosts(sent, made.wait_for_answers(sent))
    output.say(f"{WITHDRAWN.format(what=NOT_BEGUN)}{when_they_come(silent)}")
    return SUCCESS


def when_they_come(silent: Sequence[str]) -> str:
    return f"; silent, and it reaches them when they come: {', '.join(silent)}" if silent else ""


def duration(option: str, value: str) -> float:
    """The value of an option in seconds. Raises UsageError."""
    try:
        return parse_positive_duration(value)
    except ValueError as error:
        raise UsageError(f"{option}: {value!r:.40} is not {error}") from None


def _watch(looks: Iterator[Progress]) -> int:
    """Show the progress until its end. Raises MemkillError if not all are replaced."""
    from supervisor_memkill.commands.progress import left

    watcher = _Watcher()
    try:
        ended = watcher.watch(looks)
    except KeyboardInterrupt:
        raise _StoppedWatching from None
    finally:
        watcher.close()
    if ended is None:
        raise MemkillError(f"not all were replaced in time: {left(watcher.last)}")
    if not ended.is_served:
        raise MemkillError(f"not replaced: {left(ended)}")
    output.say(f"replaced: all {ended.workers}")
    return SUCCESS


class _Watcher:
    """Shows the progress: one line that is drawn again on a terminal, a line per change elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._shown: dict[str, str] = {}
        self.last: Progress | None = None

    def watch(self, looks: Iterator[Progress]) -> Progress | None:
        """The progress at the end; None when the time is over. Raises MemkillError."""
        for self.last in looks:
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
                output.say(words)

    def close(self) -> None:
        if self._is_terminal and self.last is not None:
            output.show("\n")


COMMAND = Command(
    "restart",
    "replace workers one after another, without losing a job",
    run,
    (CONFIG, *SERVER_OPTIONS),
    add_arguments,
)
