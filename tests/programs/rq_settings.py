"""Read by ``rq worker -c rq_settings`` in the worker's own process, and in no work horse: it leaks."""

from __future__ import annotations

import os

import job_body

REDIS_URL = os.environ["APP_REDIS_URL"]

job_body.bloat_later()
