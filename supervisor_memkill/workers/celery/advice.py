"""Find supervisord settings of a program that could lose Celery's tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.workers.advice import (
    advise_on_stopasgroup,
    advise_on_stopsignal,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
)
from supervisor_memkill.workers.command_line import option_text
from supervisor_memkill.workers.contract import Advice

STOP_SECONDS = 10
"""supervisord's default. A worker without tasks ends within 2 to 3 s (5.3.6 and 5.7.0, Redis)."""


def advice_on(program: ProgramInfo) -> Sequence[Advice]:
    """Settings that cut running tasks refuse a drain: a task with an ETA may begin after the last look."""
    return [
        *advise_on_stopsignal(
            program,
            {"TERM", "INT"},
            "Celery finishes its tasks at TERM and INT; QUIT cuts them, and others do not end it properly",
            refuses=True,
        ),
        *_advise_on_pool(program),
        *advise_on_stopwaitsecs(program, STOP_SECONDS, "the time of a stop that waits for a task"),
        *advise_on_wrapper(program, "Celery"),
    ]


def _advise_on_pool(program: ProgramInfo) -> Iterator[Advice]:
    """Only the prefork pool, which is the default, runs tasks in child processes."""
    if (option_text(program.command, "-P", "--pool") or "prefork") in ("prefork", "processes"):
        why = "the processes of the prefork pool would die at TERM, and their tasks with them"
        yield from advise_on_stopasgroup(program, why, refuses=True)
