from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.world.machine import (
    MachineMemory,
    MemoryLimit,
    available_bytes,
    memory_limit,
    memory_limit_bytes,
)

MACHINE = 8 * 1024**3
NO_LIMIT_V1 = "9223372036854771712"

CASES: dict[str, tuple[str, dict[str, str], int]] = {
    "no control groups at all": ("", {}, MACHINE),
    "v2: the own group's limit": ("0::/app\n", {"app/memory.max": "1000\n"}, 1000),
    "v2: an ancestor's limit is lower": (
        "0::/system/app\n",
        {"system/app/memory.max": "3000\n", "system/memory.max": "2000\n"},
        2000,
    ),
    "v2: only an ancestor has a limit": (
        "0::/system/app\n",
        {"system/app/memory.max": "max\n", "system/memory.max": "2000\n"},
        2000,
    ),
    "v2: no limit": ("0::/app\n", {"app/memory.max": "max\n"}, MACHINE),
    "v2: a limit above the machine's memory": ("0::/app\n", {"app/memory.max": str(2 * MACHINE)}, MACHINE),
    "v2: a container with its own namespace": ("0::/\n", {"memory.max": "1000\n"}, 1000),
    "v2: a container that is shown the host's path": ("0::/docker/abc\n", {"memory.max": "1000\n"}, 1000),
    "v2: a path out of the namespace names nothing here": (
        "0::/../other\n",
        {"memory.max": "1000\n", "../other/memory.max": "1\n"},
        1000,
    ),
    "v1: the own group's limit": (
        "5:cpu,cpuacct:/x\n4:memory:/app\n",
        {"memory/app/memory.limit_in_bytes": "1000\n", "memory/memory.limit_in_bytes": NO_LIMIT_V1},
        1000,
    ),
    "v1: no limit": ("4:memory:/app\n", {"memory/app/memory.limit_in_bytes": NO_LIMIT_V1}, MACHINE),
    "v1: a container that is shown the host's path": (
        "4:memory:/docker/abc\n",
        {"memory/memory.limit_in_bytes": "1000\n"},
        1000,
    ),
    "v1: another controller's group is not the memory's": (
        "5:cpu:/x\n",
        {"memory/x/memory.limit_in_bytes": "1000\n"},
        MACHINE,
    ),
    "hybrid: v1 rules the memory": (
        "4:memory:/app\n0::/app\n",
        {"memory/app/memory.limit_in_bytes": "1000\n", "unified/app/cgroup.procs": ""},
        1000,
    ),
    "hybrid: v2 rules the memory": ("4:cpu:/app\n0::/app\n", {"unified/app/memory.max": "1000\n"}, 1000),
    "v2: memory.high slows processes down before memory.max ends them": (
        "0::/app\n",
        {"app/memory.max": "3000\n", "app/memory.high": "2000\n"},
        2000,
    ),
    "v2: an ancestor's memory.high": (
        "0::/pod/app\n",
        {"pod/app/memory.max": "3000\n", "pod/memory.high": "2000\n", "pod/memory.max": "max\n"},
        2000,
    ),
    "v1: a limit of an ancestor that the container cannot see": (
        "4:memory:/kubepods/pod1/abc\n",
        {
            "memory/memory.limit_in_bytes": NO_LIMIT_V1,
            "memory/memory.stat": "cache 1\nhierarchical_memory_limit 2000\nrss 5\n",
        },
        2000,
    ),
    "v1: the own group's hierarchical limit": (
        "4:memory:/app\n",
        {
            "memory/app/memory.limit_in_bytes": "3000\n",
            "memory/app/memory.stat": "hierarchical_memory_limit 2000\n",
        },
        2000,
    ),
    "a colon in the group's name": ("0::/a:b\n", {"a:b/memory.max": "1000\n"}, 1000),
    "garbage": (
        "garbage\n0::\n::\n",
        {"memory.max": "-5\n", "memory/memory.stat": "hierarchical_memory_limit x\n"},
        MACHINE,
    ),
}


def write(root: Path, contents: Mapping[str, str]) -> None:
    for name, text in contents.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(("membership", "files", "expected"), CASES.values(), ids=CASES.keys())
