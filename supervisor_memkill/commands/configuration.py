"""Finds the configuration: that of the supervisord which started the listener, or which is asked by hand."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import pwd
import socket
import stat
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from supervisor_memkill.commands import which
from supervisor_memkill.commands.prepared import Settled
from supervisor_memkill.commands.which import Asked
from supervisor_memkill.config import listener_environment, misplaced, supervisord_files
from supervisor_memkill.config.ini import Section
from supervisor_memkill.config.load import examine
from supervisor_memkill.config.sections import ParsedFiles
from supervisor_memkill.config.supervisord_sections import SupervisordSections
from supervisor_memkill.config.values import Config
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError, MemkillError
from supervisor_memkill.listener import journal_place
from supervisor_memkill.listener.journal_place import JournalPlace
from supervisor_memkill.workers.registry import load_kind
from supervisor_memkill.world import started_by
from supervisor_memkill.world.starter import Starter
from supervisor_memkill.world.supervisord import Supervisord


@dataclass(frozen=True)
class Configuration:
    """The configuration in force, and what supervisord's own files say."""

    config: Config
    reading: ParsedFiles
    """The sections that `config` was made from."""
    supervisords: ParsedFiles | None
    """supervisord's own files; None: not found, or not readable while --config names another file."""
    supervisords_path: Path | None
    """The main file of the supervisord; None: not known."""
    supervisorctl: Section | None
    """The section with the address for use by hand."""
    default_url: str
    """The address for use by hand if that section has none."""
    is_found: bool
    """False: no file was named, and none was found."""
    environ: Mapping[str, str] = field(repr=False)
    """supervisord's environment, as far as it is known."""
    supervisord_pid: int | None = None
    """None: not known, or not on this machine."""
    problems: tuple[str, ...] = ()
    """Every problem of the configuration; `config` has what is sound beside them."""

    @property
    def eventlistener_groups(self) -> frozenset[str]:
        groups = self.reading.eventlistener_groups
        return groups | self.supervisords.eventlistener_groups if self.supervisords else groups

    @property
    def sections(self) -> SupervisordSections:
        """supervisord's own sections, as its files have them now."""
        return supervisord_files.sections_of(self.supervisords_path, self.environ)

    @property
    def misplaced(self) -> tuple[str, ...]:
        """Keys of ours in supervisord's sections, where they have no effect, one line of text each."""
        files: dict[str, Path] = {}
        for main in filter(None, (self.reading.main, self.supervisords_path)):
            with contextlib.suppress(ConfigError):
                for path in supervisord_files.supervisord_files(main, self.environ, socket.gethostname()):
                    files.setdefault(os.path.realpath(path), path)
        kinds = {pool.worker for pool in self.config.pools}
        keys = {key for kind in kinds for key in load_kind(kind).options}
        return tuple(misplaced.find(files.values(), self.config.pools, keys))

    def settled(self, url: str, environ: Mapping[str, str], *, is_listener: bool) -> Settled:
        """The part that a command is built from. `url`: supervisord's; `environ`: that of this process."""
        return Settled(
            self.config,
            self.reading.paths,
            self.supervisords_path,
            self.eventlistener_groups,
            _journal_places(self, url, environ, is_listener=is_listener),
        )

    def supervisord(self, arguments: argparse.Namespace, environ: Mapping[str, str]) -> Supervisord:
        """Address and password from the arguments, else the environment, else the section [supervisorctl].

        Raises ConfigError and UsageError.
        """
        return _supervisord_by_hand(arguments, environ, self.supervisorctl, self.default_url)


def _journal_places(
    configuration: Configuration, url: str, environ: Mapping[str, str], *, is_listener: bool
) -> tuple[JournalPlace, ...]:
    if configuration.config.journal is not None:
        return (JournalPlace(configuration.config.journal),)
    addresses = [one for one in configuration.sections.addresses() if one is not None]
    uids = [os.geteuid()] if is_listener else _uids_of_listener(configuration)
    places = [(uid, journal_place.place(addresses, url, environ, uid)) for uid in dict.fromkeys(uids)]
    return tuple(place if is_listener else _without_others(place, uid) for uid, place in places)


def _without_others(place: JournalPlace, uid: int) -> JournalPlace:
    """Whoever makes such a directory in /tmp first could show root a false state, or a FIFO."""
    former = tuple(path for path in place.former if _is_private(path.parent, uid))
    return dataclasses.replace(place, former=former)


def _is_private(directory: Path, uid: int) -> bool:
    """Only this user or root writes there, or there is no such directory."""
    try:
        found = directory.lstat()
    except OSError:
        return True
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid in (uid, 0) and not others_write


def _uids_of_listener(configuration: Configuration) -> list[int]:
    """The users that the listener may have, the likeliest first; by hand another user may ask."""
    uids = []
    for user in configuration.sections.users_of_listeners():
        with contextlib.suppress(KeyError, ValueError):
            uids.append(int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid)
    if configuration.supervisord_pid is not None:
        uid = started_by.see(configuration.supervisord_pid).uid
        uids += [] if uid is None else [uid]
    return [*uids, os.geteuid()]


