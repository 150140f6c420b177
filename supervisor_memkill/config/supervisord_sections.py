"""What supervisord's own sections say: its addresses, its event listeners, and stopasgroup.

The files say what is set now; supervisord may have read an older version. What cannot be found is None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from supervisor_memkill.config import ini
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError

StopAsGroup = Callable[[str, str], "bool | None"]
"""The stopasgroup of the process of this group and with this name; None: unknown."""

DEFAULT_NAME = "%(program_name)s"
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
"""The words that supervisord accepts (supervisor/datatypes.py: boolean)."""
MAX_NUMPROCS = 10_000
_MAKERS = ("program", "fcgi-program", "eventlistener")
"""The sorts of sections that make processes."""
_SORTS = (*_MAKERS, "group")
_SERVERS = ("unix_http_server", "inet_http_server")
_HOLE = re.compile(r"%(?:%|\((\w+)\)[-#0 +]*\d*(?:\.\d+)?[a-zA-Z])")


@dataclass(frozen=True)
class SupervisordSections:
    """supervisord's sections; as in supervisord, a later section adds to an earlier one of the same name."""

    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By section and key."""
    names: Mapping[str, object] = field(default_factory=dict)
    """The names that supervisord fills in, such as ``here`` and ``ENV_HOME``."""

    def value(self, section: str, key: str) -> str | None:
        """The value with its names filled in; None: not set, or a name is not known here."""
        text = self.values.get(section, {}).get(key)
        return None if text is None else fill(text, self.names)

    def with_names(self, names: Mapping[str, object]) -> SupervisordSections:
        """The same sections with other names to fill in."""
        return replace(self, names=names)

    def is_listener_group(self, group: str) -> bool | None:
        """Whether the processes of the group are event listeners; None: the files do not have the group."""
        if f"eventlistener:{group}" in self.values:
            return True
        sorts = ("program", "fcgi-program", "group")
        return False if any(f"{sort}:{group}" in self.values for sort in sorts) else None

    def users_of_listeners(self) -> tuple[str, ...]:
        """The ``user`` of each event listener that has one."""
        sections = (name for name in self.values if name.startswith("eventlistener:"))
        return tuple(user for name in sections if (user := self.value(name, "user")))

    def addresses(self, start: Path | None = None) -> tuple[str | None, ...]:
        """The addresses of supervisord's servers; None in place of one that is not known.

        The first is the one that supervisord gives to its processes (supervisor/options.py:
        ServerOptions.realize). `start`: the directory in which supervisord was started.
        """
        unix = [self._unix_address(name, start) for name in self.values if name.startswith(_SERVERS[0])]
        inet = [self._inet_address(name) for name in self.values if name.startswith(_SERVERS[1])]
        return (*unix, *reversed(inet))

    def _unix_address(self, section: str, start: Path | None) -> str | None:
        file = self.value(section, "file")
        if not file:
            return None
        path = os.path.expanduser(file.strip())  # noqa: PTH111 - without an error for an unknown user
        if start is not None:
            path = str(start / path)
        return f"unix://{os.path.normpath(path)}" if path.startswith("/") else None

    def _inet_address(self, section: str) -> str | None:
        address = self.value(section, "port")
        if not address:
            return None
        host, _, port = address.strip().rpartition(":")
        return f"http://{'localhost' if host in ('', '*') else host.lower()}:{port}"

    def stop_as_group(self, group: str, name: str) -> bool | None:
        """See StopAsGroup. A process belongs to the programs of its group that can have such a process."""
        programs = self._programs_of(group)
        if len(values := {self._stop_as_group_of(program) for program in programs}) == 1:
            return values.pop()  # Whichever has it. The names of hundreds of processes would take long.
        makers = [one for one in programs if any(p.fullmatch(name) for p in self._process_names(one, group))]
        values = {self._stop_as_group_of(program) for program in makers or programs}
        return values.pop() if len(values) == 1 else None

    def _programs_of(self, group: str) -> list[str]:
        """The sections of the programs whose processes are in the group."""
        members = (self.value(f"group:{group}", "programs") or group).split(",")
        sections = [f"{sort}:{one.strip()}" for one in members for sort in _MAKERS]
        return [section for section in sections if section in self.values]

    def _stop_as_group_of(self, section: str) -> bool | None:
        if "stopasgroup" not in self.values[section]:
            return False
        word = (self.value(section, "stopasgroup") or "").strip().lower()
        return True if word in TRUE else False if word in FALSE else None

    def _process_names(self, section: str, group: str) -> Iterator[re.Pattern[str]]:
        """The names of the program's processes; what is not known of a name may be any text."""
        template = self.values[section].get("process_name", DEFAULT_NAME).strip()
        program = section.partition(":")[2]
        # Not ENV_X: supervisord's environment is not known here, and a program may have its own.
        known: dict[str, object] = {key: text for key, text in self.names.items() if key[:4] != "ENV_"}
        known |= {"program_name": program, "group_name": group}
        numbers = self._process_numbers(section)
        if numbers is None:
            yield _pattern(template, known)
            return
        for number in numbers:
            yield _pattern(template, {**known, "process_num": number, "numprocs": len(numbers)})

    def _process_numbers(self, section: str) -> range | None:
        try:
            count, first = (
                int(self.value(section, key) or "") if key in self.values[section] else default
                for key, default in (("numprocs", 1), ("numprocs_start", 0))
            )
        except ValueError:
            return None
        return range(first, first + count) if 0 < count <= MAX_NUMPROCS else None


