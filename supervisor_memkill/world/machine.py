"""The memory limit of this machine: its installed memory, or the limit of its control group if lower."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil


def _installed_bytes() -> int:
    return int(psutil.virtual_memory().total)


def memory_limit_bytes(root: Path = Path("/"), total: Callable[[], int] = _installed_bytes) -> int:
    """Bytes; see `memory_limit`."""
    return memory_limit(root, total).size_bytes


@dataclass(frozen=True)
class MemoryLimit:
    """How much memory this machine gives to its processes."""

    size_bytes: int
    file: Path | None = None
    """The file of the control group that sets the limit; None: it is the installed memory."""


def memory_limit(root: Path = Path("/"), total: Callable[[], int] = _installed_bytes) -> MemoryLimit:
    """`total` returns the installed memory in bytes. A limit that cannot be read is ignored.

    The ancestors limit a control group too, so the lowest limit in the hierarchy counts. In a container only
    those up to the root of its control group namespace are visible. Source: the kernel's admin-guide,
    cgroup-v1/memory and cgroup-v2.
    """
    return min([MemoryLimit(total()), *_limits(root)], key=lambda one: one.size_bytes)


def available_bytes() -> int:
    """What the machine can still hand out without swapping: MemAvailable of /proc/meminfo (proc(5))."""
    return int(psutil.virtual_memory().available)


@dataclass(frozen=True)
class _Mount:
    """One mounted hierarchy of control groups."""

    point: Path
    top: PurePosixPath
    """The group that is visible at `point`: in a container, not the hierarchy's root."""
    is_v2: bool


def _limits(root: Path) -> Iterator[MemoryLimit]:
    mounts = _mounts(root)
    for controllers, group in _memberships(root / "proc/self/cgroup"):
        if not controllers:
            for mount in mounts:
                if mount.is_v2:
                    # At memory.high the kernel slows processes down, and takes memory away from them.
                    yield from _limits_upward(mount, group, ("memory.max", "memory.high"))
        elif "memory" in controllers:
            for mount in mounts:
                if not mount.is_v2:
                    # Without a limit, a number larger than any machine.
                    yield from _limits_upward(mount, group, ("memory.limit_in_bytes", "memory.stat"))


def _mounts(root: Path) -> Sequence[_Mount]:
    """By /proc/self/mountinfo (proc(5)); if it cannot be read, the usual places."""
    found = []
    for line in _text(root / "proc/self/mountinfo").splitlines():
        place, _, kind = line.partition(" - ")
        fields, options = place.split(), kind.split()
        if len(fields) < 5 or not options:
            continue
        is_v1_memory = options[0] == "cgroup" and "memory" in options[-1].split(",")
        if options[0] == "cgroup2" or is_v1_memory:
            top, point = _unescaped(fields[3]), _unescaped(fields[4]).lstrip("/")
            found.append(_Mount(root / point, PurePosixPath(top), is_v2=not is_v1_memory))
    usual = root / "sys/fs/cgroup"
    return found or [
        _Mount(usual, PurePosixPath("/"), is_v2=True),
        _Mount(usual / "unified", PurePosixPath("/"), is_v2=True),  # beside v1 ("hybrid")
        _Mount(usual / "memory", PurePosixPath("/"), is_v2=False),
    ]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _memberships(file: Path) -> Iterator[tuple[list[str], PurePosixPath]]:
    """The controllers and the group in each line ``hierarchy:controllers:path``; v2 names no controller."""
    for line in _text(file).splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            yield fields[1].split(",") if fields[1] else [], PurePosixPath(fields[2])


def _limits_upward(mount: _Mount, group: PurePosixPath, names: Sequence[str]) -> Iterator[MemoryLimit]:
    # In a container the path may be the host's, which is not below the mount here, or lead out of
    # the namespace ("/../other"): the mount's own limit is then the container's.
    below = group.relative_to(mount.top) if group.is_relative_to(mount.top) else group
    inside = () if ".." in below.parts else tuple(part for part in below.parts if part != "/")
    for depth in range(len(inside), -1, -1):
        for name in names:
            yield from _limit_in(mount.point.joinpath(*inside[:depth], name))


def _limit_in(file: Path) -> Iterator[MemoryLimit]:
    text = _text(file).strip()
    if file.name == "memory.stat":
        # v1: the lowest limit of the group and its ancestors, even of those that a container cannot see.
        found = re.search(r"^hierarchical_memory_limit ([0-9]{1,20})$", text, re.MULTILINE)
        text = found[1] if found else ""
    if re.fullmatch(r"[0-9]{1,20}", text) and int(text) > 0:
        yield MemoryLimit(int(text), file)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""
