"""Celery drained by its stop, for workers that its remote control does not reach.

That is so on SQS and other brokers without a fanout exchange (celery/worker/consumer/control.py: include_if),
with ``worker_enable_remote_control = False``, and with a solo pool that is always busy.

Facts, tried with 5.3.6 and 5.7.0 (celery/apps/worker.py, celery/worker/worker.py):

- TERM is Celery's warm shutdown: it takes no more tasks, gives back what it fetched in advance, finishes its
  running tasks without a limit of its own, and exits with status 0. A second TERM changes nothing.
- INT is the same with status 1. A second INT cuts the tasks. QUIT cuts them at once, or after
  ``worker_soft_shutdown_timeout``, which bounds nothing but this cold shutdown.
- With ``REMAP_SIGTERM=SIGQUIT`` in the environment TERM is QUIT, and INT is as before.
- TERM for the whole process group ends the processes of a prefork pool together with their tasks.
- A task with an ETA that becomes due in the moment of the stop may be both run and given back.
- From 5.6.3 on (and in 5.2), the prefork pool gives back a task that it has just written to one of its
  processes, and the process runs this task all the same (celery/concurrency/asynpool.py: flush). In 54 stops
  of busy workers of 5.7.0, all tasks that ran twice were such tasks. 5.3 to 5.6.2 and the pools `threads` and
  `solo` are free of it. Such a stop may also take 30 s longer.
  contrib/celery/memkill_pool.py is a prefork pool without this fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.workers.celery import advice, nodes
from supervisor_memkill.workers.command_line import option_text
from supervisor_memkill.workers.contract import Advice, Reading, Target, Tools, Traits
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

DEFAULT_QUEUES = "the queues of the application's task_queues"
"""In place of the queues of a worker without ``-Q``: their names stand in the application alone."""


class ByStop(StopThenWait):
    """Identified by the command line; asks nothing of the broker."""

    framework = "Celery"
    command_text = "celery worker"
    command_rejects: ClassVar[Mapping[str, str]] = {
        "--detach": "remove it: with --detach supervisord does not see the worker",
    }
    traits = Traits(quiets=False, measure="pss")
    stop = GracefulStop(
        signals=advice.WARM_SIGNALS, other_signals=advice.OTHER_SIGNALS, jobs_share_group=False
    )

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None:
        super().__init__(values, tools)
        self._remapped = advice.Remapped()

    @classmethod
    def is_worker(cls, title: str) -> bool:
        return nodes.is_worker(title)

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        self._remapped.learn(targets, table)
        return super().read(targets, table)

    @classmethod
    def queues_in(cls, title: str) -> frozenset[str]:
        names = nodes.AIRFLOW_QUEUES if nodes.is_airflow(title) else ("--queues", "-Q")
        given = option_text(title, *names)
        excluded = option_text(title, "--exclude-queues", "-X")
        if given is None:
            return frozenset({f"{DEFAULT_QUEUES} without {excluded}" if excluded else DEFAULT_QUEUES})
        return frozenset(filter(None, given.split(",")))

    def more_advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Iterator[Advice]:
        yield from advice.advise_on_prefork(program)
        yield from advice.advise_on_warm_shutdown(program)
        if self._remapped.is_remapped(program.worker):
            yield from advice.advise_on_remapped(program, refuses=True)
        if self._remapped.is_hidden(program.worker):
            yield from advice.advise_on_hidden(program)