def read_sections(files: Iterable[Path], environ: Mapping[str, str], node_name: str) -> SupervisordSections:
    """The sections of supervisord's files; none if a file cannot be read or understood.

    The first file is the main one. `environ` is supervisord's environment, as far as it is known.
    """
    merged: dict[str, dict[str, str]] = {}
    defaults: dict[str, str] = {}
    paths = list(files)
    for path in paths:
        try:
            file = ini.parse(path, _is_supervisords, lambda _: False)
        except ConfigError:
            if path.exists():
                return SupervisordSections()
            continue  # a link to nowhere, which supervisord passes over as well
        if file.problems:
            return SupervisordSections()
        for section in file.sections:
            values = {entry.key: entry.value for entry in section.entries}
            (defaults if section.name == "DEFAULT" else merged.setdefault(_name(section.name), {})).update(
                values
            )
    here = str(ini.absolute(paths[0].parent)) if paths else ""
    names = {"here": here, "host_node_name": node_name, **ini.environment_names(environ)}
    return SupervisordSections({name: {**defaults, **values} for name, values in merged.items()}, names)


def _is_supervisords(name: str) -> bool:
    return name in ("supervisord", "DEFAULT") or name.partition(":")[0] in (*_SORTS, *_SERVERS)


def _name(section: str) -> str:
    sort, colon, name = section.partition(":")
    return f"{sort}{colon}{name.strip()}"


def fill(text: str, names: Mapping[str, object]) -> str | None:
    """The text with its names filled in, as supervisord does it; None: a name or the format is unknown."""
    try:
        return text % names
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _pattern(template: str, known: Mapping[str, object]) -> re.Pattern[str]:
    """The texts that the template stands for."""
    parts, end = [], 0
    for hole in _HOLE.finditer(template):
        filled = fill(hole[0], known)
        parts += [re.escape(template[end : hole.start()]), ".*" if filled is None else re.escape(filled)]
        end = hole.end()
    return re.compile("".join([*parts, re.escape(template[end:])]), re.DOTALL)


def unknown_stop_as_group(group: str, name: str) -> None:
    """A StopAsGroup for a supervisord whose files are not known."""


def listener_groups(sections: SupervisordSections) -> Collection[str]:
    """The groups of all event listeners."""
    return [name.partition(":")[2] for name in sections.values if name.startswith("eventlistener:")]
