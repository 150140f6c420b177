"""taskiq's jobs, and its feed: run as a program, this module kicks them steadily."""

from __future__ import annotations

import asyncio
import os

import job_body
from taskiq_redis import ListQueueBroker, RedisStreamBroker

URL = os.environ["APP_REDIS_URL"]

# socket_timeout=None: redis-py's own of 5 s ends an idle ListQueueBroker, and can keep a RedisStreamBroker
# from ending. Both brokers may hand the last message of a stop to nobody: the stream's is claimed after
# idle_timeout, which any job that takes longer, on a busy machine too, would be as well, and run twice.
if os.environ.get("APP_BROKER") == "list":
    broker = ListQueueBroker(URL, socket_timeout=None)
else:
    broker = RedisStreamBroker(URL, consumer_id="0", idle_timeout=60_000, socket_timeout=None)

work = broker.task(task_name="work")(job_body.run_async)


async def feed() -> None:
    await broker.startup()
    loop = asyncio.get_running_loop()

    def push(job: str, seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(work.kiq(job, seconds), loop).result()

    await asyncio.to_thread(job_body.feed, push)


if __name__ == "__main__":
    asyncio.run(feed())
else:
    job_body.bloat_later()
