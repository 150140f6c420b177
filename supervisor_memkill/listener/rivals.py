"""Other event listeners of the same supervisord that restart workers."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Iterator

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import ProcessInfo, ProcessState, ProgramInfo

_WORD = r"(?:^|[\s/\"'=;&|.])({})(?=$|[\s\"';&|]|\.py\b)"
MEMMON = re.compile(_WORD.format("memmon|supervisor_memory_check"))
OURS = re.compile(_WORD.format("supervisor[-_]memkill"))
RESTARTERS = re.compile(_WORD.format("httpok|supervisor_(?:http|tcp|xmlrpc|cpu|file|complex)_check"))
"""Of superlance and of supervisor_checks: they restart a process that does not answer, or the like."""
ALIVE = {ProcessState.STARTING, ProcessState.RUNNING, ProcessState.BACKOFF}
SHOWN = 80


class RivalKind(enum.Enum):
    """What another listener does to workers."""

    MEMORY = "memory"
    """It restarts them by their memory."""
    SECOND = "second"
    """It is a listener of this program, too."""
    HEALTH = "health"
    """It restarts them when they do not answer, or the like."""


@dataclass(frozen=True)
class Rival:
    """Another listener that restarts workers."""

    kind: RivalKind
    worker: str
    """Its own name in supervisord, ``group:name``."""
    command: str
    """Its beginning."""

    @property
    def restarts_by_memory(self) -> bool:
        return self.kind is not RivalKind.HEALTH

    @property
    def words(self) -> str:
        """One sentence for an operator."""
        if self.kind is RivalKind.HEALTH:
            return f"{self.worker} also restarts workers ({self.command})"
        return (
            f"{self.worker} also restarts workers by their memory ({self.command}): two such"
            " listeners must not watch the same worker; remove one of them, or give each its own workers"
        )


def rivals(
    programs: Collection[ProgramInfo],
    processes: Iterable[ProcessInfo],
    listener_groups: Collection[str],
    own_group: str,
) -> Iterator[Rival]:
    """Each rival that runs.

    `own_group` is the listener's group in supervisord; empty when a person looks, who is no rival.
    """
    alive = {process.worker for process in processes if process.state in ALIVE}
    listeners = [one for one in programs if one.group in listener_groups and one.worker in alive]
    own = [one.group for one in listeners if OURS.search(one.command)]
    own_groups = {own_group or (own[0] if own else "")}
    for program in listeners:
        kind = None if program.group in own_groups else _kind_of(program.command)
        if kind is not None:
            yield Rival(kind, program.worker, program.command[:SHOWN])


def _kind_of(command: str) -> RivalKind | None:
    if MEMMON.search(command):
        return RivalKind.MEMORY
    if OURS.search(command):
        return RivalKind.SECOND
    return RivalKind.HEALTH if RESTARTERS.search(command) else None
