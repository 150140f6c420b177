"""The memory limit of this machine: its installed memory, or the limit of its control group if lower."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import psutil


def _installed_bytes() -> int:
    return int(psutil.virtual_memory().total)


def memory_limit_bytes(root: Path = Path("/"), total: Callable[[], int] = _installed_bytes) -> int:
    """Bytes; `total` returns the installed memory. A limit that cannot be read is ignored.

    The ancestors limit a control group too, so the lowest limit in the hierarchy counts.
    Source: the kernel's admin-guide, cgroup-v1/memory and cgroup-v2.
    """
    return min([total(), *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    mounts = root / "sys/fs/cgroup"
    for controllers, group in _memberships(root / "proc/self/cgroup"):
        if not controllers:
            # cgroup v2; beside v1 ("hybrid") it is mounted one level lower.
            yield from _limits_upward(mounts, group, "memory.max")
            yield from _limits_upward(mounts / "unified", group, "memory.max")
        elif "memory" in controllers:
            # v1; without a limit the file holds a number larger than any machine.
            yield from _limits_upward(mounts / "memory", group, "memory.limit_in_bytes")


def _memberships(file: Path) -> Iterator[tuple[list[str], PurePosixPath]]:
    """The controllers and the group in each line ``hierarchy:controllers:path``; v2 names no controller."""
    for line in _text(file).splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            yield fields[1].split(",") if fields[1] else [], PurePosixPath(fields[2])


def _limits_upward(mount: Path, group: PurePosixPath, name: str) -> Iterator[int]:
    # In a container the path may be the host's, which is not below the mount here, or lead out of
    # the namespace ("/../other"): the mount's own limit is then the container's.
    inside = [] if ".." in group.parts else group.parts[1:]
    for depth in range(len(inside), -1, -1):
        text = _text(mount.joinpath(*inside[:depth], name)).strip()
        if re.fullmatch(r"[0-9]{1,20}", text) and int(text) > 0:
            yield int(text)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""
