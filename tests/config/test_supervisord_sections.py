"""supervisord's own sections: stopasgroup of each process, the groups of listeners, the addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from supervisor_memkill.config.supervisord_files import sections_of
from supervisor_memkill.config.supervisord_sections import SupervisordSections, read_sections


def sections(directory: Path, *texts: str) -> SupervisordSections:
    paths = [directory / f"{number}.conf" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return read_sections(paths, {"WHERE": "/run"}, "node")


GROUPED = """
[program:plain]
command = a
[program:grouped]
command = b
stopasgroup = yes   ; with a comment
[fcgi-program:fast]
stopasgroup = TRUE
[program: spaced ]
stopasgroup = 1
[group:mixed]
programs = one,two , many,numbered
[program:one]
stopasgroup = true
[program:two]
[program:many]
process_name = %(program_name)s_%(process_num)02d
numprocs = 2
stopasgroup = true
[program:numbered]
process_name = %(host_node_name)s-%(group_name)s-%(process_num)d
numprocs = 2
numprocs_start = 5
[group:alike]
programs = three, four
[program:three]
stopasgroup = 1
[program:four]
stopasgroup = on
[program:odd]
stopasgroup = perhaps
"""


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("plain", "plain", False),
        ("grouped", "grouped", True),
        ("fast", "fast", True),
        ("spaced", "spaced", True),
        ("mixed", "one", True),
        ("mixed", "two", False),
        ("mixed", "many_00", True),
        ("mixed", "many_01", True),
        ("mixed", "many_02", None),
        ("mixed", "node-mixed-5", False),
        ("mixed", "node-mixed-6", False),
        ("mixed", "node-mixed-0", None),
        ("alike", "any name", True),
        ("odd", "odd", None),
        ("absent", "absent", None),
        ("one", "one", True),
    ],
)
def test_stopasgroup_is_that_of_the_program_whose_process_it_is(
    tmp_path: Path, group: str, name: str, value: bool | None
) -> None:
    """A process that no program of the group can have gets what all programs of the group have."""
    assert sections(tmp_path, GROUPED).stop_as_group(group, name) is value


def test_two_programs_with_names_of_one_pattern_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    text = (
        "[group:g]\nprograms = a, b\n"
        "[program:a]\nprocess_name = w%(process_num)d\nnumprocs = 3\nstopasgroup = yes\n"
        "[program:b]\nprocess_name = w%(process_num)d\nnumprocs = 3\nnumprocs_start = 3\n"
    )
    found = sections(tmp_path, text)
    assert [found.stop_as_group("g", f"w{number}") for number in range(6)] == [True] * 3 + [False] * 3


def test_what_is_not_known_of_a_process_name_may_be_any_text(tmp_path: Path) -> None:
    """The environment is supervisord's, and a program may have its own."""
    text = (
        "[group:g]\nprograms = a, b\n"
        "[program:a]\nprocess_name = %(ENV_WHERE)s-a%%\nstopasgroup = yes\n"
        "[program:b]\nprocess_name = b-%(process_num)s\nnumprocs = %(ENV_COUNT)s\n"
    )
    found = sections(tmp_path, text)
    assert (found.stop_as_group("g", "x-a%"), found.stop_as_group("g", "b-77")) == (True, False)


def test_later_section_adds_to_an_earlier_one_and_defaults_are_for_all(tmp_path: Path) -> None:
    """As in supervisord, whose parser merges repeated sections."""
    first = "[DEFAULT]\nstopasgroup = true\n[program:x]\n[program:y]\nstopasgroup = false\n"
    found = sections(tmp_path, first, "[program:y]\nstopasgroup = %(ENV_NO)s\n")
    assert found.stop_as_group("x", "x") is True
    assert found.stop_as_group("y", "y") is None, "the name is not known here"


