"""Find supervisord settings of a program that could lose Celery's tasks."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.units import format_size
from supervisor_memkill.workers.advice import (
    advise_on_stopasgroup,
    advise_on_stopsignal,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
)
from supervisor_memkill.workers.command_line import option_number, option_text
from supervisor_memkill.workers.contract import Advice, Target

if TYPE_CHECKING:
    from supervisor_memkill.world.memory import ProcessTable

STOP_SECONDS = 10
"""supervisord's default, which nobody chose for the tasks. A worker without tasks ends within 2 to 3 s (5.3.6
and 5.7.0, Redis)."""


REMAPPED = "REMAP_SIGTERM"
"""The variable by which TERM becomes QUIT (billiard/common.py, celery/apps/worker.py). Tried with 5.7.0: a
task that runs at TERM is gone 1.6 s later, and the exit status is 0; at INT it is finished."""


PREFORK = ("prefork", "processes")
"""The names of the pool that runs tasks in child processes."""
WARM_SIGNALS = frozenset({"TERM", "INT"})
OTHER_SIGNALS = "Celery finishes its tasks at TERM and INT; QUIT cuts them, and others do not end it properly"


class Remapped:
    """Which workers have REMAP_SIGTERM in their environment, as far as that can be read: once per process."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int, bool | None]] = {}

    def learn(self, targets: Iterable[Target], table: ProcessTable) -> None:
        for target in targets:
            process = target.process
            known = self._found.get(process.worker)
            if known is None or known[:2] != (process.pid, process.start) or known[2] is None:
                self._found[process.worker] = process.pid, process.start, _is_remapped(process.pid, table)

    def is_remapped(self, worker: str) -> bool:
        return self._found.get(worker, (0, 0, None))[2] is True

    def is_hidden(self, worker: str) -> bool:
        """The worker's environment could not be read."""
        return self._found.get(worker, (0, 0, False))[2] is None


def _is_remapped(pid: int, table: ProcessTable) -> bool | None:
    try:
        return bool(table.environment(pid).get(REMAPPED))
    except Unknown:
        return None


def advice_on(program: ProgramInfo, *, is_remapped: bool = False) -> Sequence[Advice]:
    """Settings that cut running tasks refuse a drain: a task with an ETA may begin after the last look.

    A drained worker has no running task, so that TERM for QUIT does not refuse a drain.
    """
    return [
        *advise_on_stopsignal(program, WARM_SIGNALS, OTHER_SIGNALS, refuses=True),
        *advise_on_prefork(program),
        *_advise_on_stop_time(program),
        *(advise_on_remapped(program, cuts_jobs=True) if is_remapped else ()),
        *advise_on_wrapper(program, "Celery"),
    ]


def advise_on_child_limit(program: ProgramInfo, max_rss_bytes: int | None) -> Iterator[Advice]:
    """Celery replaces a process of its pool by itself, after a task (billiard/pool.py: max_memory_per_child).

    The option is in kilobytes of RSS.
    """
    limit_bytes = (option_number(program.command, "--max-memory-per-child") or 0.0) * 1024
    if max_rss_bytes is not None and 0 < limit_bytes <= max_rss_bytes:
        yield Advice(
            f"--max-memory-per-child={limit_bytes / 1024:.10g} ({format_size(limit_bytes)}) is not above "
            f"max_rss={format_size(max_rss_bytes)}: Celery replaces a process of its pool after its task",
            comes_first=True,
            is_note=True,
        )


def _advise_on_stop_time(program: ProgramInfo) -> Iterator[Advice]:
    """Celery waits for its tasks without limit, unless they have one themselves."""
    limit = option_number(program.command, "--time-limit")
    if limit is None or limit >= program.stopwaitsecs:
        yield from advise_on_stopwaitsecs(
            program,
            STOP_SECONDS,
            "the time of a stop that waits for a task",
            other_way="give its tasks a shorter --time-limit",
            cuts_jobs=True,
        )


def advise_on_remapped(
    program: ProgramInfo, *, refuses: bool = False, cuts_jobs: bool = False
) -> Iterator[Advice]:
    """REMAP_SIGTERM is in the worker's environment."""
    if program.stopsignal == signal.SIGTERM:
        yield Advice(
            f"{REMAPPED} makes TERM cut running tasks after worker_soft_shutdown_timeout: set stopsignal = "
            f"INT, or remove {REMAPPED} from the worker's environment",
            refuses,
            cuts_jobs,
        )


def advise_on_hidden(program: ProgramInfo) -> Iterator[Advice]:
    """The worker's environment cannot be read, and its stop is its drain."""
    if program.stopsignal == signal.SIGTERM:
        yield Advice(
            f"the environment of the worker cannot be read: if it has {REMAPPED}, TERM cuts running tasks, "
            "and INT does not: run the listener as root or as the worker's user, or set stopsignal = INT"
        )


def advise_on_prefork(program: ProgramInfo) -> Iterator[Advice]:
    """Only the prefork pool, which is the default, runs tasks in child processes; a pool of one's own may."""
    if _pool(program) in (*PREFORK, "custom"):
        why = "the processes of the prefork pool would die at TERM, and their tasks with them"
        yield from advise_on_stopasgroup(program, why, refuses=True)


def advise_on_warm_shutdown(program: ProgramInfo) -> Iterator[Advice]:
    """Celery's own warm shutdown of the prefork pool gives a task back that a process of the pool runs.

    celery/concurrency/asynpool.py, `flush`: since 5.6.3, it forgets a task whose message was written to a
    process while the news of its begin was not read yet.
    """
    if _pool(program) in PREFORK:
        yield Advice(
            "with the prefork pool, Celery 5.6.3 and later runs a task twice that begins in the moment of "
            "the stop: remove drain = stop where remote control works; elsewhere use --pool threads, or the "
            "pool of contrib/celery/memkill_pool.py, or an older Celery"
        )


def _pool(program: ProgramInfo) -> str:
    return option_text(program.command, "-P", "--pool") or "prefork"
