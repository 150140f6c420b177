"""What in a program's supervisord settings could cost Celery its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.workers.settings import (
    group_advice,
    option_in,
    signal_advice,
    wait_advice,
    wrapper_advice,
)

STOP_SECONDS = 10
"""supervisord's own default. A worker without tasks ends within 2 to 3 s (5.3.6 and 5.7.0, Redis)."""


def advice_on(program: ProgramInfo) -> Sequence[Advice]:
    """What cuts the tasks in hand at a stop refuses: one with an ETA may begin after the last look."""
    return [
        *signal_advice(
            program,
            {"TERM", "INT"},
            "Celery finishes its tasks on TERM; QUIT cuts them, and others do not end it as it should",
            refuses=True,
        ),
        *_advice_on_group(program),
        *wait_advice(program, STOP_SECONDS, "the time that a stop takes when it has to wait for a task"),
        *wrapper_advice(program, "Celery"),
    ]


def _advice_on_group(program: ProgramInfo) -> Iterator[Advice]:
    """Only the prefork pool, which is the default, works in processes of its own."""
    if (option_in(program.command, "-P", "--pool") or "prefork") in ("prefork", "processes"):
        why = "the processes of the prefork pool would die on TERM, and their tasks with them"
        yield from group_advice(program, why, refuses=True)
