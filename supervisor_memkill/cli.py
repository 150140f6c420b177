"""The command ``supervisor-memkill``: reads its arguments, and turns every error into one line.

What a command needs is imported when it runs: the listener lives for months, and pays for no more.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from supervisor_memkill import __version__
from supervisor_memkill.commands import output
from supervisor_memkill.errors import ConfigError, MemkillError, UsageError

if TYPE_CHECKING:
    from supervisor_memkill.config.config import Config
    from supervisor_memkill.config.inifile import Reading
    from supervisor_memkill.world.supervisord import Supervisord

PROGRAM = "supervisor-memkill"
FINE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

NO_CONFIGURATION = (
    "no configuration was found where supervisorctl looks for supervisord's: name the file with --config"
)

At = Callable[[str], None]


def main(argv: Sequence[str] | None = None, at: At = lambda place: None) -> int:
    """Run the command; the exit status. For `at` see drainer.Drainer."""
    try:
        return _run(_parser().parse_args(argv), os.environ, at)
    except ConfigError as error:
        for problem in error.problems:
            _complain(problem)
        return WRONG_USE
    except UsageError as error:
        _complain(error)
        return WRONG_USE
    except MemkillError as error:
        _complain(error)
        return FAILED
    except BrokenPipeError:
        output.give_up()  # Whoever read it went away.
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _complain(problem: object) -> None:
    print(f"{PROGRAM}: {problem}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """An argument that is wrong is said in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (try --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        allow_abbrev=False,
        description="Replaces job workers over their memory limit without losing a job:"
        " an event listener for supervisord.",
        epilog="Exit status: 0 fine, 1 something found or failed, 2 wrong use or configuration.",
    )
    parser.add_argument(
        "command", nargs="?", choices=["demo"], help="demo: the whole thing on throwaway workers, in a minute"
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="our sections; by default in supervisord's configuration"
    )
    parser.add_argument("--dry-run", action="store_true", help="show or log every decision and touch nothing")
    parser.add_argument("--json", action="store_true", help="with --dry-run by hand: for programs to read")
    parser.add_argument("--serverurl", metavar="URL", help="where supervisord listens, as for supervisorctl")
    parser.add_argument("--username", metavar="NAME")
    parser.add_argument("--password", metavar="PASSWORD")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _run(arguments: argparse.Namespace, environ: Mapping[str, str], at: At) -> int:
    if sys.stdout is None:
        raise MemkillError("its output cannot be written: standard output is closed")
    if arguments.command == "demo":
        if arguments.dry_run or arguments.json or arguments.config:
            raise UsageError("demo takes no options: all that it needs it brings itself")
        from supervisor_memkill.demo import run

        return run()
    if _is_under_supervisord(environ):
        return _listen(arguments, environ, at)
    if arguments.dry_run:
        return _dry_run(arguments, environ)
    raise UsageError(
        "this is an event listener: supervisord runs it, from an [eventlistener:memkill] section;"
        " by hand there are --dry-run and demo"
    )


def _is_under_supervisord(environ: Mapping[str, str]) -> bool:
    """By supervisord's environment; a person in a terminal below a supervised program has it too."""
    return "SUPERVISOR_ENABLED" in environ and sys.stdin is not None and not sys.stdin.isatty()


def _read(
    arguments: argparse.Namespace, environ: Mapping[str, str]
) -> tuple[Config, Reading, Reading | None]:
    """The configuration, the reading that it came from, and supervisord's own where it was found."""
    from supervisor_memkill.config import config, inifile
    from supervisor_memkill.workers.registry import load_kind

    found = _supervisords_config()
    node = socket.gethostname()
    if arguments.config is not None:
        reading = inifile.read_file(arguments.config)
        supervisords = _read_if_possible(found, environ, node)
    elif found is not None:
        reading = supervisords = inifile.read_supervisord(found, environ, node)
    else:
        reading, supervisords = inifile.Reading(()), None
    return config.load(reading, environ, node, load_kind), reading, supervisords


def _supervisords_config() -> Path | None:
    """supervisord's configuration where it stands at one of the places that supervisorctl looks at."""
    from supervisor_memkill.config import inifile

    try:
        here = Path.cwd()
    except OSError:  # Removed, as a deploy does with old releases.
        here = Path("/")
    return inifile.find_supervisord_config(Path(sys.argv[0]), here, os.path.exists)


def _read_if_possible(path: Path | None, environ: Mapping[str, str], node: str) -> Reading | None:
    """supervisord's configuration, where only its server's address and its listeners are wanted."""
    from supervisor_memkill.config import inifile

    if path is None:
        return None
    try:
        return inifile.read_supervisord(path, environ, node)
    except ConfigError:
        return None


def _listener_groups(*readings: Reading | None) -> frozenset[str]:
    return frozenset().union(*(one.eventlistener_groups for one in readings if one is not None))


