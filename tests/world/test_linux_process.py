"""Processes as /proc shows them, on kernels and sandboxes other than this machine's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure
from supervisor_memkill.world.linux_process import (
    Gone,
    Parents,
    Resident,
    Unmeasurable,
    measured,
    parent,
    resident,
    started,
    status,
)

KB = 1024
PID = 1
"""A pid that exists, so that a file that is missing does not mean that the process is gone."""
STAT = f"{PID} (a) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n"
STATUS = "Name:\tjobs\nVmHWM:\t 90 kB\nVmRSS:\t 80 kB\nRssAnon:\t 70 kB\nVmSwap:\t 5 kB\n"
ROLLUP = (
    "5555-7fff ---p 00000000 00:00 0 [rollup]\nRss: 80 kB\nPss: 40 kB\nPss_Anon: 30 kB\n"
    "Private_Clean: 3 kB\nPrivate_Dirty: 20 kB\nSwap: 9 kB\nSwapPss: 4 kB\n"
)
MAP = "55-7f r-xp 00000000 08:01 5 /bin/a\nSize: 9 kB\nPss: 8 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty: 2 kB\n"


def process(proc: Path, **files: str) -> Path:
    """A /proc with the process 1, which has these files besides `stat`."""
    directory = proc / str(PID)
    directory.mkdir()
    for name, text in {"stat": STAT, **files}.items():
        (directory / name).write_text(text)
    return proc


@pytest.mark.parametrize(
    ("measure", "expected"), [("pss", 40), ("uss", 23), ("pss+swap", 44), ("rss+swap", 85)]
)
def test_each_measure_is_read(tmp_path: Path, measure: Measure, expected: int) -> None:
    proc = process(tmp_path, smaps_rollup=ROLLUP, status=STATUS)
    assert measured(PID, measure, proc) == expected * KB


def test_kernel_without_a_rollup_has_its_maps_added_up(tmp_path: Path) -> None:
    """Before Linux 4.14, and gVisor."""
    proc = process(tmp_path, smaps=MAP + MAP)
    assert measured(PID, "pss", proc) == 16 * KB
    assert measured(PID, "uss", proc) == 6 * KB


@pytest.mark.parametrize(
    ("measure", "files", "words"),
    [
        ("pss", {}, "this system has no smaps, which pss needs"),
        ("pss+swap", {"smaps": MAP}, "this system does not show SwapPss of process 1"),
        ("rss+swap", {"status": "VmRSS:\t 80 kB\n"}, "this system does not show the swap of process 1"),
    ],
)
def test_measure_that_the_system_does_not_have_is_unmeasurable(
    tmp_path: Path, measure: Measure, files: dict[str, str], words: str
) -> None:
    with pytest.raises(Unmeasurable, match=words):
        measured(PID, measure, process(tmp_path, **files))


def test_sizes_for_every_user_are_those_of_status(tmp_path: Path) -> None:
    assert resident(PID, process(tmp_path, status=STATUS)) == Resident(80 * KB, 70 * KB, 90 * KB, 5 * KB)


def test_kernel_that_shows_the_rss_alone_leaves_the_others_at_0(tmp_path: Path) -> None:
    assert resident(PID, process(tmp_path, status="VmRSS:\t 80 kB\n")) == Resident(80 * KB)


@pytest.mark.parametrize("files", [{"status": "Name:\tjobs\n", "smaps_rollup": ""}])
def test_process_without_memory_is_ending(tmp_path: Path, files: dict[str, str]) -> None:
    proc = process(tmp_path, **files)
    for measure in ("pss", "uss", "pss+swap", "rss+swap"):
        with pytest.raises(Gone):
            measured(PID, measure, proc)
    with pytest.raises(Gone):
        resident(PID, proc)


def test_process_that_lives_and_is_not_shown_is_hidden_and_not_gone(tmp_path: Path) -> None:
    """As with hidepid=2, also for a process of this user that changed its user."""
    with pytest.raises(Unknown, match="hidden from this user: /proc is mounted with hidepid") as raised:
        started(os.getpid(), tmp_path)
    assert not isinstance(raised.value, Gone)


@pytest.mark.parametrize("pid", [0, -1])
def test_pid_of_no_process_is_gone_and_gets_no_signal(pid: int) -> None:
    """supervisord may show a running process with pid 0 (Supervisor/supervisor#445)."""
    for question in (started, resident):
        with pytest.raises(Gone, match=f"there is no process {pid}"):
            question(pid)


def test_process_that_is_shown_without_its_files_is_ending(tmp_path: Path) -> None:
    (tmp_path / str(os.getpid())).mkdir()
    with pytest.raises(Gone, match="is ending"):
        started(os.getpid(), tmp_path)


def test_process_that_is_not_there_is_gone(tmp_path: Path) -> None:
    for question in (started, resident):
        with pytest.raises(Gone):
            question(2**22 + 1, tmp_path)
    with pytest.raises(Gone):
        measured(2**22 + 1, "pss", tmp_path)


@pytest.mark.parametrize("stat", ["", "no brackets", "1 (a) S 1"])
def test_start_that_cannot_be_read_is_unknown(tmp_path: Path, stat: str) -> None:
    with pytest.raises(Unknown):
        started(PID, process(tmp_path, stat=stat))


def test_parents_are_read_again_where_they_may_have_changed(tmp_path: Path) -> None:
    """A new process with a known pid, and a process whose parent ended, have another parent."""

    def lives(pid: int, parent: int) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) S {parent} 1 1 0 -1 0\n")

    def ends(pid: int) -> None:
        (tmp_path / str(pid)).rename(tmp_path / f"ended {pid}")  # Its number is not given to another folder.

    for pid, above in ((1, 0), (10, 1), (11, 10), (12, 10)):
        lives(pid, above)
    parents = Parents(tmp_path)
    assert parents.now() == {1: 0, 10: 1, 11: 10, 12: 10}
    (tmp_path / "12" / "stat").write_text("not read again")
    folders = dict(parents.folders())
    assert parents.now() == {1: 0, 10: 1, 11: 10, 12: 10}
    assert parents.folders() == folders
    ends(11)
    lives(11, 1)
    assert parents.now() == {1: 0, 10: 1, 11: 1, 12: 10}
    assert parents.folders()[11] != folders[11]
    ends(10)
    (tmp_path / "12" / "stat").write_text("12 (a) S 1 1 1 0 -1 0\n")
    assert parents.now() == {1: 0, 11: 1, 12: 1}


