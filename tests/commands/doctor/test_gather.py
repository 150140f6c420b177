"""What the doctor learns from supervisord's log and files."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

import pytest

from supervisor_memkill.commands.doctor import gather
from supervisor_memkill.config.program_files import ProgramFiles, read
from supervisor_memkill.config.supervisord_sections import SupervisordSections
from supervisor_memkill.processes import ProcessState, ProgramInfo
from tests.builders import info

SPAWNED = "2026-11-29 14:19:46,310 INFO spawned: 'memkill' with pid 23124\n"
UNKNOWN = "2026-11-29 14:19:47,890 WARN memkill: has entered the UNKNOWN state and will no longer receive\n"
OTHER = UNKNOWN.replace("memkill", "memmon")


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", False),
        (SPAWNED, False),
        (SPAWNED + UNKNOWN, True),
        (SPAWNED + UNKNOWN + OTHER, True),
        (UNKNOWN, True),
        (SPAWNED + UNKNOWN + SPAWNED, False),
        (SPAWNED + OTHER, False),
        (SPAWNED + UNKNOWN.replace("memkill", "other-memkill2"), False),
    ],
)
def test_last_word_of_the_log_on_a_listener_counts(log: str, expected: bool) -> None:
    assert gather.is_unknown_by(log, info(group="memkill", name="memkill")) is expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("", ""),
        ("{0}/good", ""),
        ("{0}/gone", "{0}/gone does not exist"),
        ("{0}/good/below", "{0}/good/below does not exist"),
        ("{0}/plain", "{0}/plain is not executable: its mode is 0644"),
        ("{0}", "{0} is not a file"),
        ("bin/hook", ""),  # below the directory of the listener, which is not known
        ("sh", ""),
        (
            "no-such-command-here",
            "no-such-command-here is in no directory of PATH here; write the whole path",
        ),
    ],
)
def test_command_that_nobody_can_execute_is_named(tmp_path: Path, command: str, expected: str) -> None:
    for name, mode in (("good", 0o755), ("plain", 0o644)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    assert gather.why_not_executable(command.format(tmp_path)) == expected.format(tmp_path)


def program(group: str, command: str) -> ProgramInfo:
    return ProgramInfo(group, group, command, 15, 10, False, 999)


def test_listener_is_known_by_its_command_or_by_its_own_state() -> None:
    processes = [info(group=name, name=name) for name in ("memkill", "hidden", "memmon", "web")]
    programs = [
        program("memkill", "supervisor-memkill"),
        program("hidden", "/opt/start"),
        program("memmon", "memmon"),
    ]
    groups = {"memkill", "hidden", "memmon"}
    by_command = gather.listeners(processes, programs, groups, "")
    assert [one.group for one in by_command] == ["memkill"]
    by_state = gather.listeners(processes, programs, groups, "hidden:hidden")
    assert [one.group for one in by_state] == ["memkill", "hidden"]


def test_program_with_the_listeners_command_is_misplaced_unless_it_runs() -> None:
    """The listener itself ends at once there. Another command of ours may be a program."""
    programs = [program("a", "supervisor-memkill"), program("b", "supervisor-memkill status --watch")]
    processes = [info(ProcessState.FATAL, group="a", name="a"), info(group="b", name="b")]
    assert [one.group for one in gather.misplaced(processes, programs, {"memkill"})] == ["a"]
    assert gather.misplaced(processes, programs, {"a", "b"}) == ()
    running = [info(group="a", name="a")]
    assert gather.misplaced(running, programs, {"memkill"}) == ()


@pytest.mark.parametrize("words", ["serve --listen 127.0.0.1:9111", "  status --watch"])
def test_stopped_program_with_another_command_of_ours_is_not_misplaced(words: str) -> None:
    programs = [program("web", f"supervisor-memkill {words}")]
    assert gather.misplaced([info(ProcessState.STOPPED, group="web", name="web")], programs, {"x"}) == ()


@pytest.mark.parametrize(
    "command", ["python -m supervisor_memkill --config /x", "sh -c 'exec supervisor-memkill'"]
)
def test_listener_in_a_program_is_known_by_its_options(command: str) -> None:
    assert len(gather.misplaced([], [program("a", command)], {"x"})) == 1


def test_files_name_the_listeners_and_their_own_file(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text(
        "[program:other]\ncommand = supervisor-memkill --config /etc/no.conf\n"
        "[eventlistener:theirs]\ncommand = other --config /etc/other.conf\nevents = TICK_60\n"
        "[eventlistener:ours]\ncommand = supervisor-memkill --config /etc/memkill.conf\nevents = TICK_60\n"
        "[eventlistener:memmon]\ncommand = memmon -a 1GB\nevents = TICK_60\n"
        "[program:web]\ncommand = supervisor-memkill\n"
    )
    files = read([path], {}, "here")
    assert gather.groups_in_files(files) == ("ours",)
    assert gather.named_file(files) == Path("/etc/memkill.conf")
    assert gather.named_file(ProgramFiles()) is None
    assert files.places == {
        "other:other": f"{path}:1",
        "theirs:theirs": f"{path}:3",
        "ours:ours": f"{path}:6",
        "memmon:memmon": f"{path}:9",
        "web:web": f"{path}:12",
    }


GUARDED: Mapping[str, Mapping[str, str]] = {
    "unix_http_server": {"file": "/s", "username": "u", "password": "p"},
    "eventlistener:memkill": {"environment": "A=1"},
}
KNOWN = {"ENV_PATH": "/bin"}


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        (GUARDED, KNOWN, True),
        (GUARDED, {}, False),
        (GUARDED, {**KNOWN, "ENV_SUPERVISOR_PASSWORD": "p"}, False),
        ({**GUARDED, "eventlistener:memkill": {"environment": 'SUPERVISOR_PASSWORD="p"'}}, KNOWN, False),
        ({**GUARDED, "supervisord": {"environment": 'SUPERVISOR_PASSWORD="p"'}}, KNOWN, False),
        ({**GUARDED, "unix_http_server": {"file": "/s"}}, KNOWN, False),
        ({"unix_http_server": {"file": "/s"}, "inet_http_server": {"password": "p"}}, KNOWN, False),
    ],
)
def test_password_is_missing_only_where_nothing_can_give_it(
    values: Mapping[str, Mapping[str, str]], names: Mapping[str, str], expected: bool
) -> None:
    """supervisord gives its processes the address of the first server section; see `addresses`."""
    assert gather.lacks_password(SupervisordSections(values, names), ["memkill"]) is expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files that another user may not use")
def test_socket_is_looked_at_only_if_the_listener_uses_it(short_path: Path) -> None:
    socket, uid = short_path / "s", pwd.getpwnam("nobody").pw_uid
    socket.touch(0o700)
    unix, inet = {"file": str(socket)}, {"port": "127.0.0.1:9001"}
    both = SupervisordSections({"inet_http_server": inet, "unix_http_server": unix})
    assert str(socket) in gather.closed_socket(both, uid), "supervisord gives its processes this address"
    assert gather.closed_socket(both, None) == ""
    assert gather.closed_socket(SupervisordSections({"inet_http_server": inet}), uid) == ""
    assert gather.closed_socket(SupervisordSections(), uid) == ""