def _supervisord_by_hand(
    arguments: argparse.Namespace, environ: Mapping[str, str], supervisorctl: Section | None, default_url: str
) -> Supervisord:
    address = supervisord_files.server_address(supervisorctl, environ, default_url)
    return Supervisord(
        arguments.serverurl or environ.get("SUPERVISOR_SERVER_URL") or address.serverurl,
        arguments.username or environ.get("SUPERVISOR_USERNAME") or address.username,
        arguments.password or environ.get("SUPERVISOR_PASSWORD") or address.password,
    )


def find_configuration(
    arguments: argparse.Namespace, environ: Mapping[str, str], above: Starter | None = None
) -> Configuration:
    """Read the file that --config names, with the files that it includes, else supervisord's configuration.

    `above`: the supervisord that started this listener; None: by hand, and the one that is asked counts.
    Raises ConfigError and UsageError.
    """
    configuration = examine_configuration(arguments, environ, above)
    if configuration.problems:
        raise ConfigError(configuration.problems)
    return configuration


def examine_configuration(
    arguments: argparse.Namespace, environ: Mapping[str, str], above: Starter | None = None
) -> Configuration:
    """The same, with all problems beside what is sound. Raises ConfigError for an address, and UsageError."""
    problems: list[str] = []
    node, path = socket.gethostname(), arguments.config
    named = (
        None
        if path is None
        else _reading(lambda: supervisord_files.read_supervisord(path, environ, node), problems)
    )
    supervisorctl, default_url = None, supervisord_files.DEFAULT_SERVERURL
    if above is not None:
        asked = which.of_listener(above, environ)
    else:
        supervisorctl = _section_for_use_by_hand(named, arguments.config, environ)
        default_url = _default_url(arguments.config, environ)
        asked = _asked_by_hand(arguments, environ, supervisorctl, default_url)
    path = which.file_of(asked)
    if named is None and path is None and above is not None:
        raise which.refuse_unknown_file(above)
    if named is not None:
        reading, supervisords = named, _read_if_possible(path, asked.environ, node)
    elif path is not None:
        reading = supervisords = _reading(lambda: _read_supervisords(path, asked, node), problems)
    else:
        reading, supervisords = ParsedFiles(()), None
    if above is None:
        sections = supervisord_files.sections_of(path or arguments.config, asked.environ)
        environ = listener_environment.by_hand(sections, asked.environ, environ)
    examined = examine(reading, environ, node, load_kind)
    config = examined.config
    if arguments.dry_run:
        config = dataclasses.replace(config, dry_run=True)
    return Configuration(
        config,
        reading,
        supervisords,
        path,
        supervisorctl,
        default_url,
        named is not None or path is not None,
        asked.environ,
        asked.pid,
        (*problems, *examined.problems),
    )


def _reading(read: Callable[[], ParsedFiles], problems: list[str]) -> ParsedFiles:
    """What `read` gives; nothing, with its problems, if the file cannot be read."""
    try:
        return read()
    except ConfigError as error:
        problems.extend(error.problems)
        return ParsedFiles(())


def _read_supervisords(path: Path, asked: Asked, node: str) -> ParsedFiles:
    """supervisord's files. Raises ConfigError."""
    try:
        return supervisord_files.read_supervisord(path, asked.environ, node)
    except ConfigError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise which.refuse_missing_file(path, asked) from error
        raise


def _section_for_use_by_hand(
    named: ParsedFiles | None, path: Path | None, environ: Mapping[str, str]
) -> Section | None:
    """[supervisorctl] of the file that --config names, else of the file that supervisorctl would read.

    `path` is that of `named`. If it is the file of a supervisord without that section, no other file counts.
    """
    if named is not None and (named.supervisorctl is not None or _addresses(path, environ)):
        return named.supervisorctl
    standard = _read_if_possible(which.standard_file(), environ, socket.gethostname())
    return standard.supervisorctl if standard is not None else None


def _addresses(path: Path | None, environ: Mapping[str, str]) -> list[str]:
    """The addresses in the server sections, as far as they are known."""
    return [one for one in supervisord_files.sections_of(path, environ).addresses() if one is not None]


def _default_url(named: Path | None, environ: Mapping[str, str]) -> str:
    """The address in the server section of the same file, else supervisorctl's default.

    Many a container has no [supervisorctl] section.
    """
    for path in (named, which.standard_file()):
        if known := _addresses(path, environ):
            return known[0]
    return supervisord_files.DEFAULT_SERVERURL


def _asked_by_hand(
    arguments: argparse.Namespace, environ: Mapping[str, str], supervisorctl: Section | None, default_url: str
) -> Asked:
    supervisord = _supervisord_by_hand(arguments, environ, supervisorctl, default_url)
    try:
        pid: int | None = supervisord.pid()
    except MemkillError:  # The command asks supervisord again, and reports the error.
        pid = None
    return which.by_hand(supervisord.url, pid, environ)


def _read_if_possible(path: Path | None, environ: Mapping[str, str], node: str) -> ParsedFiles | None:
    """supervisord's files, when only the address of its server and its event listeners are needed."""
    if path is None:
        return None
    try:
        return supervisord_files.read_supervisord(path, environ, node)
    except ConfigError:
        return None
