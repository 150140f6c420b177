"""``supervisor-memkill`` without the name of a command: what the event listener needs before it begins."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_memkill.commands import dry_run
from supervisor_memkill.commands.command import CONFIG, SERVER_OPTIONS, Command
from supervisor_memkill.errors import UsageError

if TYPE_CHECKING:
    from supervisor_memkill.commands.prepared import Prepared
    from supervisor_memkill.notices.event import Sink

BY_HAND = (
    "this is an event listener: supervisord runs it, from an [eventlistener:memkill] section (not from a"
    " [program:...] section); by hand, use a command such as status, doctor or demo,"
    " or --dry-run or --sample (try --help)"
)


def is_run_by_supervisord(
    environ: Mapping[str, str], config: Path | None, process: int | None = None
) -> bool:
    """Whether the process, by default this one, is an event listener; see `which.is_listener`."""
    if "SUPERVISOR_ENABLED" not in environ:
        return False
    from supervisor_memkill.commands.which import is_listener

    return is_listener(environ, config, os.getpid() if process is None else process)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Listen until supervisord or a signal ends it. Raises MemkillError."""
    return listen(arguments, environ)


def listen(arguments: argparse.Namespace, environ: Mapping[str, str], sinks: Sequence[Sink] = ()) -> int:
    """The same; `sinks` take the events beside the log."""
    prepared = prepare(arguments, environ, os.getpid())
    from supervisor_memkill.commands import listening

    return listening.listen(prepared, environ, sinks)


def prepare(arguments: argparse.Namespace, environ: Mapping[str, str], process: int) -> Prepared:
    """Read the configuration for the listener that is this process, or the child of. Raises MemkillError."""
    if not is_run_by_supervisord(environ, arguments.config, process):
        raise UsageError(BY_HAND)
    from supervisor_memkill.commands import which
    from supervisor_memkill.commands.configuration import find_configuration
    from supervisor_memkill.commands.prepared import Prepared
    from supervisor_memkill.config.loaded import loaded
    from supervisor_memkill.world.event_protocol import stdout_as_stderr
    from supervisor_memkill.world.supervisord import address_from_environment

    with stdout_as_stderr():
        above = which.starter(process)
        configuration = find_configuration(arguments, environ, above)
        if not configuration.config.pools:
            where = arguments.config or "the configuration of supervisord"
            more = "; ".join(["", *configuration.reading.unread, *configuration.misplaced])
            raise UsageError(f"no [memkill:NAME] section in {where}{more}")
        url, _, _ = address_from_environment(environ)
        return Prepared(
            above,
            configuration.settled(url, environ, is_listener=True),
            configuration.reading.unread,
            configuration.misplaced,
            loaded(configuration.reading, arguments.config, configuration.config.redis_files),
        )


def report_refusal(problem: str) -> None:
    """Log an error that keeps the listener from starting, as every line of the log."""
    from supervisor_memkill.notices.events import ListenerRefused
    from supervisor_memkill.notices.log import LogSink

    if sys.stderr is not None:
        LogSink(sys.stderr).take(ListenerRefused(problem))


COMMAND = Command("the listener", "", run, (CONFIG, dry_run.OPTION, *SERVER_OPTIONS))
