from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.world.machine import memory_limit_bytes

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
    "a colon in the group's name": ("0::/a:b\n", {"a:b/memory.max": "1000\n"}, 1000),
    "garbage": ("garbage\n0::\n::\n", {"memory.max": "-5\n"}, MACHINE),
}


@pytest.mark.parametrize(("membership", "files", "expected"), CASES.values(), ids=CASES.keys())
def test_the_lowest_limit_that_can_be_read_counts(
    tmp_path: Path, membership: str, files: Mapping[str, str], expected: int
) -> None:
    contents = {
        "proc/self/cgroup": membership,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in contents.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert memory_limit_bytes(tmp_path, lambda: MACHINE) == expected


def test_files_that_cannot_be_read_leave_the_machines_memory(tmp_path: Path) -> None:
    (tmp_path / "proc/self/cgroup").mkdir(parents=True)
    assert memory_limit_bytes(tmp_path, lambda: MACHINE) == MACHINE


def test_this_machine_has_a_limit() -> None:
    assert 0 < memory_limit_bytes() <= psutil.virtual_memory().total
