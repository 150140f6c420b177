"""The settings of programs, read from supervisord's files as supervisord reads them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from supervisor_memkill.config.program_files import ProgramFiles, read
from tests.conftest import StartSupervisord

TEXT = """
[program:plain]
command = sleep 600 ; a comment
[program:many]
command = sleep %(ENV_SECONDS)s%(process_num)d
process_name = %(program_name)s-%(group_name)s_%(process_num)02d
numprocs = 2
numprocs_start = 3
stopsignal = QUIT
stopwaitsecs = 77
stopasgroup = true
[program:low]
command = sleep 600
priority = -1
stopwaitsecs = -5
[group:pair]
programs = one, two
priority = 7
[program:one]
command = sleep 601
killasgroup = yes
[program:two]
command = sleep 602
stopsignal = SIGINT
[program:two]
stopsignal = 12
[program:set]
command = sleep 604
process_name = %(program_name)s_%(process_num)d
numprocs = %(ENV_COUNT)s
numprocs_start = %(ENV_COUNT)s
stopwaitsecs = %(ENV_SECONDS)s
stopsignal = %(ENV_SIGNAL)s
killasgroup = %(ENV_YES)s
priority = %(ENV_COUNT)s
[eventlistener:listener]
command = sleep 603
events = TICK_60,%(ENV_EVENT)s
"""
ENVIRONMENT = {"SECONDS": "60", "COUNT": "2", "SIGNAL": "INT", "YES": "yes", "EVENT": "process_state"}


def _read(directory: Path, text: str | bytes) -> ProgramFiles:
    path = directory / "program.conf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read([path], ENVIRONMENT, "node")


def test_files_give_what_supervisord_reports(tmp_path: Path, start_supervisord: StartSupervisord) -> None:
    """But stopasgroup, which supervisord does not report."""
    supervisord = start_supervisord(TEXT, environment=ENVIRONMENT)
    reported = {one.worker: one for one in supervisord.proxy.programs()}
    found = {one.worker: dataclasses.replace(one, stopasgroup=None) for one in _read(tmp_path, TEXT).programs}
    assert found == reported
    assert len(found) == 9


def test_defaults_hold_for_every_section(tmp_path: Path) -> None:
    """supervisord's parser knows [DEFAULT], wherever it stands."""
    (found,) = _read(tmp_path, "[program:x]\ncommand = x\n[DEFAULT]\nstopwaitsecs = 44\n").programs
    assert found.stopwaitsecs == 44


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_system(tmp_path: Path, end: str) -> None:
    """supervisord opens its files as text, and so a lone CR ends a line, too."""
    text = end.join(["[program:x]", "command = x", "stopwaitsecs = 44 ; a comment", ""])
    (found,) = _read(tmp_path, text.encode()).programs
    assert (found.command, found.stopwaitsecs) == ("x", 44)


def test_events_of_each_listener_are_known(tmp_path: Path) -> None:
    assert _read(tmp_path, TEXT).events == {"listener": {"TICK_60", "PROCESS_STATE"}}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("stdout_logfile_maxbytes = 2GB", "stdout_logfile_maxbytes = 2GB: write 2047MB or less"),
        ("stderr_capture_maxbytes = 2147483648", "stderr_capture_maxbytes = 2147483648: write 2047MB"),
        ("stopwaitsecs = 9999999999 ; for ever", "stopwaitsecs = 9999999999: write 2147483647 or less"),
        ("priority = -3000000000", "priority = -3000000000"),
        ("user = 4294967294", "user = 4294967294"),
        ("exitcodes = 0,99999999999", "exitcodes = 0,99999999999"),
    ],
)
def test_setting_that_supervisord_cannot_report_is_named_with_its_place(
    tmp_path: Path, setting: str, words: str
) -> None:
    (found,) = _read(tmp_path, f"[program:x]\ncommand = x\n{setting}\n").too_large
    assert found.startswith(f"{tmp_path}/program.conf:3: [program:x] {words}")


@pytest.mark.parametrize("setting", ["stdout_logfile_maxbytes = 2047MB", "stdout_logfile_maxbytes = 0"])
def test_setting_that_supervisord_can_report_is_not_named(tmp_path: Path, setting: str) -> None:
    assert not _read(tmp_path, f"[program:x]\ncommand = x\n{setting}\n").too_large


@pytest.mark.parametrize(
    "setting",
    [
        "stopwaitsecs = soon",
        "stopsignal = SIGNOTHING",
        "killasgroup = perhaps",
        "numprocs = many",
        "process_name = %(nothing)s",
        "process_name = %",
    ],
)
def test_setting_that_is_not_understood_leaves_out_its_own_program_alone(
    tmp_path: Path, setting: str
) -> None:
    found = _read(tmp_path, f"[program:x]\ncommand = x\n{setting}\n[program:y]\ncommand = y\n")
    assert [one.worker for one in found.programs] == ["y:y"]
    assert found.not_understood[0].startswith("[program:x]: ")


def test_file_that_cannot_be_read_leaves_out_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "good.conf"
    path.write_text("[program:y]\ncommand = y\n")
    found = read([tmp_path / "absent.conf", path], {}, "node")
    assert [one.worker for one in found.programs] == ["y:y"]
    assert "absent.conf: cannot be read" in found.not_understood[0]


def test_other_encoding_in_a_comment_or_a_name_does_no_harm(tmp_path: Path) -> None:
    found = _read(tmp_path, b"; gr\xfcn\n[program:x]\ncommand = caf\xe9\n[program:\xd0\xb6]\ncommand = y\n")
    assert [one.worker for one in found.programs] == ["x:x", "\u0436:\u0436"]


def test_endless_number_of_processes_is_cut(tmp_path: Path) -> None:
    text = "[program:x]\ncommand = x\nprocess_name = %(process_num)d\nnumprocs = 999999999\n"
    assert 0 < len(_read(tmp_path, text).programs) < 100_000


def test_size_as_supervisord_reads_it_is_the_limit() -> None:
    """XML-RPC's own bound."""
    from xmlrpc.client import MAXINT

    from supervisor_memkill.config.program_files import LARGEST

    assert LARGEST == MAXINT < sys.maxsize
