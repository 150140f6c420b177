"""The memory of this machine, or of its control group where that has less: the limit, and what is left."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from supervisor_memkill.dataclass import dataclass

_MEMINFO = Path("/proc/meminfo")


def _installed_bytes() -> int:
    return _meminfo("MemTotal") or _physical_bytes()


def _physical_bytes() -> int:
    """For a system without this line, or with 0 in it (lxc/lxcfs#389).

    /proc/meminfo may also be hidden, as by ProcSubset=pid of systemd.
    """
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return _by_psutil("total")


def _meminfo(name: str) -> int:
    """Bytes; 0: the system has no such file, or no such line in it."""
    return _size_in(_text(_MEMINFO), name)


def _size_in(meminfo: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+([0-9]{{1,15}}) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _by_psutil(name: str) -> int:
    """For a system without these lines: an old kernel, or no Linux."""
    import psutil

    return int(getattr(psutil.virtual_memory(), name))


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
    in_groups = (limit for group in _groups(root) for limit in group.limits())
    return min([MemoryLimit(total()), *in_groups], key=lambda one: one.size_bytes)


def available_bytes(meminfo: Path = _MEMINFO) -> int:
    """What the machine can still hand out without swapping: MemAvailable of /proc/meminfo (proc(5)).

    A container may show the MemAvailable of its host beside a MemTotal of its own: then MemFree counts.
    """
    text = _text(meminfo)
    available, total = _size_in(text, "MemAvailable"), _size_in(text, "MemTotal")
    if re.search(r"^MemTotal:\s+0 kB$", text, re.MULTILINE):
        raise OSError(f"{meminfo} does not show the memory of this machine")
    if available > total > 0:
        return _size_in(text, "MemFree")
    return available or _by_psutil("available")


class MachineMemory:
    """The memory that is left. The control groups are found once: a process is rarely moved to others."""

    def __init__(
        self,
        root: Path = Path("/"),
        total: Callable[[], int] = _installed_bytes,
        available: Callable[[], int] = available_bytes,
    ) -> None:
        self._root = root
        self._total = total
        self.available_bytes = available
        self._groups = tuple(_groups(root))

    def limit_bytes(self) -> int:
        """Bytes; see `memory_limit_bytes`."""
        return memory_limit_bytes(self._root, self._total)

    def free_bytes(self) -> int:
        """What the machine, and each control group above this process, can still hand out; 0 or more.

        What a group keeps of files can be given back, as in MemAvailable. Raises OSError.
        """
        in_groups = (free for group in self._groups for free in group.free_bytes())
        return max(0, min([self.available_bytes(), *in_groups]))

    def stalled_percent(self) -> float:
        """For how much of the last 10 s all processes waited for memory (PSI); 0 if the system does not tell.

        Source: the kernel's Documentation/accounting/psi.rst.
        """
        files = [self._root / "proc/pressure/memory"]
        files += [one.directory / "memory.pressure" for one in self._groups if one.is_v2]
        found = (re.search(r"^full avg10=([0-9.]{1,8})", _text(file), re.MULTILINE) for file in files)
        return max((float(one[1]) for one in found if one and one[1].count(".") == 1), default=0.0)


@dataclass(frozen=True)
class _Group:
    """A control group that holds this process, or an ancestor of it."""

    directory: Path
    is_v2: bool

    def limits(self) -> Iterator[MemoryLimit]:
        # At memory.high the kernel slows processes down, and takes memory away from them. Without a limit, v1
        # gives a number larger than any machine.
        names = ("memory.max", "memory.high") if self.is_v2 else ("memory.limit_in_bytes", "memory.stat")
        for name in names:
            yield from _limit_in(self.directory / name)

    def free_bytes(self) -> Iterator[int]:
        """Nothing if it has no limit of its own, or does not tell."""
        names = ("memory.max", "memory.high") if self.is_v2 else ("memory.limit_in_bytes",)
        limits = [limit.size_bytes for name in names for limit in _limit_in(self.directory / name)]
        used = _text(self.directory / ("memory.current" if self.is_v2 else "memory.usage_in_bytes")).strip()
        if limits and re.fullmatch(r"[0-9]{1,20}", used):
            yield min(limits) - int(used) + self._reclaimable_bytes()

    def _reclaimable_bytes(self) -> int:
        names = "(?:in)?active_file|slab_reclaimable" if self.is_v2 else "total_(?:in)?active_file"
        stat = _text(self.directory / "memory.stat")
        return sum(map(int, re.findall(rf"^(?:{names}) ([0-9]{{1,20}})$", stat, re.MULTILINE)))


@dataclass(frozen=True)
class _Mount:
    """One mounted hierarchy of control groups."""

    point: Path
    top: PurePosixPath
    """The group that is visible at `point`: in a container, not the hierarchy's root."""
    is_v2: bool


def _groups(root: Path) -> Iterator[_Group]:
    """The groups of this process whose memory is limited, and their ancestors."""
    mounts = _mounts(root)
    for controllers, group in _memberships(root / "proc/self/cgroup"):
        if not controllers or "memory" in controllers:
            is_v2 = not controllers
            for mount in mounts:
                if mount.is_v2 is is_v2:
                    yield from (_Group(directory, is_v2) for directory in _upward(mount, group))


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


def _upward(mount: _Mount, group: PurePosixPath) -> Iterator[Path]:
    """The directories of the group and of its ancestors that are visible here."""
    # In a container the path may be the host's, which is not below the mount here, or lead out of
    # the namespace ("/../other"): the mount's own limit is then the container's.
    below = group.relative_to(mount.top) if group.is_relative_to(mount.top) else group
    inside = () if ".." in below.parts else tuple(part for part in below.parts if part != "/")
    for depth in range(len(inside), -1, -1):
        yield mount.point.joinpath(*inside[:depth])


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
