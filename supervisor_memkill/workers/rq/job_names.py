"""The names of the jobs that RQ workers run: asked for rarely, as nothing but the suspects needs them.

Source: `set_current_job_id` in rq/worker.py (1.16), rq/executions.py (3.0), and `to_dict` in rq/job.py, whose
`description` is the call of the function unless the application gives another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from supervisor_memkill.clock import Clock
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.workers.rq.records import Record
from supervisor_memkill.world.redis_client import ask

EVERY_SECONDS = 10.0
"""At most so often: two round trips."""
DESCRIBED = "(with a description of its own)"
"""In place of the name of a job whose description is no call; it may hold anything."""
_CALL = re.compile(r"([A-Za-z_][\w.]{0,200})\(")


class JobNames:
    """Asks for the names, if it is time."""

    def __init__(self, redis: Callable[[], Any], prefix: str, clock: Clock) -> None:
        self._redis = redis
        self._prefix = prefix
        self._clock = clock
        self._asked_at: float | None = None

    def of(self, records: Iterable[Record]) -> Mapping[str, tuple[str, ...]]:
        """The names of the running jobs by record; without those that are not known at this moment."""
        busy = [record.name for record in records if record.busy]
        now = self._clock()
        if not busy or (self._asked_at is not None and now - self._asked_at < EVERY_SECONDS):
            return {}
        self._asked_at = now
        try:
            return self._ask(busy)
        except MemkillError:
            return {}

    def _ask(self, keys: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Raises MemkillError."""
        replies = iter(ask(self._redis, lambda redis: _current(redis, keys)))
        ids = {key: _ids(next(replies), next(replies)) for key in keys}
        jobs = sorted({job for found in ids.values() for job in found})
        described = ask(self._redis, lambda redis: _descriptions(redis, self._prefix, jobs)) if jobs else []
        names = {job: name_in(text) for job, text in zip(jobs, described, strict=True)}
        known = {key: tuple(names[job] for job in found) for key, found in ids.items() if found}
        return {key: tuple(filter(None, found)) for key, found in known.items() if all(found)}


def _current(redis: Any, keys: Sequence[str]) -> Sequence[Any]:
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.hmget(key, ("current_job",))
        pipe.smembers(f"{key}:executions")  # from 3.0
    replies: Sequence[Any] = pipe.execute()
    return replies


def _ids(current: Any, executions: Any) -> Sequence[str]:
    """The ids of the running jobs; an execution is ``JOB:EXECUTION``."""
    if executions:
        return sorted({str(one).rpartition(":")[0] for one in executions})
    return [str(current[0])] if current and current[0] else []


def _descriptions(redis: Any, prefix: str, jobs: Sequence[str]) -> Sequence[Any]:
    pipe = redis.pipeline(transaction=False)
    for job in jobs:
        pipe.hmget(f"{prefix}:job:{job}", ("description",))
    return [reply[0] for reply in pipe.execute()]


def name_in(description: Any) -> str | None:
    """The function's name in a job's description; None: it has none."""
    if not isinstance(description, str) or not description:
        return None
    call = _CALL.match(description)
    return call[1] if call is not None else DESCRIBED
