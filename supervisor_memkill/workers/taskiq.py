"""``worker = taskiq``: taskiq, drained by stopping.

Facts, tried with taskiq 0.13.0 and taskiq-redis 1.2.4 (taskiq/cli/worker/run.py and process_manager.py,
taskiq/receiver/receiver.py, taskiq_redis/redis_broker.py):

- At TERM or INT the parent sends INT to its worker processes within a second. They fetch no more jobs, run
  what they fetched, and exit, all with status 0. Only from the fourth signal after the first on do signals
  count (``--hardkill-count``), so ``stopasgroup`` does no harm while that is above 0.
- ``--wait-tasks-timeout`` cuts jobs that take longer; without it taskiq waits without limit.
- HUP is a reload: the process never ends. Any other signal ends the parent alone.
- At the stop taskiq cancels its waiting read. A job that Redis sent a moment before is dropped: with
  ListQueueBroker it is lost, with RedisStreamBroker another worker runs it after ``idle_timeout``.
- The signal does not wake an idle worker process (its handler sets an asyncio.Event). The process ends at the
  next job, or when its read returns: every 2 s with RedisStreamBroker, never with ListQueueBroker.
- redis-py's ``socket_timeout`` of 5 s ends a ListQueueBroker that was idle for so long, together with its
  running jobs. Below Python 3.12 it can also swallow that cancel, so that an idle RedisStreamBroker never
  ends (asyncio.wait_for). ``socket_timeout=None`` avoids both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from supervisor_memkill.workers.command_line import TimeOption, option_number
from supervisor_memkill.workers.contract import Traits
from supervisor_memkill.workers.queues import QUEUES, arguments_and_options
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo
    from supervisor_memkill.workers.contract import Option

HARDKILL_OPTION = "--hardkill-count"
VALUE_OPTIONS = frozenset(
    {
        *("--app-dir", "-d", "--receiver", "--receiver_arg", "--tasks-pattern", "-tp", "--log-level"),
        *("--log-format", "--workers", "-w", "--max-threadpool-threads", "--shutdown-timeout"),
        *("--reload-dir", "--max-async-tasks", "--max-async-tasks-jitter", "--max-prefetch", "--max-fails"),
        *("--ack-type", "--max-tasks-per-child", "--wait-tasks-timeout", HARDKILL_OPTION),
        "--max-process-pool-processes",
    }
)
"""The options of ``taskiq worker`` that have a value, up to 0.13.0 (taskiq/cli/worker/args.py)."""


class Taskiq(StopThenWait):
    """Identified by the command line. The processes share memory pages, which pss counts once."""

    framework = "taskiq"
    command_text = "taskiq worker"  # `taskiq scheduler` runs no jobs
    traits = Traits(quiets=False, measure="pss")
    options: ClassVar[Mapping[str, Option]] = {**StopThenWait.options, **QUEUES}
    stop = GracefulStop(
        other_signals="at HUP taskiq reloads and never ends, at others its worker processes outlive it",
        job_limit=TimeOption(("--wait-tasks-timeout",)),
        then=TimeOption(("--shutdown-timeout",), default=5.0),  # taskiq/cli/worker/args.py, for the broker
        children_survive_kill=True,
    )

    @classmethod
    def queues_in(cls, title: str) -> frozenset[str]:
        """Its broker stands for the queue: ``taskiq worker app:broker app.tasks``."""
        words = title.partition(cls.command_text)[2].split()
        arguments, _ = arguments_and_options(words, VALUE_OPTIONS)
        return frozenset(arguments[:1])

    def stop_of(self, program: ProgramInfo) -> GracefulStop:
        """With a count of 0 worker processes drop their jobs at the second signal."""
        count = option_number(program.command, HARDKILL_OPTION)
        if count is None or count >= 1:
            return self.stop
        harm = (
            "worker processes get a second signal from their parent, and drop their jobs at it with "
            f"{HARDKILL_OPTION}={count:g}"
        )
        return replace(self.stop, stopasgroup_harm=harm)