def test_parent_that_is_hidden_or_ends_meanwhile_is_told_from_its_end(tmp_path: Path) -> None:
    """Its children would else seem to have it for ever, and nobody would find them left behind."""

    def write(pid: int, parent: int) -> None:
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) S {parent} 1 1 0 -1 0\n")

    for pid in (1, 10, 11):
        (tmp_path / str(pid)).mkdir()
    write(1, 0)
    write(11, 10)
    parents = Parents(tmp_path)
    assert parents.now() == {1: 0, 11: 10}
    assert parents.folders().keys() == {1, 11}
    (tmp_path / "11" / "stat").write_text("not read again")
    assert parents.now() == {1: 0, 11: 10}
    (tmp_path / "10").rename(tmp_path / "ended")
    write(11, 1)
    assert parents.now() == {1: 0, 11: 1}


def test_process_of_this_machine_keeps_its_number_and_no_other_has_it() -> None:
    parents = Parents()
    parents.now()
    first = dict(parents.folders())
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert parents.now()[child.pid] == os.getpid()
        number = parents.folders()[child.pid]
        assert number not in first.values()
        parents.now()
        assert parents.folders()[child.pid] == number
        assert parents.folders()[os.getpid()] == first[os.getpid()]
    finally:
        child.kill()
        child.wait()
    assert child.pid not in parents.now()


@pytest.mark.parametrize(
    ("letter", "theirs"),
    [("T", psutil.STATUS_STOPPED), ("Z", psutil.STATUS_ZOMBIE), ("X", psutil.STATUS_DEAD), ("S", "running")],
)
def test_status_has_the_names_of_psutil_where_it_matters(tmp_path: Path, letter: str, theirs: str) -> None:
    proc = process(tmp_path, stat=STAT.replace(" S ", f" {letter} "))
    assert status(PID, proc) == theirs


def test_parent_is_the_fourth_field(tmp_path: Path) -> None:
    assert parent(PID, process(tmp_path, stat=STAT.replace(" S 1 ", " S 77 "))) == 77


def test_status_and_parent_of_an_unreadable_process_are_unknown(tmp_path: Path) -> None:
    proc = process(tmp_path, stat="")
    for question in (status, parent):
        with pytest.raises(Unknown, match="process 1 cannot be read"):
            question(PID, proc)
