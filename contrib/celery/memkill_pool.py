"""Celery's prefork pool, without the tasks that its warm shutdown runs twice.

At a shutdown, Celery 5.6.3 and later gives a task back to the broker if it has not heard yet that the task
began, even if the task was already written to a process of the pool (celery/concurrency/asynpool.py: flush).
That process runs the task all the same. This pool remembers the tasks that were written, so that they are
acknowledged as at any other time.

Copy this file beside your application. Start the worker with ``--pool custom``, and with the environment
variable ``CELERY_CUSTOM_WORKER_POOL=memkill_pool:Prefork``. Tried with Celery 5.3.6 and 5.7.0.
"""

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool
from celery.worker import state


class RememberingPool(AsynPool):
    def flush(self):
        written = {
            number: job for number, job in self._cache.items() if getattr(job, "_write_to", None) is not None
        }
        super().flush()
        # After a lost connection the messages cannot be acknowledged: Celery's own way is right.
        if state.should_stop is not None:
            self._cache.update(written)


class Prefork(TaskPool):
    Pool = RememberingPool
