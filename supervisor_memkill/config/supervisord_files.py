"""supervisord's own files: where they are, what they include, and the address that supervisorctl uses."""

from __future__ import annotations

import dataclasses
import glob
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from supervisor_memkill.config import ini, program_files
from supervisor_memkill.config.ini import File, Section
from supervisor_memkill.config.program_files import ProgramFiles
from supervisor_memkill.config.sections import ParsedFiles, assemble, parse
from supervisor_memkill.config.supervisord_sections import StopAsGroup, SupervisordSections, read_sections
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError

DEFAULT_SERVERURL = "http://localhost:9001"


@dataclass(frozen=True)
class ServerAddress:
    """How to reach supervisord."""

    serverurl: str
    username: str | None
    password: str | None


def read_supervisord(path: Path, environ: Mapping[str, str], node_name: str) -> ParsedFiles:
    """The sections of supervisord's file and of the files that it includes (those include no others).

    `environ` and `node_name` fill ``%(ENV_X)s`` and ``%(host_node_name)s`` in ``files``. Raises
    ConfigError if the main file cannot be read.
    """
    main = parse(path)
    files, unread = [main], list[str]()
    for included in _included_once(main, environ, node_name):
        try:
            files.append(parse(included))
        except ConfigError as error:
            unread.append(str(error))
    return dataclasses.replace(assemble(files), unread=tuple(unread))


def supervisord_files(path: Path, environ: Mapping[str, str], node_name: str) -> list[Path]:
    """All files of supervisord's configuration; arguments and errors as in `read_supervisord`."""
    return [path, *_included_once(parse(path), environ, node_name)]


def find_supervisord_config(program_path: Path, cwd: Path, exists: Callable[[Path], bool]) -> Path | None:
    """The file that supervisorctl would read (supervisor/options.py: Options.__init__); None: there is none.

    `program_path` is the path of the running program: supervisorctl is installed in the same directory.
    """
    from supervisor_memkill.config.supervisord_command import search_places

    return next((place for place in search_places(program_path, cwd) if exists(place)), None)


def server_address(
    section: Section | None, environ: Mapping[str, str], default: str = DEFAULT_SERVERURL
) -> ServerAddress:
    """The address in the ``[supervisorctl]`` section, or the default if it has none.

    Raises ConfigError for a name that cannot be filled in.
    """
    if section is None:
        return ServerAddress(default, None, None)
    values = ini.environment_names(environ)
    found = {
        entry.key: ini.expand(section, entry, values)
        for entry in section.entries
        if entry.key in ("serverurl", "username", "password")
    }
    serverurl = found.get("serverurl") or default
    if serverurl.startswith("unix://"):
        # a relative path is relative to the current directory, as supervisorctl has it
        try:
            path = Path(serverurl.removeprefix("unix://")).expanduser()
        except RuntimeError as error:
            raise ConfigError(
                [f"{section.place}: [{section.name}] serverurl = {serverurl!r}: {error}"]
            ) from None
        serverurl = f"unix://{os.path.normpath(path.absolute())}"
    return ServerAddress(serverurl, found.get("username"), found.get("password"))


def _included_once(main: File, environ: Mapping[str, str], node_name: str) -> Iterator[Path]:
    """The included files without directories and repetitions: supervisord reads a file twice to no effect."""
    seen = {_resolved(main.path)}
    for included in _included(main, environ, node_name):
        if _resolved(included) not in seen and not included.is_dir():
            seen.add(_resolved(included))
            yield included


def _resolved(path: Path) -> Path:
    """The file that a link points to; the link itself if it points to none, so that reading it fails."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop, up to Python 3.12
        return ini.absolute(path)


def _names_files(section: Section) -> bool:
    return section.name == "include" and section.get("files") is not None


def _included(main: File, environ: Mapping[str, str], node_name: str) -> Iterator[Path]:
    """The files that ``[include]`` names; a glob at a time, sorted within each."""
    # Of several [include] sections, the last one with the key counts, as in supervisord.
    include = next((one for one in reversed(main.sections) if _names_files(one)), None)
    if include is None:
        return
    files = [entry for entry in include.entries if entry.key == "files"][-1]
    names = {"host_node_name": node_name, **ini.environment_names(environ)}
    for pattern in ini.expand(include, files, names).split():
        # Path.glob takes no absolute pattern and, unlike supervisord, finds hidden files
        yield from map(Path, sorted(glob.glob(str(main.path.parent.absolute() / pattern))))  # noqa: PTH207


def reader(path: Path | None, environ: Mapping[str, str]) -> Callable[[], StopAsGroup]:
    """A function that reads supervisord's files now; of files that cannot be read nothing is known.

    `path`: supervisord's main file, None: not known; `environ`: supervisord's environment as far as known.
    """

    def read() -> StopAsGroup:
        return sections_of(path, environ).stop_as_group

    return read


def sections_of(path: Path | None, environ: Mapping[str, str]) -> SupervisordSections:
    """supervisord's own sections; none if its files are not known or cannot be read."""
    if path is None:
        return SupervisordSections()
    node = socket.gethostname()
    try:
        files = supervisord_files(path, environ, node)
    except ConfigError:
        return SupervisordSections()
    return read_sections(files, environ, node)


def program_reader(path: Path | None, environ: Mapping[str, str]) -> Callable[[], ProgramFiles]:
    """A function that reads what supervisord's files say about its programs now; arguments as in `reader`."""

    def read() -> ProgramFiles:
        if path is None:
            return program_files.NOTHING
        node = socket.gethostname()
        try:
            files = supervisord_files(path, environ, node)
        except ConfigError as error:
            return ProgramFiles(not_understood=(str(error),))
        return program_files.read(files, environ, node)

    return read
