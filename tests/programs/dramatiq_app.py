"""Dramatiq's jobs, and its feed: run as a program, this module sends them steadily."""

from __future__ import annotations

import os

import dramatiq
import job_body
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["APP_REDIS_URL"]))

work = dramatiq.actor(queue_name="jobs")(job_body.run)

if __name__ == "__main__":
    job_body.feed(work.send)
else:
    job_body.bloat_later()
