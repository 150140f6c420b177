"""Celery's tasks, and its feed: run as a program, this module sends them steadily.

APP_BROKER_URL names the broker, by default APP_REDIS_URL.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import job_body
from celery import Celery
from celery.signals import worker_ready

app = Celery("celery_app", broker=os.environ.get("APP_BROKER_URL") or os.environ["APP_REDIS_URL"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_transport_options = json.loads(os.environ.get("APP_TRANSPORT_OPTIONS", "{}"))
app.conf.control_exchange = os.environ.get("APP_CONTROL_EXCHANGE", "celery")
app.conf.worker_enable_remote_control = "APP_WITHOUT_CONTROL" not in os.environ
app.conf.task_acks_late = "APP_ACKS_LATE" in os.environ
app.conf.worker_prefetch_multiplier = int(os.environ.get("APP_PREFETCH", "4"))


work = app.task(name="work")(job_body.run)


def leak(sender: Any, **_: object) -> None:
    """In the main process, once it takes tasks; a replacement leaks only when its drain is over.

    Sooner, and it would be held to need so much memory from the start.
    """
    with job_body.client() as store:
        is_first = store.incr(f"app:started:{os.environ['SUPERVISOR_PROCESS_NAME']}") == 1
    threading.Thread(target=leak_when, args=(is_first,), daemon=True).start()


def leak_when(is_first: bool) -> None:
    log = Path("memkill.log")
    while not is_first and not re.search(rf"drain\.done .*pid={os.getpid()} ", log.read_text()):
        time.sleep(0.1)
    job_body.bloat_later()


worker_ready.connect(leak)


if __name__ == "__main__":
    eta = float(os.environ.get("APP_COUNTDOWN", "0")) or None
    job_body.feed(lambda job, seconds: work.apply_async((job, seconds), countdown=eta, task_id=job))