@pytest.mark.parametrize("broken", ["no section", "[program:y]\nno value\n"])
def test_nothing_is_known_if_one_file_is_not_understood(tmp_path: Path, broken: str) -> None:
    """It may have changed any setting."""
    assert sections(tmp_path, GROUPED, broken).stop_as_group("plain", "plain") is None


def test_groups_of_listeners_and_of_programs_are_told_apart(tmp_path: Path) -> None:
    listener = "[eventlistener:memkill]\nuser = app\n"
    text = f"{listener}[program:cron]\n[group:jobs]\nprograms = one\n[fcgi-program:f]\n"
    found = sections(tmp_path, text)
    assert [found.is_listener_group(name) for name in ("memkill", "cron", "jobs", "f", "no")] == [
        True,
        False,
        False,
        False,
        None,
    ]
    assert found.users_of_listeners() == ("app",)


PARSEABLE = """
[program:plain]
command = a
[program:many]
command = a
process_name = %(program_name)s_%(process_num)02d@%(host_node_name)s
numprocs = 3
numprocs_start = 8
stopasgroup = yes ; so
[group:mixed]
programs = one,two, three
[program:one]
command = a
process_name = %(group_name)s-one-%(process_num)x
numprocs = 2
stopasgroup = yes
[program:two]
command = a
process_name = two%%
stopasgroup = no
[fcgi-program:three]
command = a
socket = tcp://127.0.0.1:1
process_name = three%(process_num)d%(numprocs)d
numprocs = 2
[eventlistener:listener]
command = a
events = TICK_5
stopasgroup = 1
[program:env]
command = a
environment = NAME="x"
process_name = %(ENV_NAME)s
stopasgroup = TRUE
[program:plain]
stopasgroup = true
"""


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("[unix_http_server]\nfile = /run/s.sock ; here\n", ["unix:///run/s.sock"]),
        ("[inet_http_server]\nport = *:9001\n", ["http://localhost:9001"]),
        ("[inet_http_server]\nport = 9001\n", ["http://localhost:9001"]),
        (
            "[inet_http_server:a]\nport = 127.0.0.1:1\n[inet_http_server:b]\nport = Host:2\n",
            ["http://host:2", "http://127.0.0.1:1"],
        ),
        (
            "[inet_http_server]\nport = 127.0.0.1:1\n[unix_http_server]\nfile = %(ENV_WHERE)s/s\n",
            ["unix:///run/s", "http://127.0.0.1:1"],
        ),
        ("[unix_http_server]\nfile = %(here)s/x/../s\n", ["unix://{here}/s"]),
        ("[unix_http_server]\nfile = s\n", ["unix:///start/s"]),
        ("[unix_http_server]\nfile = %(ENV_NO)s/s\n[inet_http_server]\n", [None, None]),
        ("[supervisord]\n", []),
    ],
)
def test_first_address_is_the_one_that_supervisord_gives_to_its_processes(
    tmp_path: Path, text: str, addresses: list[str | None]
) -> None:
    expected = [one and one.format(here=tmp_path) for one in addresses]
    assert list(sections(tmp_path, text).addresses(Path("/start"))) == expected


def test_stopasgroup_is_what_supervisords_own_parser_finds(tmp_path: Path) -> None:
    """For every process of a file with groups, numbers, names from names, repeated sections and defaults."""
    path = tmp_path / "supervisord.conf"
    extra = tmp_path / "extra.conf"
    path.write_text(f"[supervisord]\n[include]\nfiles = {extra}\n{PARSEABLE}")
    extra.write_text("[program:two]\ncommand = b\nstopasgroup = on\n[DEFAULT]\nkillasgroup = yes\n")
    options = ServerOptions()
    options.realize(["-c", str(path)])
    found = sections_of(path, {})
    theirs = {
        (group.name, process.name): process.stopasgroup
        for group in options.process_group_configs
        for process in group.process_configs
    }
    assert len(theirs) == 11
    assert {names: found.stop_as_group(*names) for names in theirs} == theirs
