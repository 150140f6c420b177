"""A Celery task with a complex number, which JSON cannot hold: run as a program, this module sends one.

The task runs until its worker is killed.
"""

from __future__ import annotations

import os
import threading

import redis
from celery import Celery

URL = os.environ["APP_REDIS_URL"]
app = Celery("celery_objects_app", broker=URL)
app.conf.task_ignore_result = True
app.conf.accept_content = ["json", "pickle"]
app.conf.broker_connection_retry_on_startup = True


def run(_number: complex) -> None:
    redis.Redis.from_url(URL).set("begun", 1)
    threading.Event().wait()


hold = app.task(name="hold")(run)


if __name__ == "__main__":
    hold.apply_async((1j,), serializer="pickle")
