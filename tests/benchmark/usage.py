"""What a process has used so far, by /proc (proc(5)): Linux alone shows it this exactly."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """The totals of one process at one moment."""

    cpu_seconds: float
    """Its own time and that of its children that have ended."""
    wake_ups: int
    """How often it waited and was woken."""

    def since(self, earlier: Usage) -> Usage:
        return Usage(self.cpu_seconds - earlier.cpu_seconds, self.wake_ups - earlier.wake_ups)


def usage(pid: int) -> Usage:
    nanoseconds, switches = 0, 0
    for thread in (PROC / str(pid) / "task").iterdir():
        nanoseconds += int((thread / "schedstat").read_text().split()[0])
        for line in (thread / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                switches += int(line.split()[1])
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    children = sum(int(field) for field in fields[13:15]) / os.sysconf("SC_CLK_TCK")
    return Usage(nanoseconds / 1e9 + children, switches)


def private_bytes(pid: int) -> int:
    """The memory that would be free if this process ended (USS)."""
    text = (PROC / str(pid) / "smaps_rollup").read_text()
    lines = [line.split() for line in text.splitlines() if line.startswith("Private_")]
    return sum(int(kilobytes) for _, kilobytes, _ in lines) * 1024


def median_usage(parts: list[Usage]) -> Usage:
    def median(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    return Usage(
        median([part.cpu_seconds for part in parts]), int(median([float(part.wake_ups) for part in parts]))
    )


def scaled(part: Usage, factor: float) -> Usage:
    return dataclasses.replace(
        part, cpu_seconds=part.cpu_seconds * factor, wake_ups=round(part.wake_ups * factor)
    )
