"""After a damaged journal: workers of which nothing can show whether a drain left them quiet.

Such a worker does not count as in service until it has another process.
"""

from __future__ import annotations

import dataclasses

from supervisor_memkill.listener.findings import Pool, Survey
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.workers.contract import Reading

MAY_BE_QUIET = (
    "it may be quiet since the journal was damaged, and its kind cannot confirm that it is not: restart it"
)
NO_PROCESS = (0, 0)


def can_be_doubtful(pool: Pool) -> bool:
    """The pool's kind quiets workers, and no reading shows whether one is quiet."""
    return pool.kind.traits.quiets and not pool.kind.traits.confirms_quiet


def doubt(reading: Reading, process: ProcessInfo, contents: Contents) -> Reading:
    """The reading of a worker of such a kind, in service only if a drain cannot have left it quiet."""
    life = contents.doubtful.get(process.worker)
    is_doubtful = contents.adopts if life is None else life == (process.pid, process.start)
    return dataclasses.replace(reading, in_service=None, why=MAY_BE_QUIET) if is_doubtful else reading


def with_doubts(contents: Contents, survey: Survey) -> Contents:
    """The contents with the present process of each such worker, unless an earlier one is known."""
    found = {
        finding.worker: life_of(finding.seen.process)
        for pool in survey.pools
        if can_be_doubtful(pool.pool)
        for finding in pool.findings
    }
    return dataclasses.replace(contents, doubtful={**found, **contents.doubtful})


def life_of(process: ProcessInfo) -> tuple[int, int]:
    """Pid and start of a running process, by which another process of the worker is told apart."""
    return (process.pid, process.start) if process.state is ProcessState.RUNNING else NO_PROCESS
