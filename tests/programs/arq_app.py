"""arq's jobs, and its feed: run as a program, this module enqueues them steadily."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import job_body
from arq import create_pool
from arq.connections import RedisSettings

REDIS = RedisSettings.from_dsn(os.environ["APP_REDIS_URL"])


async def work(context: dict[str, Any], job: str, seconds: float) -> None:
    await job_body.run_async(job, seconds)


class WorkerSettings:
    functions = (work,)
    redis_settings = REDIS
    job_completion_wait = int(os.environ.get("APP_JOB_COMPLETION_WAIT", "60"))
    health_check_interval = 1
    health_check_key = f"arq:health:{os.getpid()}"


async def feed() -> None:
    pool = await create_pool(REDIS)
    loop = asyncio.get_running_loop()

    def push(job: str, seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(pool.enqueue_job("work", job, seconds), loop).result()

    await asyncio.to_thread(job_body.feed, push)


if __name__ == "__main__":
    asyncio.run(feed())
else:
    job_body.bloat_later()
