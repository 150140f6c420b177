"""Processes as Linux shows them in /proc (proc(5)).

Root without the capability SYS_PTRACE, which containers have by default, may read ``status`` and ``stat`` of
every process, and ``smaps`` of no process of another user.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure

PROC = Path("/proc")

_SMAPS_FIELDS: Mapping[Measure, tuple[str, ...]] = {
    "pss": ("Pss",),
    "uss": ("Private_Clean", "Private_Dirty", "Private_Hugetlb"),
    "pss+swap": ("Pss", "SwapPss"),
}
RUNNING, STOPPED, ZOMBIE, DEAD = "running", "stopped", "zombie", "dead"
_STATUSES = {b"T": STOPPED, b"Z": ZOMBIE, b"X": DEAD, b"x": DEAD}
"""By the letter in ``stat`` (proc(5)), with psutil's names. Every other one is that of a living process."""
_HIDEPID = (
    "/proc is mounted with hidepid; run the listener as root, or with the group that gid= of this mount names"
    " (if systemd starts supervisord, ProtectProc= of its unit does this: set ProtectProc=default)"
)
_OPTIONAL = frozenset({"Private_Hugetlb"})
_TICKS_A_SECOND, _PAGE_BYTES = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
_READ_BYTES = 65536


class Gone(Unknown):
    """There is no such process. A zombie does not count as a process."""


class _Denied(Unknown):
    """This user may not read the file."""


class Unmeasurable(Unknown):
    """This measure cannot be read for this process. Its `Resident` sizes can be."""


@dataclass(frozen=True)
class Resident:
    """The sizes of a process in bytes that every user may read."""

    rss: int
    anonymous: int = 0
    """The part of `rss` that belongs to no file and to no shared memory; 0 if it is unknown."""
    peak: int = 0
    """The largest `rss` since the process began; 0 if it is unknown."""
    swap: int = 0


def started(pid: int, proc: Path = PROC) -> float:
    """Seconds from boot to the start of a process: field 22 of ``stat``. Raises Gone, Unknown."""
    fields = _stat(pid, proc)
    try:
        return int(fields[22 - 3]) / _TICKS_A_SECOND
    except (LookupError, ValueError) as error:
        raise Unknown(f"process {pid} cannot be read: {error}") from error


def status(pid: int, proc: Path = PROC) -> str:
    """STOPPED, ZOMBIE or DEAD; RUNNING for all others. Raises Gone, Unknown.

    A process whose first thread has ended looks like a zombie while its other threads run: it is RUNNING.
    """
    fields = _stat(pid, proc)
    if not fields:
        raise Unknown(f"process {pid} cannot be read: it has an empty stat")
    found = _STATUSES.get(fields[0], RUNNING)
    return RUNNING if found == ZOMBIE and _threads(fields) > 1 else found


def _threads(fields: Sequence[bytes]) -> int:
    """The number of threads, the ended first one included; 0 for a process that has ended as a whole."""
    try:
        return int(fields[20 - 3])
    except (LookupError, ValueError):
        return 0


def parent(pid: int, proc: Path = PROC) -> int:
    """The pid of its parent. Raises Gone, Unknown."""
    try:
        return int(_stat(pid, proc)[4 - 3])
    except (LookupError, ValueError) as error:
        raise Unknown(f"process {pid} cannot be read: {error}") from error


class Parents:
    """The parent of every process. A process that was seen before is not read again.

    The parent of a process changes only when the parent ends. Linux gives the folder of each process in /proc
    a number (the inode) of its own, so that a new process with a known pid is recognised.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._folders: Mapping[int, int] = {}
        """By pid: the number of its folder, as of the last `now`; of hidden and ended processes, too."""
        self._parents: Mapping[int, int] = {}

    def now(self) -> Mapping[int, int]:
        """The parent's pid of every process, without those that end meanwhile and those that are hidden."""
        with os.scandir(self._proc) as entries:
            folders = {int(one.name): one.inode() for one in entries if one.name.isdecimal()}
        before, found = self._folders, {}
        for pid, folder in folders.items():
            parent = self._parents.get(pid)
            if parent is not None and before[pid] == folder and before.get(parent) == folders.get(parent):
                found[pid] = parent
                continue
            with contextlib.suppress(Unknown, LookupError, ValueError):
                found[pid] = int(_stat(pid, self._proc)[4 - 3])
        self._folders, self._parents = folders, found
        return found

    def folders(self) -> Mapping[int, int]:
        """The number of the folder of each process of the last `now`; 0 and 1 identify no folder."""
        if len(self._folders) == len(self._parents):
            return self._folders
        return {pid: self._folders[pid] for pid in self._parents}


def command_line(pid: int, proc: Path = PROC) -> Sequence[str]:
    """The words of its command line; a program that renamed itself may have written one text.

    Raises Gone, Unknown.
    """
    text = _file(pid, "cmdline", proc)
    if not text:
        if _stat(pid, proc)[:1] in ([b"Z"], [b"X"]):
            raise Gone(f"process {pid} has ended")
        return []
    words = text.removesuffix("\0").split("\0") if text.endswith("\0") else text.removesuffix(" ").split(" ")
    return text.removesuffix("\0").split(" ") if len(words) == 1 else words


def directory(pid: int, proc: Path = PROC) -> str:
    """Its working directory. Raises Gone, Unknown."""
    try:
        path = (proc / str(pid) / "cwd").readlink()
    except (OSError, ValueError) as error:
        raise _meaning(error, pid, proc) from error
    return str(path) if path.exists() else str(path).removesuffix(" (deleted)")


