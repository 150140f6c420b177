"""The command line as a whole: whatever it is given, a status and lines."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill import cli
from tests.fuzz.config_texts import files, pools
from tests.fuzz.effort import tries
from tests.fuzz.test_supervisord import RIGHT_PROCESS, RIGHT_PROGRAM, _array, _struct, response
from tests.fuzz.values import ENVIRONMENT_TEXTS, TEXTS
from tests.harness import short_directory
from tests.world.answering_server import FakeServer, http_answer

ANSWERS: Mapping[bytes, str] = {
    b"getPID": response("<int>1</int>"),
    b"getIdentification": response("<string>supervisor</string>"),
    b"getAllProcessInfo": response(
        _array(
            [
                _struct({**RIGHT_PROCESS, "pid": f"<int>{os.getpid()}</int>"}),
                _struct({**RIGHT_PROCESS, "name": "<string>two</string>", "state": "<int>0</int>"}),
            ]
        )
    ),
    b"getAllConfigInfo": response(_array([_struct(RIGHT_PROGRAM)])),
}


class Console:
    """What a command wrote, on a terminal that knows ASCII alone."""

    def __init__(self) -> None:
        self._out, self._err = io.BytesIO(), io.BytesIO()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        out = io.TextIOWrapper(self._out, "ascii", errors="strict", write_through=True)
        err = io.TextIOWrapper(self._err, "ascii", errors="backslashreplace", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
        self.out, self.err = self._out.getvalue().decode(), self._err.getvalue().decode()
        out.detach()
        err.detach()


def run(*arguments: str) -> tuple[int, str, str]:
    """Status, output and complaints."""
    console, status = Console(), 0
    with console.open():
        try:
            status = cli.main(arguments)
        except SystemExit as end:  # --help and --version
            assert end.code == 0 and {"--help", "-h", "--version"} & set(arguments)
    return status, console.out, console.err


def assert_is_said_in_lines(done: tuple[int, str, str]) -> None:
    status, out, err = done
    assert status in (0, 1, 2)
    lines = err.splitlines()
    assert all(line.startswith("supervisor-memkill: ") for line in lines), err
    if status == 2:
        assert lines and not out
    elif status == 1:
        assert bool(lines) is not bool(out)  # A check that is not whole is a table with a note.
    else:
        assert out and not lines


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture(scope="module")
def supervisord() -> Iterator[tuple[FakeServer, dict[bytes, str]]]:
    """One that answers each call as told, rightly by default."""
    answers = dict(ANSWERS)

    def say(connection: socket.socket) -> None:
        asked = server.requests[-1]
        name = next(name for name in answers if b"." + name + b"<" in asked)
        connection.sendall(http_answer(answers[name].encode()))

    server = FakeServer(say)
    try:
        yield server, answers
    finally:
        server.close()


assert "SUPERVISOR_ENABLED" not in os.environ, "these tests run the command as by hand"


@tries(40)
@example(f"[memkill:jobs]\nmax_rss = 1{'0' * 320}B\n", False)
@example("[memkill:jobs]\nmax_rss = 200MB\n[memkill:w\u00f6rker]\nmax_rss = 1MB\n", False)
@given(st.one_of(pools(), pools(), files()), st.booleans())
def test_a_dry_run_shows_a_table_or_lines_whatever_its_configuration_holds(
    directory: Path, supervisord: tuple[FakeServer, dict[bytes, str]], text: str, in_json: bool
) -> None:
    path = directory / "memkill.conf"
    path.write_bytes(text.encode())
    server, answers = supervisord
    answers |= ANSWERS
    arguments = ["--dry-run", "--config", str(path), "--serverurl", server.url]
    done = run(*arguments, *(["--json"] if in_json else []))
    assert_is_said_in_lines(done)
    if done[0] == 0 and in_json:
        assert {"workers", "notes", "files", "proposals"} == set(json.loads(done[1]))
    elif done[0] == 0:
        rows = done[1].splitlines()
        assert rows[0].startswith("POOL")


NAMES = st.sampled_from(
    ["<string>one</string>", "<string>w\u00f6rker \u2713</string>", "<string>a\nb</string>", "<nil/>"]
)
STATES = st.sampled_from(
    ["<int>20</int>", "<int>77</int>", "<boolean>1</boolean>", "<string>RUNNING</string>"]
)
PIDS = st.sampled_from(
    ["<int>0</int>", "<int>-1</int>", "<int>1</int>", f"<int>{2**40}</int>", f"<int>{os.getpid()}</int>"]
)


@tries(30)
@example("<int>-1</int>", [("<string>one</string>", "<int>20</int>", "<int>-1</int>")], "plain")
@example("<int>1</int>", [("<string>w\u00f6rker</string>", "<int>20</int>", "<int>1</int>")], "plain")
@given(PIDS, st.lists(st.tuples(NAMES, STATES, PIDS), max_size=3), st.sampled_from(["plain", "sidekiq"]))
def test_a_dry_run_shows_a_table_or_a_line_whatever_supervisord_says(
    directory: Path,
    supervisord: tuple[FakeServer, dict[bytes, str]],
    own_pid: str,
    processes: Sequence[tuple[str, str, str]],
    kind: str,
) -> None:
    path = directory / "said.conf"
    path.write_text(f"[memkill:jobs]\nmax_rss = 1MB\nworker = {kind}\nredis = redis://127.0.0.1:1\n")
    server, answers = supervisord
    entries = [
        _struct({**RIGHT_PROCESS, "name": name, "state": state, "pid": pid}) for name, state, pid in processes
    ]
    answers |= {b"getPID": response(own_pid), b"getAllProcessInfo": response(_array(entries))}
    assert_is_said_in_lines(run("--dry-run", "--config", str(path), "--serverurl", server.url))


ARGUMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["--dry-run", "--json", "--config", "--serverurl", "--username", "--password", "--version"]
        ),
        st.sampled_from(
            ["--serverurl=unix:///nowhere/s", "--config=/nowhere/x", "-h", "--help", "--dry", "=", "--", "-"]
        ),
        st.sampled_from(["--sample", "--sample=rq", "--sample=", "--sample=none", "dmeo", "-1", "-x"]),
        TEXTS,
        ENVIRONMENT_TEXTS,
    ),
    max_size=6,
).filter(lambda words: "demo" not in words)


@tries(100)
@example(["two\nlines"])
@example(["\udcff"])
@example(["--dry-run", "--serverurl", "http://a b"])
@example(["--dry-run", "--serverurl", "unix:///a\0b"])
@example(["--dry-run", "--serverurl", "unix:///nowhere", "--username", "\udcff"])
@given(ARGUMENTS)
def test_any_arguments_end_in_a_status_and_lines(arguments: list[str]) -> None:
    if not any(word.startswith("--serverurl") for word in arguments):
        arguments = ["--serverurl", "unix:///nowhere/none.sock", *arguments]
    assert_is_said_in_lines(run(*arguments))
