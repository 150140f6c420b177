"""What the tests' applications do, whatever framework runs them: jobs that leave a record, and a leak.

It runs in the framework's own interpreter: nothing but the standard library and redis-py is used.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable

import redis

RECORD, PUSHED, ENOUGH = "app:record", "app:pushed", "app:enough"
STALLED_SECONDS = 60.0

_held: list[bytes] = []


def client() -> redis.Redis:
    return redis.Redis.from_url(os.environ["APP_REDIS_URL"])


def run(job: str, seconds: float) -> None:
    """One job: it is written down when it begins and when it is done."""
    note("start", job)
    time.sleep(seconds)
    note("finish", job)


async def run_async(job: str, seconds: float) -> None:
    """The same for a framework of coroutines."""
    note("start", job)
    await asyncio.sleep(seconds)
    note("finish", job)


def note(word: str, job: str) -> None:
    """Write down what happened to a job, when, and by which process, parent and group."""
    fact = [word, job, time.time(), os.getpid(), os.getppid(), os.getpgrp()]
    with client() as store:
        store.rpush(RECORD, json.dumps(fact))


def bloat_later() -> None:
    """Hold APP_BLOAT_MEGABYTES from APP_BLOAT_SECONDS on, in this process."""
    seconds, megabytes = float(os.environ["APP_BLOAT_SECONDS"]), int(os.environ["APP_BLOAT_MEGABYTES"])
    timer = threading.Timer(seconds, lambda: _held.append(b"x" * (megabytes * 1024 * 1024)))
    timer.daemon = True
    timer.start()


def feed(push: Callable[[str, float], object]) -> None:
    """Push jobs steadily until it is enough; each is written down before it is pushed.

    With APP_MOST_WAITING none is pushed while so many are not finished, unless none gets finished for
    STALLED_SECONDS: some brokers hand what a stop left behind to a worker only together with another job.
    """
    most = int(os.environ.get("APP_MOST_WAITING", "0"))
    number, finished, since = 0, 0, time.monotonic()
    with client() as store:
        while not store.exists(ENOUGH):
            time.sleep(float(os.environ["APP_FEED_EVERY_SECONDS"]))
            done = int(str(store.llen(RECORD))) // 2  # A job that is done left two notes.
            if done > finished:
                finished, since = done, time.monotonic()
            if most and number - done >= most and time.monotonic() - since < STALLED_SECONDS:
                continue
            since = time.monotonic()
            job = f"job-{number}"
            store.rpush(PUSHED, job)
            push(job, float(os.environ["APP_JOB_SECONDS"]))
            number += 1