def test_the_lowest_limit_that_can_be_read_counts(
    tmp_path: Path, membership: str, files: Mapping[str, str], expected: int
) -> None:
    contents = {
        "proc/self/cgroup": membership,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    write(tmp_path, contents)
    assert memory_limit_bytes(tmp_path, lambda: MACHINE) == expected


V1_MOUNT = "30 25 0:26 {top} {point} rw,nosuid - cgroup cgroup rw,memory\n"
V2_MOUNT = "31 25 0:27 {top} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("mountinfo", "membership", "files"),
    [
        (
            # A container of v1 shows the host's path, and runs supervisord in a group of its own.
            V1_MOUNT.format(top="/docker/abc", point="/sys/fs/cgroup/memory"),
            "4:memory:/docker/abc/jobs\n",
            {
                "sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": "1000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n",
            },
        ),
        (
            V2_MOUNT.format(top="/", point="/sys/fs/cgroup/unified"),
            "0::/jobs\n",
            {"sys/fs/cgroup/unified/jobs/memory.max": "1000\n"},
        ),
        (
            V1_MOUNT.format(top="/", point="/cgroups\\040of\\040v1"),
            "4:memory:/jobs\n",
            {"cgroups of v1/jobs/memory.limit_in_bytes": "1000\n"},
        ),
        (
            "too short - cgroup2\n\n" + V2_MOUNT.format(top="/other", point="/sys/fs/cgroup"),
            "0::/jobs\n",
            {"sys/fs/cgroup/memory.max": "1000\n"},
        ),
    ],
)
def test_groups_are_found_where_they_are_mounted(
    tmp_path: Path, mountinfo: str, membership: str, files: Mapping[str, str]
) -> None:
    write(tmp_path, {"proc/self/mountinfo": mountinfo, "proc/self/cgroup": membership, **files})
    assert memory_limit_bytes(tmp_path, lambda: MACHINE) == 1000


GROUPS_V1 = Path("/sys/fs/cgroup/memory")


@pytest.mark.real
@pytest.mark.skipif(not os.access(GROUPS_V1, os.W_OK), reason="needs root and control groups v1 for memory")
def test_limit_above_a_namespace_is_seen_from_inside(tmp_path: Path) -> None:
    """The parent's limit of a nested group, which a container with a namespace of its own cannot name."""
    parent = GROUPS_V1 / f"memkill-test-{os.getpid()}"
    child = parent / "container"
    try:
        child.mkdir(parents=True)
        (parent / "memory.limit_in_bytes").write_text(str(512 * 1024**2))
        ask = "from supervisor_memkill.world.machine import memory_limit_bytes; print(memory_limit_bytes())"
        mount = f"mount -t cgroup -o memory none {tmp_path} && mount --move {tmp_path} {GROUPS_V1}"
        inside = f"umount {GROUPS_V1}; {mount}; exec {shlex.quote(sys.executable)} -c {shlex.quote(ask)}"
        # The namespace begins in the group, so that the group is its root.
        shell = f"echo $$ > {child}/cgroup.procs && exec unshare -Cm sh -c {shlex.quote(inside)}"
        done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
        assert int(done.stdout) == 512 * 1024**2
    finally:
        for group in (child, parent):
            with contextlib.suppress(FileNotFoundError):
                group.rmdir()


def test_files_that_cannot_be_read_leave_the_machines_memory(tmp_path: Path) -> None:
    (tmp_path / "proc/self/cgroup").mkdir(parents=True)
    assert memory_limit_bytes(tmp_path, lambda: MACHINE) == MACHINE


def test_limit_comes_with_the_file_that_sets_it(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/memory.max": "1000\n"})
    assert memory_limit(tmp_path, lambda: MACHINE) == MemoryLimit(
        1000, tmp_path / "sys/fs/cgroup/app/memory.max"
    )
    assert memory_limit(tmp_path, lambda: 900) == MemoryLimit(900), "the installed memory is less"


def test_this_machine_has_a_limit() -> None:
    assert 0 < memory_limit_bytes() <= psutil.virtual_memory().total


def test_available_memory_is_a_part_of_the_installed_memory() -> None:
    assert 0 < MachineMemory().available_bytes() < psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("lines", "available"),
    [
        ({"MemTotal": 900, "MemFree": 200, "MemAvailable": 500}, 500),
        ({"MemTotal": 900, "MemFree": 200, "MemAvailable": 900}, 900),
        ({"MemTotal": 900, "MemFree": 200, "MemAvailable": 901}, 200),
        ({"MemTotal": 900, "MemFree": 0, "MemAvailable": 901}, 0),
        ({"MemFree": 200, "MemAvailable": 500}, 500),
    ],
)
def test_available_memory_of_the_host_is_not_taken_for_that_of_a_container(
    tmp_path: Path, lines: Mapping[str, int], available: int
) -> None:
    """More than MemTotal is no possible value; it would hide every shortage."""
    write(tmp_path, {"meminfo": "".join(f"{name}:   {size} kB\n" for name, size in lines.items())})
    assert available_bytes(tmp_path / "meminfo") == available * 1024