def _listen(arguments: argparse.Namespace, environ: Mapping[str, str], at: At) -> int:
    from supervisor_memkill.world.event_protocol import private_stdout

    protocol_fd = private_stdout()
    import dataclasses
    import functools

    from supervisor_memkill.clock import boot_clock
    from supervisor_memkill.commands.context import build_pools, build_surveyor, coordinate
    from supervisor_memkill.config import supervisord_files as stop_as_group
    from supervisor_memkill.listener import journal
    from supervisor_memkill.listener.listener import Listener
    from supervisor_memkill.listener.serve import serve
    from supervisor_memkill.notices.log import EventLog
    from supervisor_memkill.world.supervisord import Refused, SupervisordError, from_environment

    config, reading, supervisords = _read(arguments, environ)
    if not config.pools:
        raise UsageError(
            f"no [memkill:NAME] section in {arguments.config or 'the configuration of supervisord'}"
        )
    if arguments.dry_run:
        config = dataclasses.replace(config, dry_run=True)
    log = EventLog(sys.stderr, config.log_level)
    supervisord = from_environment(environ)
    try:
        supervisord.pid()
    except Refused:
        raise  # to be put right first; whatever else is wrong may pass
    except SupervisordError as error:
        log.warning("supervisord.away", error=error)
    pools = build_pools(config, supervisord)
    groups = _listener_groups(reading, supervisords)
    surveyor = build_surveyor(
        pools,
        supervisord,
        own_group=environ.get("SUPERVISOR_GROUP_NAME", ""),
        eventlistener_groups=groups,
        stop_as_group=stop_as_group.reader(supervisord.pid, _supervisords_config(), environ),
    )
    path = config.journal or journal.default_path(supervisord.url, environ, os.geteuid())
    listener = Listener(
        config,
        pools,
        supervisord,
        surveyor,
        journal.Journal(path),
        functools.partial(coordinate, config, supervisord),
        log,
        boot_clock,
        at=at,
    )
    log.info(
        "listener.started",
        version=__version__,
        pools=[pool.name for pool in pools],
        host=config.host,
        journal=path,
        dry_run=config.dry_run,
        coordination="through Redis" if config.redis else "in process: this supervisord alone",
    )
    ended_by = serve(listener, stdin_fd=0, stdout_fd=protocol_fd)
    listener.say_left()
    log.info("listener.ended")
    if ended_by is not None:
        _die_of(ended_by)
    return FINE


def _die_of(number: int) -> None:
    """End by the signal itself: supervisord starts anew what no stop of its own has ended.

    By status 0 it would take the end for an expected one (autorestart=unexpected), and leave it EXITED.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _dry_run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    import dataclasses

    from supervisor_memkill.commands import dry_run
    from supervisor_memkill.commands.context import build_pools, build_surveyor, coordinate
    from supervisor_memkill.config import supervisord_files as stop_as_group
    from supervisor_memkill.listener import journal

    config, reading, supervisords = _read(arguments, environ)
    supervisord = _supervisord(arguments, environ, supervisords or reading)
    pools = build_pools(config, supervisord)
    groups = _listener_groups(reading, supervisords)
    surveyor = build_surveyor(
        pools,
        supervisord,
        own_group="",
        eventlistener_groups=groups,
        stop_as_group=stop_as_group.reader(supervisord.pid, _supervisords_config(), environ),
    )
    path = config.journal or journal.default_path(supervisord.url, environ, os.geteuid())
    contents = journal.peek(path)
    looking = coordinate(dataclasses.replace(config, dry_run=True), supervisord, contents)
    report = dry_run.check(surveyor, looking, contents)
    notes = list(report.notes)
    if arguments.config is None and supervisords is None:
        notes.insert(0, NO_CONFIGURATION)
    if problem := journal.peek_problem(path):
        notes.append(f"nothing is drained while this is so: journal {problem}")
    report = dataclasses.replace(report, notes=tuple(notes))
    output.show(dry_run.as_json(report) if arguments.json else dry_run.as_table(report))
    return FINE if report.is_whole else FAILED


def _supervisord(arguments: argparse.Namespace, environ: Mapping[str, str], reading: Reading) -> Supervisord:
    """By the arguments, else the environment, else [supervisorctl] of supervisord's configuration."""
    from supervisor_memkill.config.inifile import server_address
    from supervisor_memkill.world.supervisord import Supervisord

    address = server_address(reading.supervisorctl, environ)
    return Supervisord(
        arguments.serverurl or environ.get("SUPERVISOR_SERVER_URL") or address.serverurl,
        arguments.username or environ.get("SUPERVISOR_USERNAME") or address.username,
        arguments.password or environ.get("SUPERVISOR_PASSWORD") or address.password,
    )
