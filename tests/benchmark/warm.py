"""Keep the memory of measured processes where it is, on a machine that takes idle memory away.

Hosts of virtual machines do that (page reclaim, snapshots, balloons), and Linux itself can (DAMON). The next
touch of such a page then costs tens of µs, and counts as CPU time of the process. Measured on one machine:
after a second of sleep, a process touches 10 MB in 85 to 180 ms, and in 0.2 ms again right after that. A
program that sleeps for most of its time is then measured by its size, and not by what it does.
"""

from __future__ import annotations

import contextlib
import mmap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
EVERY_SECONDS = 0.1
_PRESENT = 0x80
"""In the last byte of a page's entry: it is in memory (proc(5), /proc/pid/pagemap)."""


class Warm:
    """A thread that reads the memory of some processes again and again; it needs the rights of ptrace(2)."""

    def __init__(self) -> None:
        self._pids: set[int] = set()

    def start(self) -> None:
        """Until this program ends."""
        threading.Thread(target=self._run, daemon=True).start()

    @contextlib.contextmanager
    def kept(self, pid: int) -> Iterator[None]:
        """Keep this process warm for so long."""
        self._pids = self._pids | {pid}
        try:
            yield
        finally:
            self._pids = self._pids - {pid}

    def _run(self) -> None:
        while True:
            time.sleep(EVERY_SECONDS)
            for pid in self._pids:
                with contextlib.suppress(OSError):  # It ended.
                    read_present_pages(pid)


def read_present_pages(pid: int) -> int:
    """Read a byte of each page that is in memory; how many. Any other page would come into memory by it."""
    found = 0
    here = PROC / str(pid)
    with (
        (here / "maps").open() as maps,
        (here / "pagemap").open("rb", 0) as entries,
        (here / "mem").open("rb", 0) as memory,
    ):
        for line in maps:
            area, rights = line.split()[:2]
            if not rights.startswith("r") or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vdso]")):
                continue
            first, end = (int(part, 16) // mmap.PAGESIZE for part in area.split("-"))
            entries.seek(first * 8)
            last_bytes = entries.read((end - first) * 8)[7::8]
            for number, byte in enumerate(last_bytes, first):
                if byte & _PRESENT:
                    memory.seek(number * mmap.PAGESIZE)
                    found += len(memory.read(1))
    return found