def environment(pid: int, proc: Path = PROC) -> Mapping[str, str]:
    """The environment variables that it was started with. Raises Gone, Unknown."""
    words = (word.partition("=") for word in os.fsdecode(_content(pid, "environ", proc)).split("\0"))
    return {name: value for name, equals, value in words if name and equals}


def user(pid: int, proc: Path = PROC) -> int:
    """The number of its effective user: the second one of ``Uid`` in ``status``. Raises Gone, Unknown."""
    found = re.search(r"^Uid:\s+\d+\s+(\d+)", _file(pid, "status", proc), re.MULTILINE)
    if found is None:
        raise Unknown(f"process {pid} cannot be read: its status has no user")
    return int(found[1])


def _stat(pid: int, proc: Path) -> list[bytes]:
    """The fields of ``stat`` from the third one on, to the 22nd one at least. Raises Gone, Unknown."""
    # The second field, the program's name in brackets, may itself hold spaces and brackets.
    return _content(pid, "stat", proc).rpartition(b")")[2].split(None, 22 - 3 + 1)


def rss(pid: int, proc: Path = PROC) -> int:
    """The resident memory in bytes, which a process that is ending has no more of. Raises Gone, Unknown."""
    try:
        return int(_file(pid, "statm", proc).split()[1]) * _PAGE_BYTES
    except (LookupError, ValueError) as error:
        raise Unknown(f"process {pid} cannot be read: {error}") from error


def measured(pid: int, measure: Measure, proc: Path = PROC) -> int:
    """The memory in bytes, by any measure but rss. Raises Gone, Unmeasurable, Unknown."""
    if measure == "rss+swap":
        sizes = _status(pid, proc)
        if "VmSwap" not in sizes:
            raise Unmeasurable(f"this system does not show the swap of process {pid}")
        return sizes["VmRSS"] + sizes["VmSwap"]
    sizes = _sizes(_smaps(pid, measure, proc))
    if not sizes:
        raise Gone(f"process {pid} is ending")
    missing = [name for name in _SMAPS_FIELDS[measure] if name not in sizes and name not in _OPTIONAL]
    if missing:
        raise Unmeasurable(f"this system does not show {missing[0]} of process {pid}")
    return sum(sizes[name] for name in _SMAPS_FIELDS[measure])


def resident(pid: int, proc: Path = PROC) -> Resident:
    """The sizes in ``status``. Raises Gone, Unknown."""
    sizes = _status(pid, proc)
    return Resident(sizes["VmRSS"], sizes["RssAnon"], sizes["VmHWM"], sizes["VmSwap"])


def absent(pid: int, proc: Path = PROC) -> Unknown:
    """The error for a process that /proc does not show: it is gone, or hidden from this user (hidepid=2).

    A process of the same user is hidden, too, if it changed its user and runs the same program on.
    """
    if pid <= 0:
        return Gone(f"there is no process {pid}")  # A signal to 0 goes to the process group.
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (OSError, OverflowError):
        return Gone(f"there is no process {pid}")
    if (proc / str(pid)).exists():
        return Gone(f"process {pid} is ending")
    return Unknown(f"process {pid} is hidden from this user: {_HIDEPID}")


def _status(pid: int, proc: Path) -> Counter[str]:
    sizes = _sizes(_file(pid, "status", proc))
    if "VmRSS" not in sizes:
        raise Gone(f"process {pid} is ending")  # Its memory is freed already.
    return sizes


def _smaps(pid: int, measure: Measure, proc: Path) -> str:
    try:
        for name in ("smaps_rollup", "smaps"):  # smaps_rollup: from Linux 4.14
            if (proc / str(pid) / name).exists():
                return _file(pid, name, proc)
    except (_Denied, PermissionError):
        raise Unmeasurable(
            f"{measure} of process {pid} needs the capability SYS_PTRACE: the process belongs to another user"
            " or changed its user, or AppArmor or SELinux forbids it"
        ) from None
    started(pid, proc)  # Raises Gone.
    raise Unmeasurable(f"this system has no smaps, which {measure} needs")


def _sizes(text: str) -> Counter[str]:
    """The sum in bytes of each field that is given in kB."""
    sums: Counter[str] = Counter()
    for name, kilobytes in re.findall(r"^(\w+):\s+([0-9]{1,15}) kB$", text, re.MULTILINE):
        sums[name] += int(kilobytes) * 1024
    return sums


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, _READ_BYTES)
        end = len(content)
        while end == _READ_BYTES:
            more = os.read(descriptor, _READ_BYTES)
            content, end = content + more, len(more)
    finally:
        os.close(descriptor)
    return content


def _file(pid: int, name: str, proc: Path) -> str:
    """Raises Gone, _Denied, Unknown."""
    return _content(pid, name, proc).decode(errors="replace")


def _content(pid: int, name: str, proc: Path) -> bytes:
    """Raises Gone, _Denied, Unknown."""
    try:
        # Not by Path and open: a look reads such a file for each worker.
        return _read(f"{proc}/{pid}/{name}")
    except (OSError, ValueError) as error:
        raise _meaning(error, pid, proc) from error


def _meaning(error: Exception, pid: int, proc: Path) -> Unknown:
    """What an error of the system means for this process."""
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return absent(pid, proc)
    if isinstance(error, PermissionError):
        return _Denied(f"access to process {pid} is denied: {_HIDEPID}")
    return Unknown(f"process {pid} cannot be read: {error}")
