"""Other event listeners of the same supervisord that restart workers by their memory."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from supervisor_memkill.processes import ProcessInfo, ProcessState, ProgramInfo

_WORD = r"(?:^|[\s/\"'=;&|.])({})(?=$|[\s\"';&|]|\.py\b)"
MEMMON = re.compile(_WORD.format("memmon"))
OURS = re.compile(_WORD.format("supervisor[-_]memkill"))
ALIVE = {ProcessState.STARTING, ProcessState.RUNNING, ProcessState.BACKOFF}


def rivals(
    programs: Collection[ProgramInfo],
    processes: Iterable[ProcessInfo],
    listener_groups: Collection[str],
    own_group: str,
) -> Iterator[str]:
    """A sentence for each rival that runs.

    `own_group` is the listener's group in supervisord; empty when a person looks, who is no rival.
    """
    alive = {process.worker for process in processes if process.state in ALIVE}
    listeners = [one for one in programs if one.group in listener_groups and one.worker in alive]
    own = [one.group for one in listeners if OURS.search(one.command)]
    own_groups = {own_group or (own[0] if own else "")}
    for program in listeners:
        if program.group in own_groups:
            continue
        if MEMMON.search(program.command) or OURS.search(program.command):
            yield (
                f"{program.worker} also restarts workers by their memory ({program.command[:80]}): two such"
                " listeners must not watch the same worker; remove one of them, or give each its own workers"
            )
