"""RQ's worker, without the job that RQ's own stop loses (rq/rq issue 2236).

RQ's worker ends at once at TERM or INT if no job runs, even if it has just taken a job off its queue. This
worker looks for the request to stop only before it takes a job, so that a job that was taken always runs.
Therefore an idle worker needs up to 5 s to stop.

Copy this file beside your application, and start the worker with the option
``--worker-class memkill_worker.FinishingWorker``. Tried with RQ 1.16.2 and 3.0.0.
"""

from rq import SimpleWorker, Worker
from rq.worker import WorkerStatus

try:
    from rq.exceptions import StopRequested
except ImportError:  # below RQ 3.0
    from rq.worker import StopRequested

IDLE_STOP_SECONDS = 5


class Finishing:
    def _shutdown(self):
        if self.get_state() == WorkerStatus.BUSY:
            super()._shutdown()
            return
        # No command to Redis here: the signal may have interrupted one.
        self._stop_requested = True
        if self.scheduler:
            self.stop_scheduler()

    @property
    def should_run_maintenance_tasks(self):
        # RQ asks this right before it takes a job, and not between the queue and the begin of the job.
        if self._stop_requested:
            raise StopRequested
        return super().should_run_maintenance_tasks

    @property
    def dequeue_timeout(self):
        return min(IDLE_STOP_SECONDS, super().dequeue_timeout)


class FinishingWorker(Finishing, Worker):
    """In place of ``rq.worker.Worker``."""


class FinishingSimpleWorker(Finishing, SimpleWorker):
    """In place of ``rq.worker.SimpleWorker``."""
