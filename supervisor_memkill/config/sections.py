"""This program's own sections, read from files in supervisord's syntax.

Unlike in supervisord, a key or section that occurs twice is a problem, which names both places.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from supervisor_memkill.config import ini
from supervisor_memkill.config.ini import Entry, File, Place, Section
from supervisor_memkill.dataclass import dataclass

SECTION = "memkill"
_SUPERVISORDS = ("include", "supervisorctl")


@dataclass(frozen=True)
class ParsedFiles:
    """The sections of one file, or of supervisord's file and the files that it includes."""

    sections: tuple[Section, ...]
    """``[memkill]`` and ``[memkill:NAME]``, in the order of the files; no name occurs twice."""
    others: tuple[tuple[str, Place], ...] = ()
    """The name and place of every other section."""
    supervisorctl: Section | None = None
    problems: tuple[str, ...] = ()
    """The problems of our own sections, one line of text each."""
    main: Path | None = None
    """The first file; None: no file was read."""
    unread: tuple[str, ...] = ()
    """The included files that cannot be read, one line of text each. supervisord goes on without one, too."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The first file, and the files in which our own sections stand."""
        own = (section.place.path for section in self.sections)
        return tuple(dict.fromkeys([*([self.main] if self.main else []), *own]))

    @property
    def eventlistener_groups(self) -> frozenset[str]:
        """The groups of all event listeners that the files define."""
        prefix = "eventlistener:"
        return frozenset(
            name.removeprefix(prefix).strip() for name, _ in self.others if name.startswith(prefix)
        )


def read_file(path: Path) -> ParsedFiles:
    """The sections of one file; its [include] is ignored. Raises ConfigError if it cannot be read."""
    return assemble([parse(path)])


def parse(path: Path) -> File:
    """The sections of one file that are read: our own and two of supervisord's. Raises ConfigError."""
    return ini.parse(path, lambda name: is_ours(name) or name in _SUPERVISORDS, is_ours)


def is_ours(name: str) -> bool:
    """``[memkill]`` and ``[memkill:NAME]``."""
    return name == SECTION or name.startswith(f"{SECTION}:")


def assemble(files: Iterable[File]) -> ParsedFiles:
    """One configuration from several files, in their order."""
    sections: dict[str, Section] = {}
    others: list[tuple[str, Place]] = []
    problems: list[str] = []
    supervisorctl: Section | None = None
    main: Path | None = None
    for file in files:
        main = main or file.path
        problems.extend(file.problems)
        others.extend(file.others)
        for section in file.sections:
            if section.name == "supervisorctl":
                if supervisorctl is None or supervisorctl.place.path == file.path:
                    supervisorctl = _added_to(supervisorctl, section)
            elif is_ours(section.name):
                if section.name in sections:
                    first = sections[section.name].place
                    problems.append(f"{section.place}: [{section.name}] stands at {first} already")
                    continue
                single, repeated = _without_repeated_keys(section)
                sections[section.name] = single
                problems.extend(repeated)
                problems.extend(_not_utf8(single))
    return ParsedFiles(tuple(sections.values()), tuple(others), supervisorctl, tuple(problems), main)


def _added_to(earlier: Section | None, section: Section) -> Section:
    """One section of two with this name; of a repeated key the last value counts, as in supervisorctl."""
    entries = (*(earlier.entries if earlier else ()), *section.entries)
    return Section(section.name, section.place, tuple({entry.key: entry for entry in entries}.values()))


def _not_utf8(section: Section) -> list[str]:
    places = [entry.place for entry in section.entries if not ini.is_utf8(entry.key + entry.value)]
    return [
        f"{place}: not UTF-8" for place in places or ([] if ini.is_utf8(section.name) else [section.place])
    ]


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
