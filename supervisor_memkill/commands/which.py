"""Which supervisord: the one that started this listener, or the one that is asked by hand; and its files.

The configuration of a supervisord is what its own command line names. A file at a standard place belongs to
whoever put it there, and counts only if it has the address of the supervisord in question.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from supervisor_memkill.config import supervisord_command, supervisord_files
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.supervisord_command import (
    Running,
    is_of_one_process,
    is_supervisord,
    may_be_in,
    parse_command,
)
from supervisor_memkill.config.supervisord_sections import SupervisordSections
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError, UsageError
from supervisor_memkill.listener.journal_place import SUFFIX
from supervisor_memkill.listener.state_file import path_beside
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.world import started_by
from supervisor_memkill.world.addresses import is_of_this_machine, same_form
from supervisor_memkill.world.starter import Starter
from supervisor_memkill.world.supervisord import Supervisord

LOCK = ".lock"


@dataclass(frozen=True)
class Asked:
    """A supervisord, as far as it is known before its configuration is."""

    url: str | None
    """Its address; None: not known."""
    pid: int | None
    """None: not known, or not on this machine."""
    environ: Mapping[str, str]
    """Its environment, as far as it is known."""
    group: str | None = None
    """The group of this listener; None: by hand."""
    child: int | None = None
    """The process that it started, whose directory may be its own; None: by hand."""


def starter(process: int) -> Starter:
    """The supervisord that started this listener; what answers at its address must have the same pid."""
    return started_by.find_starter(is_supervisord, process) or started_by.parent(process)


def is_listener(environ: Mapping[str, str], config: Path | None, process: int) -> bool:
    """Whether the process is the one of an event listener's group of a supervisord that started it.

    `process`: the pid of this process, or of its parent.
    A program that supervisord runs, such as cron, passes supervisord's environment on to its own children.
    `config`: the file that --config names.
    """
    group = environ.get("SUPERVISOR_GROUP_NAME")
    if "SUPERVISOR_ENABLED" not in environ or not group or not started_by.has_pipes():
        return False
    above = starter(process)
    kind = _is_listener_group(above, environ, group, config)
    if kind is False or above.child == process:
        return kind is not False
    has_its_streams = started_by.has_streams_of(above.child)
    return kind is True if has_its_streams is None else has_its_streams


def _is_listener_group(
    above: Starter, environ: Mapping[str, str], group: str, config: Path | None
) -> bool | None:
    """By the configuration of supervisord, else by the file that --config names; None: neither has it."""
    path = file_of(of_listener(above, environ))
    kind = supervisord_files.sections_of(path, environ).is_listener_group(group)
    if kind is None and config is not None:
        try:
            return True if group in read_file(config).eventlistener_groups else None
        except ConfigError:
            return None
    return kind


def of_listener(above: Starter, environ: Mapping[str, str]) -> Asked:
    """The supervisord that started this listener, whose environment it passed on."""
    return Asked(
        environ.get("SUPERVISOR_SERVER_URL"),
        above.pid,
        environ,
        environ.get("SUPERVISOR_GROUP_NAME"),
        above.child,
    )


def by_hand(url: str, pid: int | None, environ: Mapping[str, str]) -> Asked:
    """The supervisord at this address. `pid` is what it answered; None: it did not answer."""
    if pid is None or not is_of_this_machine(url):
        return Asked(url, None, environ)
    seen = started_by.see(pid)
    # At an address of this machine a container's supervisord may answer, whose pid is another process here.
    if not is_supervisord(seen.words):
        return Asked(url, None, environ)
    return Asked(url, pid, {**environ, **seen.environ})


def file_of(asked: Asked) -> Path | None:
    """The main file of this supervisord; None: not known."""
    running = _running(asked)
    if running is not None:
        directory = parse_command(running.words).directory
        found = supervisord_command.own_file(
            running,
            os.path.exists,
            lambda path, start: _belongs(path, start, asked, running.cwd, directory),
        )
        if found is not None:
            return found
    path = standard_file()
    if path is not None and _can_be_at_standard_place(running) and _belongs(path, None, asked, None, None):
        return path
    return None


def _can_be_at_standard_place(running: Running | None) -> bool:
    """Not if its command line names another file."""
    return running is None or parse_command(running.words).configuration is None


def _running(asked: Asked) -> Running | None:
    if asked.pid is None:
        return None
    seen = started_by.see(asked.pid)
    if not is_supervisord(seen.words):
        return None
    cwd = seen.cwd
    shell = seen.environ.get("PWD") or (asked.environ.get("PWD") if asked.group else None)
    # A child begins in supervisord's directory, unless its program has a directory of its own.
    childs = started_by.see(asked.child).cwd if asked.child is not None and cwd is None else None
    places = [one for one in (cwd, childs, Path(shell) if shell else None) if one is not None]
    return Running(seen.words, cwd, tuple(dict.fromkeys(one for one in places if one.is_absolute())))


def _belongs(path: Path, start: Path | None, asked: Asked, cwd: Path | None, directory: str | None) -> bool:
    """Whether this file can be the configuration of that supervisord."""
    sections = supervisord_files.sections_of(path, asked.environ)
    if asked.group is not None and sections.is_listener_group(asked.group) is None:
        return False
    if not may_be_in(cwd, start, directory or sections.value("supervisord", "directory")):
        return False
    return _has_address(path, sections, start, asked)


def _has_address(path: Path, sections: SupervisordSections, start: Path | None, asked: Asked) -> bool:
    """The file gives supervisord this address; an address that cannot be filled in here counts as another."""
    servers = sections.addresses(start)
    if asked.url is None:
        return True
    if asked.group is None:
        other = _address_of_supervisorctl(path, asked.environ)
    elif not servers and start is not None:
        return True  # The address is that of a supervisord above, and the listener will say so.
    else:
        other = sections.value(f"eventlistener:{asked.group}", "serverurl")
    return same_form(asked.url) in {same_form(one) for one in (*servers, other) if one}


def _address_of_supervisorctl(path: Path, environ: Mapping[str, str]) -> str | None:
    try:
        section = supervisord_files.read_supervisord(path, environ, socket.gethostname()).supervisorctl
        return supervisord_files.server_address(section, environ).serverurl
    except ConfigError:
        return None


def standard_file() -> Path | None:
    """The file that supervisorctl would read."""
    try:
        here = Path.cwd()
    except OSError:  # Removed, as a deploy does with old releases.
        here = Path("/")
    return supervisord_files.find_supervisord_config(Path(sys.argv[0]), here, os.path.exists)


def journal_of_living(supervisord: Supervisord, groups: Collection[str]) -> Path | None:
    """The journal that a living listener of this supervisord has locked; None: not visible, or none lives.

    Raises SupervisordError.
    """
    for process in listeners(supervisord.all_processes(), groups):
        for lock in _locks_of(process.pid):
            return lock.with_name(lock.name.removesuffix(LOCK))
    return None


def _locks_of(pid: int) -> Iterator[Path]:
    """The locks of journals that this process has open. A journal with another name has a state beside."""
    paths = [path for path in started_by.open_files(pid) if path.name.endswith(LOCK)] if pid else []
    yield from (path for path in paths if path.name.endswith(f"{SUFFIX}{LOCK}"))
    yield from (path for path in paths if path_beside(path.with_name(path.name.removesuffix(LOCK))).exists())


def listeners(processes: Iterable[ProcessInfo], groups: Collection[str]) -> list[ProcessInfo]:
    """The processes that may be listeners of ours. `groups`: the event listeners' groups; empty: unknown."""
    if groups:
        return [one for one in processes if one.group in groups]
    return [one for one in processes if one.pid and _is_ours(started_by.see(one.pid).words)]


def _is_ours(words: Iterable[str]) -> bool:
    return any(re.search("supervisor[-_]memkill", word) for word in words)


def refuse_unknown_file(above: Starter) -> UsageError:
    """The error of a listener without --config that does not find its supervisord's configuration."""
    words = started_by.see(above.pid).words
    named = parse_command(words).configuration if is_supervisord(words) else None
    if named and is_of_one_process(named):
        why = f"supervisord was started with -c {named}, which no other process can read"
    elif named:
        why = (
            f"supervisord was started with -c {named}, and in no directory that is known is such a file with"
            " its address and with this listener"
        )
    else:
        why = "its command line does not name it, and no file with its address is at a standard place"
    return UsageError(
        f"the configuration of the supervisord that started this listener (pid {above.pid}) was not found:"
        f" {why}; name the file with --config FILE in command= of the listener's section"
    )


def refuse_missing_file(path: Path, asked: Asked) -> ConfigError:
    """The error for a file that supervisord's command line names, and that was moved or deleted since."""
    where = " in command= of the listener's section" if asked.group is not None else ""
    return ConfigError(
        [
            f"{path}: does not exist, although supervisord (pid {asked.pid}) was started with it: put it"
            f" back, or name the new file with --config FILE{where}"
        ]
    )
