"""A second memory killer under the same supervisord is found by its command."""

from __future__ import annotations

import pytest

from supervisor_memkill.listener.rivals import rivals
from supervisor_memkill.processes import ProcessInfo, ProcessState, ProgramInfo

P = ProcessState


def found(commands: dict[str, str], own_group: str = "memkill", state: ProcessState = P.RUNNING) -> list[str]:
    commands = {"memkill": "supervisor-memkill", **commands}
    programs = [ProgramInfo(name, name, command, 15, 10, False, -1) for name, command in commands.items()]
    processes = [ProcessInfo(name, name, state, 1, 1, 0, 100) for name in commands]
    found = rivals(programs, processes, set(commands) - {"program"}, own_group)
    return [one.words for one in found if one.restarts_by_memory]


@pytest.mark.parametrize(
    "command",
    [
        "memmon -a 200MB",
        "/usr/local/bin/memmon -p a=1GB",
        "python -m superlance.memmon -a 200MB",
        "bash -c 'exec memmon -a 200MB'",
        "/opt/venv/bin/python /opt/superlance/memmon.py -a 1GB",
        "supervisor-memkill --config /etc/other.conf",
        "python -m supervisor_memkill",
    ],
)
def test_another_memory_killer_is_named(command: str) -> None:
    (words,) = found({"other": command})
    assert words.startswith(f"other:other also restarts workers by their memory ({command}")


@pytest.mark.parametrize(
    "command", ["httpok -p a http://x", "crashmail -a -m memmon@example.org", "x --config /etc/memmon.conf"]
)
def test_other_listeners_are_not_named(command: str) -> None:
    assert found({"other": command}) == []


def test_only_event_listeners_that_run_count() -> None:
    assert found({"program": "memmon -a 200MB"}) == []
    assert found({"other": "memmon -a 200MB"}, state=P.STOPPED) == []


def test_own_listener_is_none_for_a_person_either() -> None:
    assert found({}, own_group="") == []
    assert len(found({"second": "supervisor-memkill"}, own_group="")) == 1
