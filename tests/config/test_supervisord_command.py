"""supervisord's file by its command line, read as supervisord reads it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from supervisor_memkill.config.supervisord_command import (
    CommandLine,
    Running,
    is_supervisord,
    may_be_in,
    own_file,
    parse_command,
)

PROGRAM = Path("/usr/bin/supervisord")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("/usr/bin/python3 /usr/bin/supervisord -n -c /etc/s.conf", CommandLine(PROGRAM, "/etc/s.conf")),
        ("/usr/bin/supervisord -cs.conf", CommandLine(PROGRAM, "s.conf")),
        ("/usr/bin/supervisord --configuration=s.conf", CommandLine(PROGRAM, "s.conf")),
        ("/usr/bin/supervisord --configuration s.conf -n", CommandLine(PROGRAM, "s.conf")),
        ("/usr/bin/supervisord -nc s.conf", CommandLine(PROGRAM, "s.conf")),
        ("/usr/bin/supervisord -kncs.conf", CommandLine(PROGRAM, "s.conf")),
        ("/usr/bin/supervisord --conf=s.conf -d /srv", CommandLine(PROGRAM, "s.conf", "/srv")),
        ("/usr/bin/supervisord --co s.conf --dir=/srv", CommandLine(PROGRAM, "s.conf", "/srv")),
        ("/usr/bin/supervisord --childlogdir=c -n --nodaemon -usic", CommandLine(PROGRAM)),
        ("/usr/bin/supervisord -n", CommandLine(PROGRAM)),
        ("/usr/bin/supervisord -c", CommandLine(PROGRAM)),
        ("/usr/bin/supervisord --unknown -c x", CommandLine(PROGRAM)),
        ("python3.11 -m supervisor.supervisord -c s.conf", CommandLine(None, "s.conf")),
        ("python -I -W error -Xdev -X a=b /usr/bin/supervisord -c s.conf", CommandLine(PROGRAM, "s.conf")),
        ("pypy3 -Ic code -c s.conf", CommandLine(None, "s.conf")),
        ("", CommandLine(None)),
    ],
)
def test_command_line_is_read_as_supervisord_reads_it(words: str, command: CommandLine) -> None:
    assert parse_command(words.split()) == command


@pytest.mark.parametrize(
    ("words", "is_one"),
    [
        ("/usr/bin/python3 /usr/bin/supervisord -n", True),
        ("supervisord", True),
        ("/opt/venv/bin/python3.11 -u /opt/venv/bin/supervisord-3.11", True),
        ("python -m supervisor.supervisord -n", True),
        ("python -m supervisor", True),
        ("python -m supervisor.supervisorctl", False),
        ("python /usr/bin/supervisorctl", False),
        ("python -m pytest tests/test_supervisord.py", False),
        ("sh -c supervisord", False),
        ("vi /etc/supervisord.conf", False),
        ("python", False),
        ("", False),
    ],
)
def test_supervisord_is_recognised_by_its_command_line(words: str, is_one: bool) -> None:
    assert is_supervisord(words.split()) is is_one


def found(
    words: str, *started_in: str, present: Collection[str], foreign: Collection[str] = ()
) -> str | None:
    """The file that is found, where these files are present, and some of them are another supervisord's."""
    running = Running(tuple(words.split()), None, tuple(map(Path, started_in)))
    path = own_file(running, lambda path: str(path) in present, lambda path, start: str(path) not in foreign)
    return None if path is None else str(path)


APP, ETC = "/app/supervisord.conf", "/etc/supervisor/supervisord.conf"


def test_whole_path_on_the_command_line_needs_no_check() -> None:
    assert found("supervisord -c /app/s.conf", "/", present=[ETC], foreign=["/app/s.conf"]) == "/app/s.conf"


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/63", "/proc/self/fd/0", "/srv/../dev/stdin"])
def test_path_that_each_process_has_for_itself_is_not_read(path: str) -> None:
    """``supervisord -c /dev/stdin``: to read it, the listener would take its own events for the file."""
    assert found(f"supervisord -c {path}", "/srv", present=[path, ETC]) is None


def test_relative_path_is_looked_for_wherever_it_may_have_been_started() -> None:
    assert found("supervisord -c supervisord.conf", "/", "/app", present=[APP, ETC]) == APP
    assert found("supervisord -c supervisord.conf", "/", present=[APP, ETC]) is None
    assert found("supervisord -c supervisord.conf", present=[APP, ETC]) is None


def test_of_two_files_that_fit_none_is_taken() -> None:
    present = [APP, "/old/supervisord.conf"]
    assert found("supervisord -c supervisord.conf", "/old", "/app", present=present) is None
    assert (
        found("supervisord -c supervisord.conf", "/old", "/app", present=present, foreign=present[1:]) == APP
    )


def test_without_an_option_it_is_the_first_place_that_exists_unless_it_is_another_supervisords() -> None:
    assert found("/venv/bin/supervisord", "/app", present=[APP, ETC]) == APP
    assert found("/venv/bin/supervisord", "/app", present=[APP, "/venv/etc/supervisord.conf"]) == (
        "/venv/etc/supervisord.conf"
    )
    assert found("/venv/bin/supervisord", present=[ETC]) == ETC
    assert found("/venv/bin/supervisord", "/app", present=[APP, ETC], foreign=[APP]) is None
    # With /bin in PATH before /usr/bin, the prefix is / (Supervisor/supervisor#271).
    assert (
        found("/bin/supervisord", "/app", present=[APP, "/etc/supervisord.conf"]) == "/etc/supervisord.conf"
    )


@pytest.mark.parametrize(
    ("cwd", "start", "directory", "is_possible"),
    [
        ("/app", "/app", None, True),
        ("/", "/app", None, False),
        ("/", "/app", "/", True),
        ("/app/run", "/app", "run", True),
        ("/app", "/app", "/", True),
        ("/app", "/", "no\0path", False),
        (None, "/app", None, True),
        ("/", None, None, True),
    ],
)
def test_supervisord_is_in_the_directory_of_its_start_or_in_the_one_that_is_set(
    cwd: str | None, start: str | None, directory: str | None, is_possible: bool
) -> None:
    """As a daemon it changes to `directory`; in the foreground it stays."""
    now, then = (Path(one) if one else None for one in (cwd, start))
    assert may_be_in(now, then, directory) is is_possible
