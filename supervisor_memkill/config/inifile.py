"""Reads this program's sections, and the little else it needs, from supervisord's kind of INI files.

The syntax is supervisord's (supervisor/options.py: UnhosedConfigParser): full-line comments, inline
ones after white space, continuation lines. Unlike there, what stands twice is a problem that names
both places, and every value knows its file and line. All sections that are not asked for are skipped
unread, whatever they hold.
"""

from __future__ import annotations

import configparser
import glob
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisor_memkill.errors import ConfigError

SECTION = "memkill"
DEFAULT_SERVERURL = "http://localhost:9001"

_HEADER = re.compile(r"\[(.+)\]")
_INDENTED_HEADER = re.compile(rf"\s+\[({SECTION}(?::[^\]]*)?)\]")
_INLINE_COMMENT = re.compile(r"\s[;#].*")


@dataclass(frozen=True)
class Place:
    """Where something stands."""

    path: Path
    line: int
    """Counted from 1."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Entry:
    """One key with its value."""

    key: str
    """In lower case."""
    value: str
    """Without comments, ``%(here)s`` filled in."""
    place: Place


@dataclass(frozen=True)
class Section:
    """One section, in the order of its file; no key stands twice."""

    name: str
    place: Place
    entries: tuple[Entry, ...]

    def get(self, key: str) -> str | None:
        """The key's value; None where it is absent."""
        return next((entry.value for entry in self.entries if entry.key == key), None)


@dataclass(frozen=True)
class Reading:
    """What one file, or supervisord's file with those that it includes, holds."""

    sections: tuple[Section, ...]
    """``[memkill]`` and ``[memkill:NAME]``, in the order of the files; no name stands twice."""
    others: tuple[tuple[str, Place], ...] = ()
    """The name and place of every other section."""
    supervisorctl: Section | None = None
    problems: tuple[str, ...] = ()
    """What is wrong with our own sections as text, one line each."""

    @property
    def eventlistener_groups(self) -> frozenset[str]:
        """The groups of all event listeners that the files define."""
        prefix = "eventlistener:"
        return frozenset(
            name.removeprefix(prefix).strip() for name, _ in self.others if name.startswith(prefix)
        )


@dataclass(frozen=True)
class ServerAddress:
    """How to reach supervisord."""

    serverurl: str
    username: str | None
    password: str | None


def read_file(path: Path) -> Reading:
    """What the one file holds; its [include] is not followed. Raises ConfigError when it cannot be read."""
    return _reading([_parse(path)])


def read_supervisord(path: Path, environ: Mapping[str, str], node_name: str) -> Reading:
    """What supervisord's configuration holds, with the files that it includes (and they include none).

    `environ` and `node_name` fill ``%(ENV_X)s`` and ``%(host_node_name)s`` in ``files``. Raises
    ConfigError when a file cannot be read.
    """
    main = _parse(path)
    return _reading([main, *map(_parse, _included_once(main, environ, node_name))])


def supervisord_files(path: Path, environ: Mapping[str, str], node_name: str) -> list[Path]:
    """The files that make up supervisord's configuration; arguments and errors as of `read_supervisord`."""
    return [path, *_included_once(_parse(path), environ, node_name)]


def find_supervisord_config(program_path: Path, cwd: Path, exists: Callable[[Path], bool]) -> Path | None:
    """The configuration that supervisorctl would take (supervisor/options.py: Options.__init__).

    `program_path` is the running program's; supervisorctl looks beside its own, in the same bin.
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
    """The address in a ``[supervisorctl]`` section, or supervisorctl's default where it says nothing.

    Raises ConfigError for a name that cannot be filled in.
    """
    if section is None:
        return ServerAddress(DEFAULT_SERVERURL, None, None)
    values = _environment_names(environ)
    found = {
        entry.key: _expand(section, entry, values)
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


@dataclass(frozen=True)
class _File:
    """What was kept of one file, before files are put together."""

    path: Path
    sections: tuple[Section, ...]
    """Kept sections, ours and supervisord's; a name may stand twice, and so may a key."""
    others: tuple[tuple[str, Place], ...]
    problems: tuple[str, ...]


