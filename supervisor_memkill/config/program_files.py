"""The settings of programs as supervisord's own files give them, for where supervisord cannot report them.

The files say what is set now; supervisord may have read an older version. A setting that cannot be understood
leaves out its own program, and no other. Read like supervisor/options.py: process_groups_from_parser and
_processes_from_section.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from supervisor_memkill.config import ini
from supervisor_memkill.config.ini import Entry, Section
from supervisor_memkill.config.sections import is_ours
from supervisor_memkill.config.supervisord_sections import fill
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError
from supervisor_memkill.processes import ProgramInfo

PROGRAM, LISTENER, GROUP = ("program", "fcgi-program"), "eventlistener", "group"
SORTS = (*PROGRAM, LISTENER, GROUP)
LARGEST = 2**31 - 1
"""XML-RPC has no larger integer (supervisor/rpcinterface.py: getAllConfigInfo)."""
MAX_PROCESSES = 10_000
"""More processes of one program are not listed: a number so large is a mistake in writing."""

_BYTES = tuple(f"{stream}_{key}" for stream in ("stdout", "stderr") for key in ("logfile", "capture"))
REPORTED_BYTES = tuple(f"{key}_maxbytes" for key in _BYTES)
REPORTED_NUMBERS = (
    "priority",
    "startsecs",
    "startretries",
    "stopwaitsecs",
    "stdout_logfile_backups",
    "stderr_logfile_backups",
    "user",
    "exitcodes",
)
"""The settings that supervisord reports as numbers; `user` is one where it is a uid."""
_UNITS = {"kb": 2**10, "mb": 2**20, "gb": 2**30}
"""supervisor/datatypes.py: byte_size."""
_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_OF_EACH_PROCESS = ("command", "process_name")
DEFAULT = "DEFAULT"
"""configparser's section whose entries hold for every section."""


@dataclass(frozen=True)
class ProgramFiles:
    """What the files say."""

    programs: tuple[ProgramInfo, ...] = ()
    """One per process, like the answer of getAllConfigInfo."""
    too_large: tuple[str, ...] = ()
    """The settings that supervisord cannot report, with place, section and value, one sentence each."""
    not_understood: tuple[str, ...] = ()
    """The files, sections and settings that cannot be read, one sentence each."""
    events: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The events of each event listener, by its group; in capitals."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where the section of each process stands, ``PATH:LINE``, by ``group:name``."""

    @property
    def listener_groups(self) -> frozenset[str]:
        """The groups of event listeners."""
        return frozenset(self.events)


NOTHING = ProgramFiles()


def read(files: Iterable[Path], environ: Mapping[str, str], node_name: str) -> ProgramFiles:
    """All programs and event listeners in these files of one supervisord; a file that fails is left out.

    `environ` and `node_name` fill ``%(ENV_X)s`` and ``%(host_node_name)s``.
    """
    problems: list[str] = []
    names = {"host_node_name": node_name, **ini.environment_names(environ)}
    sections = _sections(files, names, problems)
    programs: list[ProgramInfo] = []
    places: dict[str, str] = {}
    for part in _parts(sections):
        try:
            found = list(_processes(part, names))
            programs += found
            places |= {one.worker: str(part.section.place) for one in found}
        except (ConfigError, ValueError) as error:
            problems.append(f"[{part.section.name}]: {error}")
    events = {
        _name_in(section): frozenset(re.split(r"[\s,]+", (section.get("events") or "").upper())) - {""}
        for section in sections.values()
        if section.name.startswith(f"{LISTENER}:")
    }
    too_large = tuple(words for section in sections.values() for words in _too_large(section))
    return ProgramFiles(tuple(programs), too_large, tuple(problems), events, places)


def _sections(files: Iterable[Path], names: Mapping[str, str], problems: list[str]) -> dict[str, Section]:
    """The sections by name. Of a repeated section or key the last value counts, as in supervisord."""
    merged: dict[str, tuple[Section, dict[str, Entry]]] = {}
    for path in files:
        try:
            file = ini.parse(path, lambda name: name == DEFAULT or _sort_of(name) in SORTS, is_ours)
        except ConfigError as error:
            problems.append(str(error))
            continue
        for section in file.sections:
            _, entries = merged.setdefault(section.name, (section, {}))
            entries.update({entry.key: entry for entry in section.entries})
    _, defaults = merged.pop(DEFAULT, (None, dict[str, Entry]()))
    return {
        name: _filled(Section(name, section.place, tuple({**defaults, **entries}.values())), names)
        for name, (section, entries) in merged.items()
    }