FREE_CASES: dict[str, tuple[str, dict[str, str], int]] = {
    "no control groups at all": ("", {}, 5000),
    "v2: files that the group keeps can be given back": (
        "0::/app\n",
        {
            "app/memory.max": "4000\n",
            "app/memory.current": "3500\n",
            "app/memory.stat": "anon 2000\ninactive_file 400\nactive_file 100\nslab_reclaimable 50\n",
        },
        1050,
    ),
    "v2: an ancestor has less left": (
        "0::/pod/app\n",
        {
            "pod/app/memory.max": "4000\n",
            "pod/app/memory.current": "1000\n",
            "pod/memory.max": "4000\n",
            "pod/memory.current": "3900\n",
        },
        100,
    ),
    "v2: above memory.high nothing is left": (
        "0::/app\n",
        {"app/memory.max": "4000\n", "app/memory.high": "1000\n", "app/memory.current": "1500\n"},
        0,
    ),
    "v2: no limit": ("0::/app\n", {"app/memory.max": "max\n", "app/memory.current": "1\n"}, 5000),
    "v2: the use is not shown": ("0::/app\n", {"app/memory.max": "100\n"}, 5000),
    "v1": (
        "4:memory:/app\n",
        {
            "memory/app/memory.limit_in_bytes": "4000\n",
            "memory/app/memory.usage_in_bytes": "3000\n",
            "memory/app/memory.stat": "inactive_file 7\ntotal_inactive_file 500\ntotal_active_file 200\n",
        },
        1700,
    ),
    "garbage": ("0::/app\n", {"app/memory.max": "4000\n", "app/memory.current": "many\n"}, 5000),
}


@pytest.mark.parametrize(("membership", "files", "expected"), FREE_CASES.values(), ids=FREE_CASES.keys())
def test_what_is_left_is_the_least_of_all_that_can_be_read(
    tmp_path: Path, membership: str, files: Mapping[str, str], expected: int
) -> None:
    contents = {
        "proc/self/cgroup": membership,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    write(tmp_path, contents)
    assert MachineMemory(tmp_path, lambda: MACHINE, lambda: 5000).free_bytes() == expected


@pytest.mark.parametrize(
    ("machine", "group", "expected"),
    [
        ("some avg10=50.00 avg60=1\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=9\n", "", 12.5),
        ("full avg10=1.00 avg60=0.00\n", "full avg10=33.00 avg60=0.00\n", 33.0),
        ("", "", 0.0),
        ("full avg10=1.2.3 avg60=0.00\n", "full avg10=x\n", 0.0),
    ],
)
def test_stall_is_the_worst_of_machine_and_group(
    tmp_path: Path, machine: str, group: str, expected: float
) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/app\n",
            "proc/pressure/memory": machine,
            "sys/fs/cgroup/app/memory.pressure": group,
        },
    )
    assert MachineMemory(tmp_path).stalled_percent() == expected


def test_this_machine_has_memory_left() -> None:
    memory = MachineMemory()
    assert 0 < memory.free_bytes() <= memory.limit_bytes()
    assert memory.stalled_percent() >= 0.0


@pytest.mark.parametrize("text", ["MemTotal: 0 kB\nMemFree: -766260 kB\nMemAvailable: -766260 kB\n"])
def test_a_machine_without_memory_is_no_reading(tmp_path: Path, text: str) -> None:
    """As lxcfs may show it (lxc/lxcfs#389): it would look as if nothing was left."""
    write(tmp_path, {"meminfo": text})
    with pytest.raises(OSError, match="does not show the memory"):
        available_bytes(tmp_path / "meminfo")
