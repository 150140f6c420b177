"""Processes as the operating system reports them: memory, trees, and whether they are alive."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure, MemorySize, ProcessId
from supervisor_memkill.world import linux_process
from supervisor_memkill.world.backend import LINUX, Backend, PsutilBackend, can_measure
from supervisor_memkill.world.bounds import bounds_of_one, bounds_of_tree
from supervisor_memkill.world.linux_process import Gone, Resident, Unmeasurable

__all__ = ["Backend", "Gone", "ProcessTable", "PsutilBackend", "Resident", "Unmeasurable", "can_measure"]

SAME_START_SECONDS = 0.02
"""Two clock ticks of Linux: within this time no other process gets the pid of an ended one."""

CLOCK_TICK_SECONDS = 1.0
"""A process may seem to begin a little later than it did."""

STOPPED = linux_process.STOPPED
ENDED = frozenset({linux_process.ZOMBIE, linux_process.DEAD})


class ProcessTable:
    """The processes for one check: parents and children are read once, at the first question."""

    def __init__(self, backend: Backend | None = None, clock: Callable[[], float] | None = None) -> None:
        """`clock` is the one of `Backend.created`."""
        self._backend = backend or PsutilBackend()
        self._clock = clock or (boot_clock if LINUX else time.time)
        self._titles: dict[int, str] = {}
        self._identified: dict[int, ProcessId] = {}

    @cached_property
    def _parents(self) -> Mapping[int, int]:
        return self._backend.parents()

    @cached_property
    def _children(self) -> Mapping[int, Sequence[int]]:
        children: defaultdict[int, list[int]] = defaultdict(list)
        for pid, parent in self._parents.items():
            if pid != parent:
                children[parent].append(pid)
        return children

    @cached_property
    def _generations(self) -> Mapping[int, int]:
        _ = self._parents
        return self._backend.generations()

    def identify(self, pid: int) -> ProcessId:
        """The process that has this pid now. Raises Unknown."""
        found = self._identified[pid] = ProcessId(pid, self._backend.created(pid))
        return found

    def generation(self, pid: int) -> int | None:
        """A number that no later process with this pid has, by one reading for all; None: unknown.

        For looks only: before an act the process is identified.
        """
        return self._generations.get(pid)

    def age_seconds(self, pid: int) -> float:
        """How long the process has lived, on Linux by a clock that nobody can set. Raises Unknown."""
        known = self._identified.get(pid) or self.identify(pid)
        age = self._clock() - known.created
        if age < -CLOCK_TICK_SECONDS:
            raise Unknown(f"process {pid} began in the future")
        return max(0.0, age)

    def tree(self, pid: int) -> tuple[ProcessId, ...]:
        """The process itself, then its descendants, without those that have ended.

        Raises Unknown for the process itself.
        """
        found = [self.identify(pid)]
        seen = {pid}
        for parent in found:
            fresh = [child for child in self._born_after(parent) if child.pid not in seen]
            seen.update(child.pid for child in fresh)
            found += fresh
        return tuple(found)

    def family(self, known: Iterable[ProcessId]) -> tuple[ProcessId, ...]:
        """The processes of a tree that was seen before, and what they have started since; ended ones too.

        A process whose parent ended belongs to it as long as it was known while the parent lived.
        """
        found = list(known)
        seen = {one.pid for one in found}
        for one in found:
            if self.is_alive(one):
                fresh = [child for child in self._born_after(one) if child.pid not in seen]
                seen.update(child.pid for child in fresh)
                found += fresh
        return tuple(found)

    def _born_after(self, parent: ProcessId) -> list[ProcessId]:
        """Its children. One that is older than its parent has got the pid of a child that ended."""
        born = []
        for pid in self._children.get(parent.pid, ()):
            try:
                child = self.identify(pid)
            except Gone:
                continue
            if child.created >= parent.created:
                born.append(child)
        return born

    def memory(self, pid: int, measure: Measure = "rss", with_children: bool = False) -> int:
        """Bytes. A child that ends meanwhile counts 0; any other reading that fails raises Unknown."""
        total = self._backend.memory_bytes(pid, measure)
        if with_children and pid in self._children:
            total += sum(self._memory_if_there(child.pid, measure) for child in self.tree(pid)[1:])
        return total

    def measured(self, pid: int, measure: Measure = "rss", with_children: bool = False) -> MemorySize:
        """The memory as `memory` gives it, or the sizes between which it lies if that is Unmeasurable.

        Raises Unknown.
        """
        try:
            size = self.memory(pid, measure, with_children)
        except Unmeasurable as error:
            return self._bounds(pid, measure, with_children, str(error))
        return MemorySize(size, size)

    def _bounds(self, pid: int, measure: Measure, with_children: bool, lost: str) -> MemorySize:
        """By the sizes that every user may read. Raises Unknown."""
        below = self.tree(pid)[1:]
        sizes = {pid: self._backend.resident(pid)}
        if not with_children:
            return bounds_of_one(sizes[pid], len(below), measure, lost)
        for child in below:
            with contextlib.suppress(Gone):
                sizes[child.pid] = self._backend.resident(child.pid)
        parents = {child: parent for parent in sizes for child in self._children.get(parent, ())}
        return bounds_of_tree(sizes, parents, measure, lost)

    def _memory_if_there(self, pid: int, measure: Measure) -> int:
        try:
            return self._backend.memory_bytes(pid, measure)
        except Gone:
            return 0

    def is_alive(self, process: ProcessId) -> bool:
        """Whether this process is alive and not a zombie. Raises Unknown."""
        try:
            same = abs(self._backend.created(process.pid) - process.created) <= SAME_START_SECONDS
            return same and self._backend.status(process.pid) not in ENDED
        except Gone:
            return False

    def is_left_behind(self, pid: int, supervised: Collection[int]) -> bool:
        """The process lives, what started it has ended, and none of the `supervised` pids is above it.

        Either the leader of its process group is gone, such as a shell that supervisord ran. Or supervisord
        itself ended: the process has no parent but the first process, and the control group that it shares
        with the supervised ones shows that it was theirs. Raises Unknown.
        """
        if pid not in self._parents:
            return False
        leader = self._backend.group(pid)
        is_alone = self._parents[pid] == 1 if leader == pid else leader != 0 and leader not in self._parents
        if not is_alone or not self.is_alive(self.identify(pid)):
            return False
        if not self._line_of(pid).isdisjoint(supervised):
            return False
        if any(pid in self._line_of(one) for one in supervised):
            return False  # supervisord itself, or what is above it
        group = self._backend.control_group(pid)
        is_beside = any(self._backend.control_group(one) == group for one in supervised)
        return is_beside and (bool(group) or leader != pid)

    def left_behind(self, supervised: Collection[int]) -> Sequence[int]:
        """The pids of those that are left behind (see `is_left_behind`), without the processes below them."""
        found = []
        for pid in self._parents:
            with contextlib.suppress(Unknown):
                if self.is_left_behind(pid, supervised):
                    found.append(pid)
        return [pid for pid in found if self._parents[pid] not in found]

    def _line_of(self, pid: int) -> frozenset[int]:
        """The process, its parent, and so on up."""
        found: list[int] = []
        while pid in self._parents and pid not in found:
            found.append(pid)
            pid = self._parents[pid]
        return frozenset(found)

    def is_suspended(self, pid: int) -> bool:
        """A stop signal suspended it (state T). Raises Unknown."""
        return self._backend.status(pid) == STOPPED

    def handles(self, pid: int, signal_name: str) -> bool | None:
        """Whether the process has a handler of its own for this signal (without SIG); None if unknown."""
        number = signal.Signals[f"SIG{signal_name}"]
        try:
            return bool(self._backend.caught_signals(pid) >> (number - 1) & 1)
        except Unknown:
            return None

    def leaves_to_system(self, pid: int, signal_name: str) -> bool:
        """Whether it is certain that the process leaves this signal (without SIG) to the system.

        It neither has a handler for it, nor blocks it to wait for it (sigwait(3)).
        """
        number = signal.Signals[f"SIG{signal_name}"]
        try:
            taken = self._backend.caught_signals(pid) | self._backend.blocked_signals(pid)
        except Unknown:
            return False
        return not taken >> (number - 1) & 1

    def directory(self, pid: int) -> str:
        """The working directory, which another user's process may hide. Raises Unknown."""
        return self._backend.directory(pid)

    def environment(self, pid: int) -> Mapping[str, str]:
        """The environment variables, which another user's process hides. Raises Unknown."""
        return self._backend.environment(pid)

    def title(self, pid: int) -> str:
        """The command line, which a program may have changed; "" if it cannot be read."""
        try:
            return " ".join(self._backend.command_line(pid))
        except Unknown:
            return ""

    def first_title(self, pid: int) -> str:
        """The same as this table read it first: for what does not change while a process runs."""
        if pid not in self._titles:
            self._titles[pid] = self.title(pid)
        return self._titles[pid]


def began_epoch(process: ProcessId, wall: float, since_boot: float) -> float:
    """When the process began, in epoch seconds by the present clock.

    `wall` (epoch seconds) and `since_boot` (seconds) are the present time by the two clocks.
    """
    return wall - (since_boot - process.created) if LINUX else process.created
