"""Runs the command line in a process of its own, for tests of what a user sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.harness import PATIENCE_SECONDS

CONFIG = "[memkill:job]\nmax_rss = 200MB\n"
UNDER_SUPERVISORD = {"SUPERVISOR_ENABLED": "1", "SUPERVISOR_GROUP_NAME": "memkill"}


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """The tests' own environment without supervisord's variables, and with these changes."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SUPERVISOR_")},
        **changes,
    }


def run(
    directory: Path,
    *arguments: str,
    changes: Mapping[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "supervisor_memkill"),
    pipes: bool | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command where no configuration of supervisord is found but the test's own.

    `changes`: to the environment. `program`: what the interpreter runs. `pipes`: whether standard input is a
    pipe, as supervisord has it; None: it is one if the changes have supervisord's variables.
    """
    if pipes is None:
        pipes = "SUPERVISOR_ENABLED" in (changes or {})
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=directory,
        env=environment(changes or {}),
        stdin=None if pipes else subprocess.DEVNULL,
        input="" if pipes else None,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def assert_logged(done: subprocess.CompletedProcess[str], status: int, *words: str, lines: int = 1) -> None:
    """The same under supervisord: each line is an event of the log, with its time."""
    complaints = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(complaints)) == (status, "", lines), done
    for line in complaints:
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR listener\.not_started error=", line), (
            line
        )
    for word in words:
        assert word in done.stderr, done.stderr


def assert_one_line(done: subprocess.CompletedProcess[str], status: int, *words: str, lines: int = 1) -> None:
    """stderr has one line (or so many), each begins with the program's name, and all the words are there."""
    complaints = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(complaints)) == (status, "", lines), done
    assert all(line.startswith("supervisor-memkill: ") for line in complaints), complaints
    for word in words:
        assert word in done.stderr, done.stderr
