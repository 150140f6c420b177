"""``worker = djangoq``: Django-Q2's ``manage.py qcluster``, drained by stopping.

Facts, tried with 1.11.1 on Redis (django_q/cluster.py, worker.py, pusher.py, brokers/):

- The parent starts a sentinel, which starts the workers, the pusher and the monitor, all in one process
  group.
- At TERM or INT to the parent the cluster fetches no more. What it fetched before is still run, up to
  ``queue_limit`` tasks. Then all processes exit, with status 0. A second signal changes nothing.
- With ``stopasgroup`` and TERM the sentinel and the workers end at once, with their tasks, and the parent
  never ends. They ignore INT.
- Any other signal, and SIGKILL, ends the parent alone. The others go on, and take new tasks.
- A task that is cut is lost with the Redis broker, and runs again after ``retry`` with the ORM and SQS
  brokers (read).
"""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from supervisor_memkill.workers.command_line import commands_in
from supervisor_memkill.workers.contract import Traits
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo


class DjangoQ(StopThenWait):
    """Identified by the command line. The processes share memory pages, which pss counts once."""

    framework = "Django-Q2"
    command_text = "qcluster"
    traits = Traits(quiets=False, measure="pss")
    stop = GracefulStop(
        other_signals="at any other signal Django-Q2's parent process ends alone, and its other processes go "
        "on taking tasks",
        longest="the time for all tasks that a cluster has fetched: the longest task x (1 + queue_limit / "
        "workers)",
        stopasgroup_harm="the running tasks would be lost, and the cluster would never end",
        children_survive_kill=True,
    )

    @classmethod
    def matches_command(cls, title: str) -> bool:
        """Also the title that it gives itself with setproctitle, ``qcluster NAME``."""
        return cls.command_text in commands_in(title)

    def stop_of(self, program: ProgramInfo) -> GracefulStop:
        """The processes below the parent ignore INT: a stop of the whole group by INT does no harm."""
        return replace(self.stop, stopasgroup_harm="") if program.stopsignal == signal.SIGINT else self.stop
