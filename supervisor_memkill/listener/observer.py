"""Observes workers: the readings of their kind, and their memory. An error in a kind becomes a value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.workers.contract import LeftBehind, Reading, Target
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import SupervisordError


@dataclass(frozen=True)
class Memory:
    """A worker's memory, or why it is unknown."""

    size_bytes: int | None = None
    """None: the process does not run, or its memory is unknown."""
    least_bytes: int | None = None
    """The least that it can be; the same as `size_bytes` if its measure was read."""
    why: str = ""
    lost: str = ""
    """Why its measure could not be read, so that `size_bytes` is the most that it can be."""
    fault: Exception | None = None
    """The error that the kind raised."""
    counts_children: bool = False
    """The memory of the worker's descendants is part of it."""


@dataclass(frozen=True)
class Readings:
    """The readings of a pool's workers."""

    by_worker: Mapping[str, Reading] = field(default_factory=dict)
    fault: Exception | None = None
    """The error that the kind raised."""


def read(pool: Pool, targets: Sequence[Target], table: ProcessTable) -> Readings:
    """The readings of these RUNNING workers by the pool's kind. Raises SupervisordError."""
    if not targets:
        return Readings()
    try:
        return Readings(pool.kind.read(targets, table))
    except SupervisordError:
        raise
    except Exception as error:  # noqa: BLE001 - a kind may be anybody's code
        return Readings(fault=error)


def left_behind(pool: Pool, supervised: Collection[int], table: ProcessTable) -> tuple[LeftBehind, ...]:
    """The processes of the pool's framework that nobody supervises; see Kind. Raises what the kind raises."""
    return tuple(pool.kind.left_behind(supervised, table))


def age_seconds(process: ProcessInfo, table: ProcessTable) -> float | None:
    """How long the process has lived; None if no process runs, or if the system does not tell."""
    if not process.pid:
        return None
    try:
        return table.age_seconds(process.pid)
    except Unknown:
        return None


def rss_bytes(pool: Pool, process: ProcessInfo, table: ProcessTable) -> int:
    """The worker's RSS, with its children if they count: a cheap reading. Raises Gone, Unknown."""
    try:
        return table.memory(process.pid, "rss", pool.counts_children(process, table))
    except Unknown:
        raise
    except Exception as error:
        raise Unknown("its kind failed") from error


def measure(pool: Pool, process: ProcessInfo, table: ProcessTable) -> Memory:
    """The worker's memory by the pool's `measure` and `children`. Raises SupervisordError."""
    if process.state is not ProcessState.RUNNING:
        return Memory()
    try:
        counts_children = pool.counts_children(process, table)
        size = pool.memory(process, table, with_children=counts_children)
    except Unknown as error:
        return Memory(why=str(error))
    except SupervisordError:
        raise
    except Exception as error:  # noqa: BLE001 - a kind may be anybody's code
        return Memory(why="its kind failed", fault=error)
    return Memory(size.most_bytes, size.least_bytes, lost=size.lost, counts_children=counts_children)