def _filled(section: Section, names: Mapping[str, str]) -> Section:
    """With the names filled in that stand in the values of its settings, such as ``%(ENV_WORKERS)s``.

    What differs between the processes of a program stays, and so does a name that is not known here.
    """
    known = {**names, "program_name": _name_in(section)}

    def filled(entry: Entry) -> Entry:
        value = None if entry.key in _OF_EACH_PROCESS else fill(entry.value, known)
        return entry if value is None else replace(entry, value=value)

    return replace(section, entries=tuple(map(filled, section.entries)))


@dataclass(frozen=True)
class _Part:
    """One program in one group."""

    section: Section
    group: str
    group_priority: int


def _parts(sections: Mapping[str, Section]) -> Iterator[_Part]:
    grouped: set[str] = set()
    for section in sections.values():
        if _sort_of(section.name) != GROUP:
            continue
        for program in re.split(r"\s*,\s*", (section.get("programs") or "").strip()):
            for sort in PROGRAM:
                found = sections.get(f"{sort}:{program}")
                if found is not None:
                    grouped.add(found.name)
                    yield _Part(found, _name_in(section), _whole_or(section, "priority", 999))
    for section in sections.values():
        if _sort_of(section.name) in (*PROGRAM, LISTENER) and section.name not in grouped:
            default = -1 if _sort_of(section.name) == LISTENER else 999
            yield _Part(section, _name_in(section), _whole_or(section, "priority", default))


def _sort_of(name: str) -> str:
    sort, colon, _ = name.partition(":")
    return sort if colon else ""


def _name_in(section: Section) -> str:
    return section.name.partition(":")[2].strip()


def _processes(part: _Part, names: Mapping[str, str]) -> Iterator[ProgramInfo]:
    """Raises ConfigError, ValueError."""
    section = part.section
    known: dict[str, object] = {**names, "program_name": _name_in(section), "group_name": part.group}
    count, first = _whole(section, "numprocs", 1), _whole(section, "numprocs_start", 0)
    stop_as_group = _flag(section, "stopasgroup", default=False)
    kill_as_group = _flag(section, "killasgroup", default=stop_as_group)
    stop_signal, stop_wait = _signal(section), max(0, _whole(section, "stopwaitsecs", 10))
    for number in range(first, first + min(count, MAX_PROCESSES)):
        own = {**known, "process_num": number, "numprocs": count}
        yield ProgramInfo(
            group=part.group,
            name=_expanded(section, "process_name", "%(program_name)s", own).strip(),
            command=_expanded(section, "command", "", own),
            stopsignal=stop_signal,
            stopwaitsecs=stop_wait,
            killasgroup=kill_as_group,
            group_priority=part.group_priority,
            stopasgroup=stop_as_group,
        )


def _expanded(section: Section, key: str, default: str, names: Mapping[str, object]) -> str:
    entry = next((one for one in section.entries if one.key == key), None)
    if entry is None:
        return default % names
    return ini.expand(section, entry, names)


def _whole(section: Section, key: str, default: int) -> int:
    text = section.get(key)
    return default if text is None else int(text)


def _whole_or(section: Section, key: str, default: int) -> int:
    try:
        return _whole(section, key, default)
    except ValueError:
        return default


def _flag(section: Section, key: str, *, default: bool) -> bool:
    text = section.get(key)
    if text is None:
        return default
    word = text.strip().lower()
    if word not in _WORDS:
        raise ValueError(f"{key} = {text} is neither true nor false")
    return _WORDS[word]


def _signal(section: Section) -> int:
    text = (section.get("stopsignal") or "TERM").strip().upper()
    if re.fullmatch("[0-9]{1,3}", text):
        return int(text)
    name = text if text.startswith("SIG") else f"SIG{text}"
    try:
        return int(signal.Signals[name])
    except KeyError:
        raise ValueError(f"stopsignal = {text} is not a signal") from None


def _too_large(section: Section) -> Iterator[str]:
    """The settings of a section that XML-RPC cannot carry."""
    if _sort_of(section.name) not in SORTS:
        return
    for entry in section.entries:
        if entry.key in REPORTED_BYTES and _bytes(entry.value) > LARGEST:
            yield f"{entry.place}: [{section.name}] {entry.key} = {entry.value}: write 2047MB or less"
        elif entry.key in REPORTED_NUMBERS and any(abs(one) > LARGEST for one in _numbers(entry.value)):
            yield f"{entry.place}: [{section.name}] {entry.key} = {entry.value}: write {LARGEST} or less"


def _bytes(text: str) -> int:
    """The size in bytes; 0 for what supervisord does not accept."""
    number, unit = text.strip()[:-2], text.strip()[-2:].lower()
    if unit not in _UNITS:
        number, factor = text.strip(), 1
    else:
        factor = _UNITS[unit]
    return int(number) * factor if re.fullmatch(r"[0-9]{1,18}", number.strip()) else 0


def _numbers(text: str) -> list[int]:
    return [int(one) for one in re.split(r"[\s,]+", text) if re.fullmatch(r"-?[0-9]{1,18}", one)]
