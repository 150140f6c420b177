"""Which process started this one, and whose pipes it has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from supervisor_memkill.world.started_by import Seen, find_starter, open_files, parent, see
from supervisor_memkill.world.starter import Starter

SHOW = (
    "import os, sys; from supervisor_memkill.world.started_by import *;"
    "starter = find_starter(lambda words: 'first' in words, os.getpid());"
    "print(starter.pid, starter.is_direct, starter.lives(), has_pipes(), has_streams_of(starter.child))"
)
START = "import subprocess, sys; {}subprocess.run([sys.executable, '-c', {!r}{}]{})"


def shown(code: str) -> list[str]:
    """What the last of the processes prints, which the first one began."""
    with subprocess.Popen(
        [sys.executable, "-c", code, "first"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        out, _ = first.communicate()
    pid, *rest = out.split()
    assert int(pid) == first.pid
    return rest


def test_child_of_the_one_that_is_looked_for() -> None:
    assert shown(START.format("", SHOW, "", "")) == ["True", "True", "True", "True"]


def test_grandchild_that_has_the_pipes_of_the_child() -> None:
    """A shell or another starter stands between."""
    between = START.format("", SHOW, "", "")
    assert shown(START.format("", between, "", "")) == ["False", "True", "True", "True"]


def test_grandchild_that_has_other_pipes() -> None:
    """A program that supervisord runs calls us and reads the output."""
    between = START.format("", SHOW, "", ", input=b''")
    assert shown(START.format("", between, "", "")) == ["False", "True", "True", "False"]


def test_nobody_is_found_among_strangers() -> None:
    assert find_starter(lambda words: False, os.getpid()) is None


def test_parent_that_is_another_one_does_not_live() -> None:
    assert parent(os.getpid()).lives()
    assert not Starter(parent(os.getpid()).pid + 1, os.getpid()).lives()
    assert not Starter(os.getpid(), 2**22 + 1).lives()


def test_what_the_system_shows(tmp_path: Path) -> None:
    seen = see(os.getpid())
    assert seen.words[0].endswith(Path(sys.executable).name)
    assert (seen.cwd, seen.uid) == (Path.cwd(), os.geteuid())
    with (tmp_path / "open").open("w"):
        assert tmp_path / "open" in open_files(os.getpid())


def test_of_a_process_that_is_not_there_nothing_is_shown() -> None:
    for pid in (-1, 2**22 + 1, 2**70):
        assert see(pid) == Seen()
        assert open_files(pid) == ()