class _NumberedLines:
    """A file's lines for configparser: headers made unique, sections that are not ours blanked."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.number = 0
        """Of the line that was handed out last."""
        self.headers: dict[str, tuple[str, Place]] = {}
        """The unique name that configparser sees, to the real one and its place."""
        self.others: list[tuple[str, Place]] = []
        self.problems: list[str] = []
        self._text = text

    def __iter__(self) -> Iterator[str]:
        is_kept = True  # text before the first section is for configparser to refuse
        for line in io.StringIO(self._text):
            self.number += 1
            place = Place(self.path, self.number)
            header = _HEADER.match(_INLINE_COMMENT.sub("", line))
            if header:
                name = header[1].strip()
                is_kept = _is_ours(name) or name in ("include", "supervisorctl")
                if is_kept:
                    self.headers[str(self.number)] = (name, place)
                    yield f"[{self.number}]\n"
                    continue
                self.others.append((name, place))
            elif indented := _INDENTED_HEADER.match(line):
                self.problems.append(
                    f"{place}: [{indented[1]}] is indented, which makes it part of the line above"
                )
            yield line if is_kept and not header else "\n"


def _is_ours(name: str) -> bool:
    return name == SECTION or name.startswith(f"{SECTION}:")


def _parse(path: Path) -> _File:
    lines = _NumberedLines(path, _read_text(path))
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    # called once for each key, while its line is the last one handed out
    parser.optionxform = lambda key: f"{lines.number} {key.lower()}"  # type: ignore[assignment,method-assign]
    problems: list[str] = []
    try:
        parser.read_file(lines)
    except configparser.MissingSectionHeaderError as error:
        problems.append(f"{path}:{error.lineno}: text before the first [section]")
    except configparser.ParsingError as error:  # raised at the end: all that parses is there
        problems.extend(f"{path}:{line}: not KEY = VALUE" for line, _ in error.errors)
    sections = tuple(
        Section(name, place, tuple(_entries(path, parser.items(unique))))
        for unique, (name, place) in lines.headers.items()
        if parser.has_section(unique)
    )
    return _File(path, sections, tuple(lines.others), (*problems, *lines.problems))


def _entries(path: Path, items: Iterable[tuple[str, str]]) -> Iterator[Entry]:
    here = str(_absolute(path.parent))
    for numbered_key, value in items:
        number, key = numbered_key.split(" ", 1)
        if key:  # a line that begins with = was refused already
            yield Entry(key, value.replace("%(here)s", here), Place(path, int(number)))


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8"]) from error
    return text.replace("\r\n", "\n")


def _reading(files: Iterable[_File]) -> Reading:
    sections: dict[str, Section] = {}
    others: list[tuple[str, Place]] = []
    problems: list[str] = []
    supervisorctl: Section | None = None
    for file in files:
        problems.extend(file.problems)
        others.extend(file.others)
        for section in file.sections:
            if section.name == "supervisorctl":
                supervisorctl = supervisorctl or section
            elif _is_ours(section.name):
                if section.name in sections:
                    first = sections[section.name].place
                    problems.append(f"{section.place}: [{section.name}] stands at {first} already")
                    continue
                single, repeated = _without_repeated_keys(section)
                sections[section.name] = single
                problems.extend(repeated)
    return Reading(tuple(sections.values()), tuple(others), supervisorctl, tuple(problems))


def _without_repeated_keys(section: Section) -> tuple[Section, list[str]]:
    """The section with the first entry of each key, and a problem for each other one."""
    first: dict[str, Entry] = {}
    problems = []
    for entry in section.entries:
        if entry.key in first:
            earlier = first[entry.key].place
            problems.append(f"{entry.place}: [{section.name}] {entry.key} stands at {earlier} already")
        else:
            first[entry.key] = entry
    return Section(section.name, section.place, tuple(first.values())), problems


def _included_once(main: _File, environ: Mapping[str, str], node_name: str) -> Iterator[Path]:
    """supervisord reads what two patterns name twice, to the same effect; it passes over directories."""
    seen = {_resolved(main.path)}
    for included in _included(main, environ, node_name):
        if _resolved(included) not in seen and not included.is_dir():
            seen.add(_resolved(included))
            yield included


def _resolved(path: Path) -> Path:
    """The file that a link leads to; the link itself where it leads to none, which reading it tells."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop, up to Python 3.12
        return _absolute(path)


def _absolute(path: Path) -> Path:
    """As it is where the working directory is gone, as a deploy removes old releases."""
    try:
        return path.absolute()
    except OSError:
        return path


def _included(main: _File, environ: Mapping[str, str], node_name: str) -> Iterator[Path]:
    """The files that ``[include]`` names; a glob at a time, sorted within each."""
    include = next((section for section in main.sections if section.name == "include"), None)
    files = next((entry for entry in include.entries if entry.key == "files"), None) if include else None
    if include is None or files is None:
        return
    names = {"host_node_name": node_name, **_environment_names(environ)}
    for pattern in _expand(include, files, names).split():
        # Path.glob takes no absolute pattern and, unlike supervisord, finds hidden files
        yield from map(Path, sorted(glob.glob(str(main.path.parent.absolute() / pattern))))  # noqa: PTH207


def _environment_names(environ: Mapping[str, str]) -> dict[str, str]:
    return {f"ENV_{name}": value for name, value in environ.items()}


def _expand(section: Section, entry: Entry, names: Mapping[str, str]) -> str:
    """The value with its ``%(NAME)s`` filled in, as supervisord does it (``%%`` is one ``%``)."""
    where = f"{entry.place}: [{section.name}] {entry.key}"
    try:
        return entry.value % names
    except KeyError as error:
        raise ConfigError([f"{where}: %({error.args[0]})s is not known here"]) from error
    except (ValueError, TypeError) as error:
        raise ConfigError([f"{where}: a lone % (%% stands for one): {error}"]) from error
