"""What is known of one process: its title, its age, its directory, the signals that it handles."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.world.memory import Gone, ProcessTable
from tests.world.fake_processes import FAMILY, FakeBackend, FakeProcess


def test_a_title_that_cannot_be_read_is_empty() -> None:
    table = ProcessTable(FakeBackend({10: FakeProcess(command_line=["sidekiq 6.4.1", "[1 of 3 busy]"])}))
    assert table.title(10) == "sidekiq 6.4.1 [1 of 3 busy]"
    assert table.title(11) == ""


@pytest.mark.parametrize(("name", "expected"), [("TERM", True), ("CONT", True), ("INT", False)])
def test_handled_signals_are_the_bits_of_the_mask(name: str, expected: bool) -> None:
    mask = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGCONT - 1)
    assert ProcessTable(FakeBackend({7: FakeProcess(caught=mask)})).handles(7, name) is expected


def test_handled_signals_that_cannot_be_read_are_unknown() -> None:
    backend = FakeBackend({7: FakeProcess(caught=Unknown("not shown here"))})
    assert ProcessTable(backend).handles(7, "CONT") is None
    assert ProcessTable(backend).handles(8, "CONT") is None


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (FakeProcess(), True),
        (FakeProcess(caught=1 << (signal.SIGUSR1 - 1)), False),
        (FakeProcess(blocked=1 << (signal.SIGUSR1 - 1)), False),
        (FakeProcess(caught=1 << (signal.SIGUSR2 - 1), blocked=1 << (signal.SIGUSR2 - 1)), True),
        (FakeProcess(caught=Unknown("not shown here")), False),
    ],
)
def test_a_signal_without_a_handler_and_not_waited_for_is_left_to_the_system(
    process: FakeProcess, expected: bool
) -> None:
    """A process that waits for a signal with sigwait(3) blocks it and has no handler."""
    assert ProcessTable(FakeBackend({7: process})).leaves_to_system(7, "USR1") is expected


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux shows handled signals")
def test_a_real_process_shows_the_signals_that_it_waits_for() -> None:
    table = ProcessTable()
    assert table.leaves_to_system(os.getpid(), "USR2")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        assert not table.leaves_to_system(os.getpid(), "USR2")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux shows handled signals")
def test_a_real_process_shows_the_signals_that_it_handles() -> None:
    table = ProcessTable()
    former = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    try:
        assert table.handles(os.getpid(), "USR2") is True
    finally:
        signal.signal(signal.SIGUSR2, former)
    assert table.handles(os.getpid(), "USR2") is False
    assert table.handles(2**22 + 1, "USR2") is None


def test_age_is_measured_on_the_clock_of_the_process_starts() -> None:
    now = [150.0]
    table = ProcessTable(FakeBackend(dict(FAMILY)), lambda: now[0])
    assert table.age_seconds(12) == 49.0
    now[0] = 100.5
    assert table.age_seconds(12) == 0.0, "the clock of process starts is a tick ahead"
    now[0] = 50.0
    with pytest.raises(Unknown, match="began in the future"):
        table.age_seconds(12)
    with pytest.raises(Gone):
        table.age_seconds(77)


def test_age_directory_and_environment_of_a_real_process() -> None:
    words = [sys.executable, "-c", "print('up', flush=True); input()"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", env={"KEY": "value"}
    ) as child:
        assert child.stdout is not None and child.stdout.readline()
        table = ProcessTable()
        assert 0.0 <= table.age_seconds(child.pid) < 600.0
        assert table.directory(child.pid) == "/"
        assert table.environment(child.pid)["KEY"] == "value"
        child.communicate(b"\n")
    with pytest.raises(Unknown):
        table.directory(child.pid)
