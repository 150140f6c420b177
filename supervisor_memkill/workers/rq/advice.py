"""What in a program's supervisord settings could cost RQ its jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.workers.settings import (
    drain_advice,
    group_advice,
    option_in,
    signal_advice,
    wrapper_advice,
)


def is_pool(command: str) -> bool:
    """``rq worker-pool``, or django-rq's: the process starts workers and works on nothing itself."""
    return re.search(r"(?:^|\s)(?:worker-pool|rqworker-pool|rqpool)(?:\s|$)", command) is not None


def advice_on(program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
    """Its stop is its drain: what would cut the job in hand refuses one."""
    return [
        *signal_advice(
            program, {"TERM", "INT"}, "on another signal RQ does not finish the job in hand", refuses=True
        ),
        *drain_advice(program, drain_timeout_seconds),
        *wrapper_advice(program, "RQ", refuses=True),
        *_advice_on_class(program),
        *_advice_on_group(program),
    ]


def _advice_on_class(program: ProgramInfo) -> Iterator[Advice]:
    """Tried with 1.16 and 3.0: the job is cut 6 s after TERM (`imminent_shutdown_delay`)."""
    name = option_in(program.command, "-w", "--worker-class") or ""
    if name.endswith("HerokuWorker"):
        yield Advice(
            f"its worker class {name} cuts the job in hand 6 s after the stop: use rq.worker.Worker",
            refuses=True,
        )


def _advice_on_group(program: ProgramInfo) -> Iterator[Advice]:
    """A work horse leads a process group of its own, so the group matters only where jobs run in it."""
    if is_pool(program.command):
        yield from group_advice(
            program,
            "each worker of the pool would get two signals, and RQ takes the second one for an order to kill "
            "its job unless both come within a second",
        )
    elif "SimpleWorker" in program.command:
        yield from group_advice(program, "it reaches what the job in hand has started")
