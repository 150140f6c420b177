"""The syntax of supervisord's INI files, with the file and line of everything.

As in supervisor/options.py (UnhosedConfigParser): full-line comments, inline comments after white space,
continuation lines. Sections that are not asked for are skipped unread, whatever they hold.
"""

from __future__ import annotations

import configparser
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError

_HEADER = re.compile(r"\[(.+)\]")
_INDENTED_HEADER = re.compile(r"\s+\[([^\]]*)\]")
_UNCLOSED_HEADER = re.compile(r"\[([^\]]*)$")
_TEXT = re.compile(r"\s*[^\s;#]")
_INLINE_COMMENT = re.compile(r"\s[;#].*")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_PERCENT = re.compile(r"%%|%\(([^)]*)\)s|%\([^)]*\)?.?")
_UNFINISHED = re.compile(r"%\([^()]+\)(?![-#0 +.\d]*[a-zA-Z])")
"""A name without the letter that ends it, such as ``%(ENV_HOME)/app`` (Supervisor/supervisor#1017)."""
_MANGLED = re.compile(r"\{'(here|host_node_name|program_name|group_name|process_num|numprocs|ENV_\w+)': ")


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
    """Without comments, ``%(here)s`` filled in; for the other names see `fill` and `expand`."""
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
class File:
    """The sections that were kept of one file."""

    path: Path
    sections: tuple[Section, ...]
    """A name may occur twice, and so may a key in a section."""
    others: tuple[tuple[str, Place], ...]
    """The name and place of every section that was not kept."""
    problems: tuple[str, ...]
    """Lines that cannot be understood, as one line of text each."""


class _NumberedLines:
    """A file's lines for configparser: headers made unique, sections that are not kept blanked."""

    def __init__(
        self, path: Path, text: str, keeps: Callable[[str], bool], may_not_be_indented: Callable[[str], bool]
    ) -> None:
        self.path = path
        self._keeps = keeps
        self._may_not_be_indented = may_not_be_indented
        self.number = 0
        """The number of the latest line."""
        self.headers: dict[str, tuple[str, Place]] = {}
        """The unique name that configparser sees, to the real one and its place."""
        self.others: list[tuple[str, Place]] = []
        self.problems: list[str] = []
        self._text = text

    def __iter__(self) -> Iterator[str]:
        is_kept = is_named = False
        for line in io.StringIO(self._text):
            self.number += 1
            place = Place(self.path, self.number)
            header = _HEADER.match(_INLINE_COMMENT.sub("", line))
            if header:
                name = header[1].strip()
                is_kept, is_named = self._keeps(name), True
                if is_kept:
                    self.headers[str(self.number)] = (name, place)
                    yield f"[{self.number}]\n"
                    continue
                self.others.append((name, place))
            elif (unclosed := _UNCLOSED_HEADER.match(line)) and self._is_refused(unclosed[1], is_named):
                self.problems.append(f"{place}: [{unclosed[1].strip()}]: the ] is missing")
                is_kept, is_named = False, True
            elif (indented := _INDENTED_HEADER.match(line)) and self._may_not_be_indented(indented[1]):
                self.problems.append(
                    f"{place}: [{indented[1]}] is indented, which makes it part of the line above"
                )
            elif not is_named and not self.problems and _TEXT.match(line):
                self.problems.append(f"{place}: text before the first [section]")
            yield line if is_kept and not header else "\n"

    def _is_refused(self, name: str, is_named: bool) -> bool:
        """Whether a header without its ] is a problem here: one of ours, or the first one of the file."""
        return self._keeps(name.strip()) or (not is_named and not self.problems)


def parse(path: Path, keeps: Callable[[str], bool], may_not_be_indented: Callable[[str], bool]) -> File:
    """The sections of the file whose name `keeps` accepts. Raises ConfigError if it cannot be read.

    An indented header is part of the line above. It is a problem if `may_not_be_indented` accepts its name.
    """
    lines = _NumberedLines(path, _read_text(path), keeps, may_not_be_indented)
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    # called once for each key, while its line is the latest one
    parser.optionxform = lambda key: f"{lines.number} {key.lower()}"  # type: ignore[assignment,method-assign]
    problems: list[str] = []
    try:
        parser.read_file(lines)
    except configparser.ParsingError as error:  # raised at the end: all that parses is there
        problems.extend(f"{path}:{line}: not KEY = VALUE" for line, _ in error.errors)
    sections = tuple(
        Section(name, place, tuple(_entries(path, parser.items(unique))))
        for unique, (name, place) in lines.headers.items()
        if parser.has_section(unique)
    )
    return File(path, sections, tuple(lines.others), (*problems, *lines.problems))


