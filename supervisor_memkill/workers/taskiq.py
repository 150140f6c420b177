"""``worker = taskiq``: taskiq, drained by its own stop.

What a drain stands on, tried with taskiq 0.13.0 and taskiq-redis 1.2.4 (taskiq/cli/worker/run.py and
process_manager.py, taskiq/receiver/receiver.py, taskiq_redis/redis_broker.py):

- At TERM or INT the parent sends INT to its worker processes within a second; they fetch no more, run
  what they fetched, and exit, all with status 0. Signals only count from the fourth after the first on
  (``--hardkill-count``), so ``stopasgroup`` does no harm while that is above 0.
- ``--wait-tasks-timeout`` cuts what takes longer; without it taskiq waits for ever.
- HUP is a reload: the process never ends. Any other signal ends the parent alone.
- At its stop taskiq cancels the read that it waits in. What Redis answered a moment before is dropped:
  with ListQueueBroker it is lost, with RedisStreamBroker another worker runs it after ``idle_timeout``.
- The signal does not wake an idle worker process (its handler sets an asyncio.Event): it ends at the next
  job, or when its read returns, every 2 s with RedisStreamBroker and never with ListQueueBroker.
- redis-py's ``socket_timeout`` of 5 s ends a ListQueueBroker that was idle for so long, with its jobs in
  hand; and below Python 3.12 it can swallow that cancel, so that an idle RedisStreamBroker never ends
  (asyncio.wait_for). ``socket_timeout=None`` does away with both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.workers.contract import Advice, Traits
from supervisor_memkill.workers.settings import (
    drain_advice,
    group_advice,
    signal_advice,
    wait_advice,
    wrapper_advice,
)
from supervisor_memkill.workers.stop_advice import kill_advice, limit_advice, number_in, reach_advice
from supervisor_memkill.workers.stopping import StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo

WAIT_OPTION, SHUTDOWN_OPTION, HARDKILL_OPTION = (
    "--wait-tasks-timeout",
    "--shutdown-timeout",
    "--hardkill-count",
)
DEFAULT_SHUTDOWN_SECONDS = 5.0
"""taskiq/cli/worker/args.py (0.13.0): for its broker, after the jobs."""


class Taskiq(StopThenWait):
    """Knows it by its command line; its processes share pages, which pss counts once."""

    framework = "taskiq"
    program = "taskiq worker"  # `taskiq scheduler` works on nothing
    traits = Traits(quiets=False, measure="pss")

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        return [
            *signal_advice(
                program,
                {"TERM", "INT"},
                "at HUP taskiq reloads and never ends, at others its worker processes outlive it",
                refuses=True,
            ),
            *drain_advice(program, drain_timeout_seconds),
            *_advice_on_its_limit(program, drain_timeout_seconds),
            *_advice_on_group(program),
            *kill_advice(program, "taskiq"),
            *wrapper_advice(program, "taskiq", refuses=True),
        ]


def _advice_on_its_limit(program: ProgramInfo, drain_timeout_seconds: float) -> Iterator[Advice]:
    seconds = number_in(program.command, WAIT_OPTION)
    if seconds is None:
        return
    yield from limit_advice(seconds, f"{WAIT_OPTION}={seconds:g}", "taskiq", drain_timeout_seconds)
    then = number_in(program.command, SHUTDOWN_OPTION)
    whole = seconds + (DEFAULT_SHUTDOWN_SECONDS if then is None else then)
    yield from wait_advice(program, whole, f"{WAIT_OPTION} and {SHUTDOWN_OPTION} together")


def _advice_on_group(program: ProgramInfo) -> Iterator[Advice]:
    count = number_in(program.command, HARDKILL_OPTION)
    if count is not None and count < 1:
        why = f"worker processes get a second signal from their parent, and with {HARDKILL_OPTION}={count:g} "
        yield from group_advice(program, why + "drop their jobs at it", refuses=True)
    else:
        yield from reach_advice(program)
