"""RQ's jobs, and its feed: run as a program, this module enqueues them steadily."""

from __future__ import annotations

import os

import job_body
import redis
from rq import Queue


def work(job: str, seconds: float) -> None:
    job_body.run(job, seconds)


if __name__ == "__main__":
    queue = Queue("default", connection=redis.Redis.from_url(os.environ["APP_REDIS_URL"]))
    job_body.feed(lambda job, seconds: queue.enqueue("rq_app.work", job, seconds, job_id=job))
