"""A /proc that hides a part of the system, as sandboxes mount it (proc(5): hidepid, subset)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.harness import PATIENCE_SECONDS, require_mount

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount another /proc"),
]


def run_with_proc(options: str, program: str) -> str:
    """What the program prints in a mount namespace of its own."""
    require_mount()
    shell = f'mount -t proc -o {options} proc /proc && exec "$0" -c "$1"'
    words = ["unshare", "--mount", "sh", "-ec", shell, sys.executable, program]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


KILL = """
import os, subprocess
import psutil
from supervisor_memkill.world import memory
from supervisor_memkill.world.run_command import kill_tree
os.setgroups([]); os.setgid(65534); os.setuid(65534)
words = ["sh", "-c", "setsid sleep 600 & echo $!; wait"]
with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
    print(process.stdout.readline().strip(), flush=True)
    kill_tree(process.pid)
"""


def test_processes_of_other_users_that_are_hidden_do_not_save_a_commands_descendants() -> None:
    """With hidepid=1, psutil finds no descendant at all (giampaolo/psutil#2026)."""
    left = int(run_with_proc("hidepid=1", KILL))
    try:
        assert psutil.Process(left).status() == psutil.STATUS_ZOMBIE, "it lives on"
    except psutil.NoSuchProcess:
        return


MEMORY = """
from supervisor_memkill.world.machine import MachineMemory, memory_limit_bytes
print(memory_limit_bytes())
try:
    print(MachineMemory().free_bytes())
except OSError as error:
    print("unknown")
"""


def test_share_of_the_memory_is_known_where_meminfo_is_hidden() -> None:
    """As with ProcSubset=pid of systemd: a share such as 80% is one of the installed memory."""
    limit, free = run_with_proc("subset=pid", MEMORY).split()
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < int(limit) <= installed
    assert free == "unknown"


STARTER = """
import os, pathlib, sys
from supervisor_memkill.world import started_by
seen = started_by.see(os.getpid())
print(seen.words[0] == sys.executable, seen.cwd == pathlib.Path.cwd())
print(bool(seen.environ), seen.uid, started_by.parent(os.getpid()).pid == os.getppid())
print(started_by.find_starter(lambda words: "pytest" in " ".join(words), os.getpid()) is not None)
print(len(started_by.open_files(os.getpid())) >= 0)
"""


def test_what_started_a_process_is_known_where_only_processes_are_shown() -> None:
    told = run_with_proc("subset=pid", STARTER)
    assert told.split() == ["True", "True", "True", "0", "True", "True", "True"]
