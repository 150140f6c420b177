"""Find supervisord settings of a program that could lose Celery's tasks."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import ProgramInfo
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


class Remapped:
    """Which workers have REMAP_SIGTERM in their environment, as far as that can be read: once per process."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int, bool]] = {}

    def learn(self, targets: Iterable[Target], table: ProcessTable) -> None:
        for target in targets:
            process = target.process
            if self._found.get(process.worker, (0, 0, False))[:2] != (process.pid, process.start):
                with contextlib.suppress(Unknown):
                    is_remapped = bool(table.environment(process.pid).get(REMAPPED))
                    self._found[process.worker] = process.pid, process.start, is_remapped

    def is_remapped(self, worker: str) -> bool:
        return self._found.get(worker, (0, 0, False))[2]


def advice_on(program: ProgramInfo, *, is_remapped: bool = False) -> Sequence[Advice]:
    """Settings that cut running tasks refuse a drain: a task with an ETA may begin after the last look."""
    return [
        *advise_on_stopsignal(
            program,
            {"TERM", "INT"},
            "Celery finishes its tasks at TERM and INT; QUIT cuts them, and others do not end it properly",
            refuses=True,
        ),
        *_advise_on_pool(program),
        *_advise_on_stop_time(program),
        *(_advise_on_remapped(program) if is_remapped else ()),
        *advise_on_wrapper(program, "Celery"),
    ]


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


def _advise_on_remapped(program: ProgramInfo) -> Iterator[Advice]:
    """A drained worker has no running task, so that this does not refuse a drain."""
    if program.stopsignal == signal.SIGTERM:
        yield Advice(
            f"{REMAPPED} makes TERM cut running tasks after worker_soft_shutdown_timeout: set stopsignal = "
            f"INT, or remove {REMAPPED} from the worker's environment",
            cuts_jobs=True,
        )


def _advise_on_pool(program: ProgramInfo) -> Iterator[Advice]:
    """Only the prefork pool, which is the default, runs tasks in child processes."""
    if (option_text(program.command, "-P", "--pool") or "prefork") in ("prefork", "processes"):
        why = "the processes of the prefork pool would die at TERM, and their tasks with them"
        yield from advise_on_stopasgroup(program, why, refuses=True)
