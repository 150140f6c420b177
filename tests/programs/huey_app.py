"""Huey's jobs, and its feed: run as a program, this module enqueues them steadily."""

from __future__ import annotations

import functools
import os

import job_body
from huey import RedisHuey

huey = RedisHuey("jobs", url=os.environ["APP_REDIS_URL"])

work = huey.task()(job_body.run)

# In every worker process; of worker threads, in the first.
huey.on_startup()(functools.cache(job_body.bloat_later))

if __name__ == "__main__":
    job_body.feed(work)
