"""Feeds Sidekiq as its own client would."""

from __future__ import annotations

import json
import secrets
import time

import job_body


def push(job: str, seconds: float) -> None:
    now = time.time()
    values = {"class": "FedJob", "args": [job, seconds], "jid": secrets.token_hex(12), "queue": "default"}
    with job_body.client() as store:
        store.sadd("queues", "default")
        store.lpush(
            "queue:default", json.dumps({**values, "retry": True, "created_at": now, "enqueued_at": now})
        )


if __name__ == "__main__":
    job_body.feed(push)