def _entries(path: Path, items: Iterable[tuple[str, str]]) -> Iterator[Entry]:
    here = str(absolute(path.parent))
    for numbered_key, value in items:
        number, key = numbered_key.split(" ", 1)
        if key:  # a line that begins with = was refused already
            yield Entry(key, value.replace("%(here)s", here), Place(path, int(number)))


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    if data.startswith(_UTF16_MARKS):
        raise ConfigError([f"{path}: is UTF-16: save it as UTF-8"])
    # supervisord reads by the locale, and a comment in another encoding does not stop it
    text = data.decode("utf-8-sig", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n")  # as Python reads a file of text


def is_utf8(text: str) -> bool:
    """The file holds this text in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def absolute(path: Path) -> Path:
    """The absolute path; unchanged if the working directory was removed, as a deploy removes old releases."""
    try:
        return path.absolute()
    except OSError:
        return path


def environment_names(environ: Mapping[str, str]) -> dict[str, str]:
    """The values of ``%(ENV_X)s``, by name."""
    return {f"ENV_{name}": value for name, value in environ.items()}


def expand(section: Section, entry: Entry, names: Mapping[str, object]) -> str:
    """The value with every ``%(NAME)s`` filled in, as supervisord does it (``%%`` is one ``%``).

    Raises ConfigError.
    """
    where = f"{entry.place}: [{section.name}] {entry.key}"
    try:
        return entry.value % names
    except (KeyError, ValueError, TypeError) as error:
        unfinished = _UNFINISHED.search(entry.value.replace("%%", ""))
        if unfinished is not None:
            words = f"{unfinished[0]} lacks its s: write {unfinished[0]}s"
        elif isinstance(error, KeyError):
            words = f"%({error.args[0]})s is not known here"
        else:
            words = f"a lone % (%% stands for one): {error}"
        raise ConfigError([f"{where}: {words}"]) from error


def fill(value: str, names: Mapping[str, str], *, keeps_other_names: bool = False) -> str:
    """The value with ``%(NAME)s`` filled in and one ``%`` for ``%%``, as supervisord does it.

    Unlike in supervisord any other ``%`` stays, because ``80%`` and ``%40`` in a URL are good values. With
    `keeps_other_names` a name that is not in `names` stays too, unless it is one of the environment. Raises
    ValueError, in a whole phrase.
    """

    def replaced(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        name = found[1]
        if name in names:
            if is_mangled(names[name]):
                raise ValueError(f"{found[0]}: {MANGLED}")
            return names[name]
        if keeps_other_names and not found[0].lower().startswith("%(env_"):
            return found[0]
        raise ValueError(_unknown_name(found[0], name, names))

    return _PERCENT.sub(replaced, value)


def _unknown_name(text: str, name: str | None, names: Mapping[str, str]) -> str:
    import difflib

    near = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.8) if name else []
    meant = f"did you mean %({near[0]})s?" if near else ""
    if name is None or not name.startswith("ENV_"):
        unfinished = _UNFINISHED.match(text)
        hint = f", {meant}" if meant else f", write {unfinished[0]}s" if unfinished else ""
        return f"only %(here)s, %(host_node_name)s and %(ENV_NAME)s are filled in, not {text}{hint}"
    hint = meant or "by hand it must be set as well, if supervisord's files do not have it"
    return f"{text}: the environment has no variable {name.removeprefix('ENV_')}; {hint}"


DOUBLE_PERCENT = (
    "supervisord replaced a % in its value by all of its own values: in environment= write %% for each %"
)
MANGLED = f"{DOUBLE_PERCENT}, or write the URL into a file that redis_file names"


def is_mangled(value: str) -> bool:
    """Whether supervisord made the value of ``environment=`` from text such as ``%40s`` with one ``%``.

    supervisor/options.py: expand() uses Python's % with a dict, whose whole repr then stands in the value.
    """
    return _MANGLED.search(value) is not None
