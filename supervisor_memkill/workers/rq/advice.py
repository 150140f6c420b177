"""Find supervisord settings of a program that could lose RQ's jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.workers.command_line import option_text
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.workers.stopping import GracefulStop

STOP = GracefulStop(
    other_signals="at any other signal RQ does not finish the running job",
    stopasgroup_refuses=False,
    jobs_share_group=False,  # a work horse leads a process group of its own
)


def is_pool(command: str) -> bool:
    """``rq worker-pool``, or django-rq's: the process starts workers and runs no job itself."""
    return re.search(r"(?:^|\s)(?:worker-pool|rqworker-pool|rqpool)(?:\s|$)", command) is not None


def stop_of(program: ProgramInfo) -> GracefulStop:
    """stopasgroup matters where jobs or workers are in the supervised process's group."""
    harm = ""
    if is_pool(program.command):
        harm = (
            "each worker of the pool would get two signals, and RQ kills the running job at the second one "
            "unless both come within a second"
        )
    elif "SimpleWorker" in program.command:
        harm = "the stop signal also reaches processes that the running job has started"
    return replace(STOP, stopasgroup_harm=harm)


def advise_on_worker_class(program: ProgramInfo) -> Iterator[Advice]:
    """Tried with 1.16 and 3.0: the job is cut 6 s after TERM (`imminent_shutdown_delay`)."""
    name = option_text(program.command, "-w", "--worker-class") or ""
    if name.endswith("HerokuWorker"):
        yield Advice(
            f"worker class {name} cuts the running job 6 s after the stop signal: use rq.worker.Worker",
            refuses=True,
        )
