"""The values in supervisord's answers. What has another form raises KeyError, TypeError, ValueError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor_memkill import checked
from supervisor_memkill.processes import ProcessInfo, ProcessState, ProgramInfo

PROCESS_MEMBERS = frozenset(
    {"group", "name", "state", "pid", "start", "stop", "now", "spawnerr", "exitstatus"}
)
PROGRAM_MEMBERS = frozenset(
    {"group", "name", "command", "stopsignal", "stopwaitsecs", "killasgroup", "group_prio"}
)
"""What is read of each entry; it has much more."""


def all_processes(answer: Any) -> list[ProcessInfo]:
    """The answer of getAllProcessInfo, of whose entries `process` was made."""
    found = checked.items(answer)
    if not all(isinstance(one, ProcessInfo) for one in found):
        raise ValueError("an entry is no process")
    return found


def programs(answer: Any) -> list[ProgramInfo]:
    """The answer of getAllConfigInfo, of whose entries `program_or_none` was made, without what is none."""
    return [one for one in checked.items(answer) if isinstance(one, ProgramInfo)]


def process(entry: Mapping[str, Any]) -> ProcessInfo:
    """One entry of getAllProcessInfo, or the answer of getProcessInfo."""
    return ProcessInfo(
        group=checked.text(entry["group"]),
        name=checked.text(entry["name"]),
        state=_state(checked.whole(entry["state"])),
        pid=checked.count(entry["pid"]),
        start=checked.count(entry["start"]),
        stop=checked.count(entry["stop"]),
        now=checked.count(entry["now"]),
        spawnerr=checked.text(entry.get("spawnerr", "")),
        exitstatus=checked.whole(entry.get("exitstatus", 0)),
    )


def pid(value: Any) -> int:
    """The answer of getPID."""
    if checked.count(value) == 0:
        raise ValueError("0 is not the pid of a process")
    return int(value)


def _state(number: Any) -> ProcessState:
    try:
        return ProcessState(number)
    except ValueError:
        return ProcessState.UNKNOWN


def program_or_none(entry: Any) -> ProgramInfo | None:
    """One entry of getAllConfigInfo; None if a setting in it is not understood."""
    try:
        return _program(entry)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _program(entry: Mapping[str, Any]) -> ProgramInfo:
    return ProgramInfo(
        group=checked.text(entry["group"]),
        name=checked.text(entry["name"]),
        command=checked.text(entry["command"]),
        stopsignal=checked.count(entry["stopsignal"]),
        stopwaitsecs=max(0, checked.whole(entry["stopwaitsecs"])),  # supervisord accepts one below 0, too
        killasgroup=checked.flag(entry["killasgroup"]),
        group_priority=checked.whole(entry["group_prio"]),
    )
