"""Whose record is it? A record is a process's own only if its host, its pid and its start all fit.

Containers and machines may share a host name, and pids come round. A record of the same host and pid may
therefore be that of a process elsewhere, or of one that has ended. Only its start tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from supervisor_memkill.clock import Clock
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.units import format_duration
from supervisor_memkill.workers.contract import Option, Reading
from supervisor_memkill.world.memory import ProcessTable, began_epoch

LONGEST_BOOT_SECONDS = 1800.0
"""A worker writes its record when it has booted. A record that began so much later is another process's."""
SLACK_SECONDS = 2.0
"""The start of a process by the present clock is not exact: a clock is slewed, and records are rounded."""


@dataclass(frozen=True)
class Began:
    """When a process began, in epoch seconds by this machine's clock. The two differ if the clock was set."""

    then: float
    """By the clock as it stood at that moment; rounded down."""
    now: float
    """By the clock as it stands now."""

    def fits(self, started: float) -> bool:
        """A record with this start may be the process's own: it began after the process, and soon after."""
        return (
            0 <= started - self.then <= LONGEST_BOOT_SECONDS
            or -SLACK_SECONDS <= started - self.now <= LONGEST_BOOT_SECONDS
        )


def beginnings(
    process: ProcessInfo, table: ProcessTable, wall: Callable[[], float], clock: Clock
) -> Mapping[int, Began]:
    """For the supervised process, first, and its descendants: when each began. Empty if it cannot be read.

    `wall` gives epoch seconds, `clock` seconds since boot.
    """
    try:
        tree = table.tree(process.pid)
    except Unknown:
        return {}
    return {
        one.pid: Began(process.start + one.created - tree[0].created, began_epoch(one, wall(), clock()))
        for one in tree
    }


def began_now(pid: int, table: ProcessTable, wall: Callable[[], float], clock: Clock) -> Began:
    """When a process began that supervisord does not know. Raises Unknown."""
    at = began_epoch(table.identify(pid), wall(), clock())
    return Began(at, at)


def is_left_behind(pid: int, supervised: Collection[int], table: ProcessTable) -> bool:
    """The same as ProcessTable.is_left_behind; False if that cannot be read."""
    try:
        return table.is_left_behind(pid, supervised)
    except Unknown:
        return False


def why_not_own(record: str, started: float, began: Began) -> str:
    """Why this record of the same host and pid is not the process's own."""
    seconds = min(started - began.then, started - began.now, key=abs)
    if seconds < 0:
        return (
            f"the record {record} began {format_duration(-seconds)} before this process: it belongs to an "
            "earlier process, or to another machine or container with the same host name"
        )
    return (
        f"the record {record} began {format_duration(seconds)} after this process: it belongs to another "
        "machine or container with the same host name, or the worker waited so long before it booted "
        "(then restart it)"
    )


class Owned(Protocol):
    """The record of one worker."""

    @property
    def identity(self) -> str: ...

    @property
    def pid(self) -> int: ...


AnyRecord = TypeVar("AnyRecord", bound=Owned)


def only_record(fresh: Sequence[AnyRecord], workers: str, starters: str) -> AnyRecord:
    """The one record of a supervised process, of those that are still written; at least one is.

    `workers` names what runs there, such as ``Sidekiq processes``, and `starters` what starts several. Raises
    Unknown, with what to do, if there are several.
    """
    if len({record.pid for record in fresh}) > 1:
        raise Unknown(
            f"{len(fresh)} {workers} run under one supervised process (as with {starters}): start each as a "
            "process of supervisord"
        )
    if len(fresh) > 1:
        names = sorted(record.identity for record in fresh)[:2]
        raise Unknown(
            f"two machines or containers with the same host name write {' and '.join(names)}: give each its "
            "own host name"
        )
    return fresh[0]


# --- the names of this machine ------------------------------------------------------------------

MOST_OTHER_NAMES = 100
"""So many records of other hosts are looked at, to find the other name of this machine."""


def parse_hosts(text: str) -> tuple[str, ...]:
    """The names, separated by white space or commas. Raises ValueError."""
    names = tuple(text.replace(",", " ").split())
    if not names:
        raise ValueError("one or more host names, or globs such as worker.*")
    return names


RECORD_HOSTS = Option(
    parse_hosts,
    (),
    "other names of this machine in the framework's own records, if a worker does not use the machine's host "
    "name: names or globs such as worker.*",
    shown_default="none",
)


@dataclass(frozen=True)
class Hosts:
    """The names under which the workers of this machine may stand in records."""

    own: str
    others: tuple[str, ...] = ()
    """Names or globs."""

    def __contains__(self, name: str) -> bool:
        return name == self.own or any(fnmatchcase(name, other) for other in self.others)


def why_other_name(pid: int, hosts: Hosts, names: Collection[str]) -> str:
    """Records of other hosts have the pid and the start of this process: perhaps the machine's other name."""
    found = sorted(names)
    shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    return (
        f"no record of pid {pid} stands under the host name {hosts.own}, but one with the same pid and start "
        f"stands under {shown}: if that is this machine, set record_hosts = {found[0]}"
    )


def name_other_hosts(
    readings: dict[str, Reading],
    trees: Mapping[str, Mapping[int, Began]],
    hosts: Hosts,
    find_names: Callable[[Mapping[int, Began]], Mapping[int, Collection[str]]],
) -> None:
    """Say of workers without a record whether one of another host name has their pid and start.

    `find_names` finds, for these pids, such host names. If it cannot, nothing is said.
    """
    lost = {worker: trees[worker] for worker, reading in readings.items() if reading.recognised is False}
    began = {pid: one for tree in lost.values() for pid, one in tree.items()}
    try:
        names = find_names(began) if began else {}
    except MemkillError:
        return
    for worker, tree in lost.items():
        for pid in tree:
            if pid in names:
                why = why_other_name(pid, hosts, names[pid])
                readings[worker] = replace(readings[worker], why=why)
