"""``serve`` from the command line: what it refuses to start with, and what it warns of, in one line."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor_memkill.commands import serve
from tests.command_line import assert_one_line, environment, run
from tests.harness import PATIENCE_SECONDS, free_port, wait_for

LONG = "a long password"
NOBODY = "http://127.0.0.1:9"
"""No supervisord listens there."""


@pytest.mark.parametrize("listen", ["0.0.0.0:9111", "[::]:9111", "192.0.2.1:9111"])
def test_another_address_than_loopback_needs_a_password(tmp_path: Path, listen: str) -> None:
    done = run(tmp_path, "serve", "--listen", listen)
    assert_one_line(done, 2, listen, "needs a password", "--web-password-file", "MEMKILL_WEB_PASSWORD")


@pytest.mark.parametrize("listen", ["", "x", "127.0.0.1", "127.0.0.1:0", "example.org:80", "127.0.0.1:99999"])
def test_address_that_is_none(tmp_path: Path, listen: str) -> None:
    assert_one_line(run(tmp_path, "serve", "--listen", listen), 2, "--listen", "must be a port such as")


def test_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        place = f"localhost:{taken.getsockname()[1]}"
        done = run(tmp_path, "serve", "--listen", place)
    assert_one_line(done, 1, f"cannot listen on {place}: Address already in use", "choose another address")


def test_password_is_never_an_argument(tmp_path: Path) -> None:
    """``--password`` is that of supervisord, as for the other commands."""
    done = run(tmp_path, "serve", "--web-password", LONG)
    assert_one_line(done, 2, "unknown option --web-password, did you mean --web-password-file?")
    assert LONG not in done.stderr


@pytest.mark.parametrize("text", ["", "\n", "short\n", "two long\nlines of text\n"])
def test_file_without_a_good_password(tmp_path: Path, text: str) -> None:
    file = tmp_path / "password"
    file.write_text(text)
    file.chmod(0o600)
    done = run(tmp_path, "serve", "--web-password-file", str(file))
    assert_one_line(done, 2, f"--web-password-file {file}: ", "password")
    assert "short" not in done.stderr and "lines of" not in done.stderr


def test_file_that_others_may_read(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(LONG)
    file.chmod(0o644)
    done = run(tmp_path, "serve", "--web-password-file", str(file))
    assert_one_line(done, 2, "others can read or change it (mode 0644): run chmod 600")
    done = run(tmp_path, "serve", "--web-password-file", str(tmp_path / "none"))
    assert_one_line(done, 2, "cannot be read: No such file or directory")


def test_short_password_of_the_environment(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", changes={serve.PASSWORD_VARIABLE: "short"})
    assert_one_line(done, 2, "environment: MEMKILL_WEB_PASSWORD: ", "fewer than 8 characters")
    assert "short" not in done.stderr


@pytest.mark.parametrize("name", ["", "https://memkill.example.org", "memkill.example.org:443", "a/b", "a b"])
def test_allowed_host_that_no_browser_would_send(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, "serve", "--allow-host", name)
    assert_one_line(done, 2, f"--allow-host {name!r}: must be a host name such as")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("foo", "not an address of supervisord: 'foo' (unix:///path or http://host:port)"),
        ("/run/s.sock", "not an address of supervisord: '/run/s.sock' (write unix:///run/s.sock)"),
        ("localhost:9001", "not an address of supervisord: 'localhost:9001' (write http://localhost:9001)"),
    ],
)
def test_address_of_supervisord_that_is_none(tmp_path: Path, url: str, words: str) -> None:
    assert_one_line(run(tmp_path, "serve", "--serverurl", url), 2, words)


def test_wrong_configuration_is_a_warning_because_it_may_be_corrected(tmp_path: Path) -> None:
    missing, errors = tmp_path / "none.conf", tmp_path / "errors"
    words = ("serve", "--listen", str(free_port()), "--config", str(missing), "--serverurl", NOBODY)
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor_memkill", *words],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=environment({}),
        )
    try:
        wait_for(lambda: "\n" in errors.read_text(), message="no warning came")
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    (warning,) = errors.read_text().splitlines()
    assert warning.startswith(f"supervisor-memkill: {missing}: cannot be read: ")
    assert warning.endswith(" (the page shows this until it is corrected)")
