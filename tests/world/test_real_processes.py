"""The process table of this machine, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import MEASURES, Measure
from supervisor_memkill.world.memory import ProcessTable
from tests.another_user import as_another_user
from tests.harness import wait_for

pytestmark = pytest.mark.real

MB = 1024**2


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A real process with one child, both holding some memory."""
    child = "import time; ballast = bytearray(b'x' * 20_000_000); print('up', flush=True); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.fixture
def prefork() -> Iterator[int]:
    """A real process with 30 MB that it shares with three children, each of which has 20 MB of its own."""
    program = (
        "import os, time\n"
        "shared = os.urandom(30_000_000)\n"
        "for _ in range(3):\n"
        "    if not os.fork():\n"
        "        own = os.urandom(20_000_000)\n"
        "        os.write(1, b'up\\n')\n"
        "        time.sleep(600)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert [process.stdout.readline() for _ in range(3)] == ["up\n"] * 3
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("measure", MEASURES)
def test_a_childs_memory_is_seen(family: subprocess.Popen[str], measure: Measure) -> None:
    table = ProcessTable()
    alone = table.memory(family.pid, measure)
    assert alone > 0
    assert table.memory(family.pid, measure, with_children=True) > alone + 19 * MB


def test_every_process_of_a_tree_lives_until_it_ends(family: subprocess.Popen[str]) -> None:
    tree = ProcessTable().tree(family.pid)
    assert len(tree) == 2
    assert all(ProcessTable().is_alive(process) for process in tree)
    os.killpg(family.pid, signal.SIGKILL)
    # Not waited for yet: the parent is a zombie meanwhile.
    wait_for(lambda: not any(ProcessTable().is_alive(process) for process in tree))
    with pytest.raises(Unknown):
        ProcessTable().memory(family.pid)


def test_a_suspended_process_is_told_from_a_sleeping_one(family: subprocess.Popen[str]) -> None:
    table = ProcessTable()
    assert not table.is_suspended(family.pid)
    family.send_signal(signal.SIGSTOP)
    wait_for(lambda: table.is_suspended(family.pid))


def test_a_title_is_the_command_line(family: subprocess.Popen[str]) -> None:
    assert ProcessTable().title(family.pid).startswith(sys.executable)


@pytest.mark.parametrize("pid", [-1, 0, 2**22 + 1, 2**70])
def test_a_pid_that_no_process_has_is_unknown(pid: int) -> None:
    table = ProcessTable()
    for question in (table.memory, table.tree, table.is_suspended):
        with pytest.raises(Unknown):
            question(pid)
    assert table.title(pid) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_pss_that_is_denied_says_what_it_needs() -> None:
    lost = as_another_user(lambda: ProcessTable().measured(os.getppid(), "pss").lost)
    assert lost == (
        f"pss of process {os.getpid()} needs the capability SYS_PTRACE: the process belongs to another user"
        " or changed its user, or AppArmor or SELinux forbids it"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("measure", ["pss", "uss", "pss+swap"])
@pytest.mark.parametrize("with_children", [True, False])
def test_the_true_size_lies_between_the_sizes_that_another_user_sees(
    prefork: int, measure: Measure, with_children: bool
) -> None:
    """Three children got 30 MB from their parent, and have 20 MB each of their own."""

    def seen_by_another_user() -> str:
        size = ProcessTable().measured(prefork, measure, with_children)
        return f"{size.least_bytes} {size.most_bytes} {bool(size.lost)}"

    least, most, is_lost = as_another_user(seen_by_another_user).split()
    size = ProcessTable().measured(prefork, measure, with_children)
    assert size.lost == "" and size.least_bytes == size.most_bytes
    assert is_lost == "True"
    assert int(least) <= size.most_bytes <= int(most)
    if with_children:
        assert int(least) > 3 * 10 * MB and int(most) > 4 * 30 * MB


WITHOUT_ITS_FIRST_THREAD = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("up", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_whose_first_thread_has_ended_lives_as_long_as_its_others() -> None:
    """Its state is Z until they end, and nobody can wait for it before that."""
    words = [sys.executable, "-c", WITHOUT_ITS_FIRST_THREAD]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "up\n"
            stat = Path(f"/proc/{process.pid}/stat")
            wait_for(lambda: ") Z " in stat.read_text(), message="the first thread has not ended")
            table = ProcessTable()
            seen = table.identify(process.pid)
            assert table.is_alive(seen)
            assert process.poll() is None
        finally:
            process.kill()
        wait_for(lambda: ") Z " in stat.read_text() and not table.is_alive(seen), message="it lives on")
