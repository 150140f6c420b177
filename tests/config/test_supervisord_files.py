"""stopasgroup, which supervisord's XML-RPC hides, is read from its configuration, and never guessed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from supervisor_memkill.config.supervisord_files import by_group, path_in, reader
from tests.conftest import StartSupervisord
from tests.harness import program

PROGRAMS = """
[program:plain]
command = a
[program:grouped]
command = b
stopasgroup = yes   ; with a comment
[fcgi-program:fast]
stopasgroup = TRUE
[program:one]
stopasgroup = true
[program:two]
[program:three]
stopasgroup = 1
[group:mixed]
programs = one,two,many
[program:many]
process_name = %(program_name)s_%(process_num)d
stopasgroup = true
[group:alike]
programs = one, three
[program:odd]
stopasgroup = perhaps
"""


def test_each_groups_stopasgroup_is_found_and_an_odd_one_is_unknown(tmp_path: Path) -> None:
    """Where the programs of a group differ, each has its own; unless its processes have other names."""
    path = tmp_path / "supervisord.conf"
    path.write_text(PROGRAMS)
    alike = {"plain": False, "grouped": True, "fast": True, "alike": True}
    assert by_group([path]) == {**alike, "mixed:one": True, "mixed:two": False}


@pytest.mark.parametrize("text", ["no section", "[program:x]\nstopasgroup\n", "\xff"])
def test_a_file_that_cannot_be_read_tells_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "supervisord.conf"
    path.write_bytes(text.encode("latin-1"))
    assert by_group([path]) == {}
    assert by_group([tmp_path / "absent"]) == {}


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["python", "/usr/bin/supervisord", "-n", "-c", "/etc/s.conf"], "/etc/s.conf"),
        (["supervisord", "-cs.conf"], "/run/s.conf"),
        (["supervisord", "--configuration=s.conf"], "/run/s.conf"),
        (["supervisord", "--configuration", "s.conf", "-n"], "/run/s.conf"),
        (["supervisord", "-nc", "s.conf"], "/run/s.conf"),
        (["supervisord", "-kncs.conf"], "/run/s.conf"),
        (["supervisord", "--conf=s.conf"], "/run/s.conf"),
        (["supervisord", "--co", "s.conf"], "/run/s.conf"),
        (["supervisord", "--childlogdir=c", "-n", "--nodaemon", "-usic"], None),
        (["supervisord", "-n"], None),
        (["supervisord", "-c"], None),
    ],
)
def test_configuration_is_the_one_on_supervisords_command_line(words: list[str], path: str | None) -> None:
    assert path_in(words, Path("/run")) == (None if path is None else Path(path))


@pytest.mark.real
def test_a_running_supervisords_own_files_are_read_with_those_that_they_include(
    start_supervisord: StartSupervisord, tmp_path: Path
) -> None:
    included = tmp_path / "included.conf"
    sleeper = f"{sys.executable} -c 'import time; time.sleep(999)'"
    included.write_text(program("together", sleeper, stopasgroup="true"))
    supervisord = start_supervisord(f"{program('alone', sleeper)}\n[include]\nfiles = {included}\n")
    read = reader(supervisord.proxy.pid, None, {})
    assert read() == {"alone": False, "together": True}
    included.write_text(program("together", sleeper))
    assert read() == {"alone": False, "together": False}, "read anew each time"
