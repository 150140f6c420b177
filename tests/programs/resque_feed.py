"""Enqueues jobs steadily, as Resque would: JSON on a list."""

from __future__ import annotations

import json

import job_body

if __name__ == "__main__":
    with job_body.client() as store:
        job_body.feed(
            lambda job, seconds: store.rpush(
                "resque:queue:default", json.dumps({"class": "Recorded", "args": [job, seconds]})
            )
        )
