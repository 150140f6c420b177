"""The configuration file of a running supervisord, by its command line and the directory of its start.

As in supervisor/options.py: ``-c``, else the first file that exists at one of a few places. Some of them are
relative to the directory in which supervisord was started. As a daemon, supervisord changes to another
directory later (``directory``), so that more than one directory may have to be tried.
"""

from __future__ import annotations

import getopt
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.world.addresses import real_path

_PYTHON = re.compile(r"(python|pypy)[-.\d]*[a-z]?")
_SUPERVISORD = re.compile(r"supervisord[-.\d]*(\.py)?")
_MODULES = ("supervisor.supervisord", "supervisor")
_PYTHON_OPTIONS_WITH_VALUE = ("-W", "-X")
_SHORT = "h?c:vnu:m:d:l:y:z:e:j:i:q:a:kts"
_LONG = [
    *("help", "configuration=", "version", "nodaemon", "user=", "umask=", "directory=", "logfile="),
    *("logfile_maxbytes=", "logfile_backups=", "loglevel=", "pidfile=", "identifier=", "childlogdir="),
    *("minfds=", "minprocs=", "nocleanup", "strip_ansi", "profile_options=", "silent"),
]
"""supervisord's options (supervisor/options.py: ServerOptions)."""


@dataclass(frozen=True)
class CommandLine:
    """What supervisord's command line says."""

    program: Path | None
    """supervisord's own program; None: Python runs it as a module."""
    configuration: str | None = None
    """The value of ``-c``."""
    directory: str | None = None
    """The value of ``-d``."""


@dataclass(frozen=True)
class Running:
    """What the system shows of a running supervisord."""

    words: tuple[str, ...]
    """Its command line."""
    cwd: Path | None = None
    """Its directory now; None: not visible to this user."""
    started_in: tuple[Path, ...] = ()
    """The directories in which it may have been started."""


def is_supervisord(words: Sequence[str]) -> bool:
    """Whether this is the command line of a supervisord."""
    program, arguments = _program_and_arguments(words)
    if program is None:
        return bool(arguments) and arguments[0] in _MODULES
    return _SUPERVISORD.fullmatch(program.name) is not None


def parse_command(words: Sequence[str]) -> CommandLine:
    """The options as supervisord reads them; none if it would refuse them."""
    program, arguments = _program_and_arguments(words)
    try:
        options, _ = getopt.getopt(list(arguments[1:]), _SHORT, _LONG)
    except getopt.GetoptError:
        return CommandLine(program)
    values = dict(options)
    return CommandLine(
        program,
        values.get("-c", values.get("--configuration")),
        values.get("-d", values.get("--directory")),
    )


def _program_and_arguments(words: Sequence[str]) -> tuple[Path | None, Sequence[str]]:
    """The program, None for a module or a command; and its arguments, behind a word for itself."""
    if not words or not _PYTHON.fullmatch(Path(words[0]).name):
        return (Path(words[0]) if words else None), words
    rest = list(words[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        if option[-1] in "mc" and not option.startswith("--"):
            return None, rest  # python -m supervisor.supervisord, python -Ic COMMAND
        if option in _PYTHON_OPTIONS_WITH_VALUE and rest:
            del rest[0]
    return (Path(rest[0]) if rest else None), rest


def search_places(program: Path | None, start: Path | None) -> tuple[Path, ...]:
    """Where supervisord and supervisorctl look for their configuration, in their order.

    `program` is the path of the running program, `start` the directory in which it was started; None: not
    known, and the places that depend on it are left out.
    """
    prefix = program.parent.parent if program is not None else None
    if prefix is not None and start is not None:
        prefix = start / prefix
    bases = (prefix if prefix is not None and prefix.is_absolute() else None, start)
    relative = [
        *((bases[0] / "etc/supervisord.conf", bases[0] / "supervisord.conf") if bases[0] else ()),
        *((bases[1] / "supervisord.conf", bases[1] / "etc/supervisord.conf") if bases[1] else ()),
    ]
    return (*relative, Path("/etc/supervisord.conf"), Path("/etc/supervisor/supervisord.conf"))


def is_of_one_process(configuration: str) -> bool:
    """A path such as ``/dev/stdin`` or ``/dev/fd/63``, which is another file for each process."""
    return os.path.normpath(configuration).startswith(("/dev/", "/proc/"))


def own_file(
    running: Running, exists: Callable[[Path], bool], belongs: Callable[[Path, Path | None], bool]
) -> Path | None:
    """The configuration file of a running supervisord; None: not known.

    `belongs` decides whether a file can be that of this supervisord if it was started in this directory
    (None: not known). Only a file that ``-c`` names by its whole path needs no such check.
    """
    command = parse_command(running.words)
    if command.configuration is not None and is_of_one_process(command.configuration):
        return None
    if command.configuration is not None and Path(command.configuration).is_absolute():
        return Path(command.configuration)
    found: dict[str, Path] = {}
    for start in running.started_in or (None,):
        path = _first(command, start, exists)
        if path is not None and belongs(path, start):
            found.setdefault(real_path(str(path)), path)
    return next(iter(found.values())) if len(found) == 1 else None


def _first(command: CommandLine, start: Path | None, exists: Callable[[Path], bool]) -> Path | None:
    if command.configuration is not None:
        places: Sequence[Path] = () if start is None else (start / command.configuration,)
    else:
        places = search_places(command.program, start)
    return next((place for place in places if exists(place)), None)


def may_be_in(cwd: Path | None, start: Path | None, directory: str | None) -> bool:
    """Whether a supervisord that was started in `start` can be in `cwd` now.

    `directory`: the directory to which it changes as a daemon; None: it stays.
    """
    if cwd is None or start is None:
        return True
    places = [start] if directory is None else [start, start / directory]
    return real_path(str(cwd)) in {real_path(str(place)) for place in places}
