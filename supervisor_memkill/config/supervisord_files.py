"""supervisord's own files: where they are, what they include, its address, and stopasgroup.

XML-RPC does not tell stopasgroup, so it is read from the files. They say what is set now; supervisord may
have read an older version. What cannot be found is left out, and so is unknown.
"""

from __future__ import annotations

import configparser
import glob
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from supervisor_memkill.config import ini
from supervisor_memkill.config.ini import File, Section
from supervisor_memkill.config.sections import ParsedFiles, assemble, parse
from supervisor_memkill.errors import ConfigError, MemkillError

DEFAULT_SERVERURL = "http://localhost:9001"

PLAIN_NAME = "%(program_name)s"
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
"""The words that supervisord accepts (supervisor/datatypes.py: boolean)."""


@dataclass(frozen=True)
class ServerAddress:
    """How to reach supervisord."""

    serverurl: str
    username: str | None
    password: str | None


def read_supervisord(path: Path, environ: Mapping[str, str], node_name: str) -> ParsedFiles:
    """The sections of supervisord's file and of the files that it includes (those include no others).

    `environ` and `node_name` fill ``%(ENV_X)s`` and ``%(host_node_name)s`` in ``files``. Raises
    ConfigError if a file cannot be read.
    """
    main = parse(path)
    return assemble([main, *map(parse, _included_once(main, environ, node_name))])


def supervisord_files(path: Path, environ: Mapping[str, str], node_name: str) -> list[Path]:
    """All files of supervisord's configuration; arguments and errors as in `read_supervisord`."""
    return [path, *_included_once(parse(path), environ, node_name)]


def find_supervisord_config(program_path: Path, cwd: Path, exists: Callable[[Path], bool]) -> Path | None:
    """The file that supervisorctl would read (supervisor/options.py: Options.__init__); None: there is none.

    `program_path` is the path of the running program: supervisorctl is installed in the same directory.
    """
    prefix = cwd / program_path.parent.parent
    places = (
        prefix / "etc/supervisord.conf",
        prefix / "supervisord.conf",
        cwd / "supervisord.conf",
        cwd / "etc/supervisord.conf",
        Path("/etc/supervisord.conf"),
        Path("/etc/supervisor/supervisord.conf"),
    )
    return next((place for place in places if exists(place)), None)


def server_address(section: Section | None, environ: Mapping[str, str]) -> ServerAddress:
    """The address in the ``[supervisorctl]`` section, or supervisorctl's default if it has none.

    Raises ConfigError for a name that cannot be filled in.
    """
    if section is None:
        return ServerAddress(DEFAULT_SERVERURL, None, None)
    values = ini.environment_names(environ)
    found = {
        entry.key: ini.expand(section, entry, values)
        for entry in section.entries
        if entry.key in ("serverurl", "username", "password")
    }
    serverurl = found.get("serverurl") or DEFAULT_SERVERURL
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


def _included(main: File, environ: Mapping[str, str], node_name: str) -> Iterator[Path]:
    """The files that ``[include]`` names; a glob at a time, sorted within each."""
    include = next((section for section in main.sections if section.name == "include"), None)
    files = next((entry for entry in include.entries if entry.key == "files"), None) if include else None
    if include is None or files is None:
        return
    names = {"host_node_name": node_name, **ini.environment_names(environ)}
    for pattern in ini.expand(include, files, names).split():
        # Path.glob takes no absolute pattern and, unlike supervisord, finds hidden files
        yield from map(Path, sorted(glob.glob(str(main.path.parent.absolute() / pattern))))  # noqa: PTH207


def reader(
    pid: Callable[[], int], found: Path | None, environ: Mapping[str, str]
) -> Callable[[], Mapping[str, bool]]:
    """A function that reads the files now, and returns `by_group` of them; nothing if they cannot be read.

    `pid` is supervisord's: its command line names the file, else the file `found` at a standard place counts.
    """

    def read() -> Mapping[str, bool]:
        try:
            path = _path_of(pid()) or found
            files = supervisord_files(path, environ, socket.gethostname()) if path else []
        except (ConfigError, MemkillError):
            return {}
        return by_group(files)

    return read


def _path_of(pid: int) -> Path | None:
    """The ``-c FILE`` of supervisord's own command line."""
    try:
        process = psutil.Process(pid)
        return path_in(process.cmdline(), Path(process.cwd()))
    except (psutil.Error, OSError, ValueError):
        return None


LONG, SHORTEST = "--configuration", "--co"
"""The whole option, and the shortest form that getopt accepts."""
SHORT = re.compile(r"-[h?vnkts]*c(.*)", re.DOTALL)
"""``-c FILE`` and ``-cFILE``, also after options without a value, as in ``-nc``."""


def path_in(words: Iterable[str], cwd: Path) -> Path | None:
    """The configuration file on supervisord's command line (supervisor/options.py); None: it names none."""
    waiting = False
    for word in words:
        if waiting:
            return cwd / word
        name, is_joined, value = word.partition("=")
        is_long = LONG.startswith(name) and len(name) >= len(SHORTEST)
        if is_long and is_joined:
            return cwd / value
        short = SHORT.fullmatch(word)
        if short and short[1]:
            return cwd / short[1]
        waiting = is_long or short is not None
    return None


def by_group(files: Iterable[Path]) -> Mapping[str, bool]:
    """stopasgroup by group, or by ``group:program`` if the programs of the group have different settings.

    Then a program whose processes are not named like the program is left out.
    """
    # Not by `ini`: [DEFAULT], repeated sections and repeated keys count here as they do in supervisord.
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        for path in files:
            parser.read_string(path.read_text("utf-8-sig"))
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
    own: dict[str, bool | None] = {}
    plain: set[str] = set()
    members: dict[str, list[str]] = {}
    for section in parser.sections():
        sort, _, name = section.partition(":")
        if sort in ("program", "fcgi-program"):
            own[name] = _boolean(parser[section].get("stopasgroup", "false"))
            if parser[section].get("process_name", PLAIN_NAME).strip() == PLAIN_NAME:
                plain.add(name)
        elif sort == "group":
            members[name] = [one.strip() for one in parser[section].get("programs", "").split(",")]
    grouped = {program for programs in members.values() for program in programs}
    members |= {name: [name] for name in own if name not in grouped}
    found = {}
    for group, programs in members.items():
        values = {own.get(name) for name in programs}
        value = values.pop() if len(values) == 1 else None
        if value is not None:
            found[group] = value
            continue
        for name in programs:
            own_value = own.get(name)
            if own_value is not None and name in plain:
                found[f"{group}:{name}"] = own_value
    return found


def _boolean(text: str) -> bool | None:
    word = text.strip().lower()
    return True if word in TRUE else False if word in FALSE else None
