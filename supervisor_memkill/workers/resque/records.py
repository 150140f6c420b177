"""What a Resque worker writes about itself, as values. Nothing here reads or writes Redis.

Source: Resque's lib/resque/data_store.rb and lib/resque/worker.rb, 1.20 to 3.0; below 1.27 worker.rb alone.
php-resque's lib/Worker/ResqueWorker.php, 1.3.6: the same keys, without heartbeat.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.ownership import Began, only_record

HEARTBEAT_STALE_SECONDS = 300.0
"""The default of `prune_interval` (lib/resque.rb): after it, any other worker may remove the record."""
ISO_TIME = "%Y-%m-%dT%H:%M:%S%z"
ACTIVE_JOB = "ActiveJob::QueueAdapters::ResqueAdapter::JobWrapper"
"""The class that Active Job enqueues; the job's own class is in its argument."""


class Turn(enum.Enum):
    """Where a worker's loop stands, by the process title that it gives itself (`procline`)."""

    PAUSED = "Paused"
    """The last turn had no job, and the worker takes none."""
    WAITING = "Waiting"
    """The last turn found no job; the worker asks again soon."""
    WORKING = "Processing|Forked"
    """A job is running, or was until a moment ago."""


_RUBY_TITLE = re.compile(r"resque-[0-9]+\.[0-9]+\S*: (Paused(?=\s*$)|Waiting(?= for)|Processing|Forked)")
_PHP_TITLE = re.compile(
    r"resque-[0-9.]+ \(.*\): (Paused(?=\s*$)|Waiting(?=\s*$| with interval)|Processing|Forked)"
)


@dataclass(frozen=True)
class Record:
    """One registered worker of this host."""

    identity: str
    """``host:pid:queues``."""
    pid: int
    started: float
    """Epoch seconds, by this host's clock; whole seconds."""
    heartbeat: float | None
    """Epoch seconds, by Redis's clock from 1.27 on; None below 1.26, which has no heartbeat."""
    is_working: bool
    jobs: tuple[str, ...] | None
    """The class of the running job; None if unknown."""

    @property
    def queues(self) -> frozenset[str]:
        return frozenset(self.identity.split(":", 2)[2].split(","))


def turn_in(title: str) -> Turn | None:
    """What the title of a Resque worker shows; None for every other title, and while a worker boots.

    ``resque-2.7.0: Waiting for high,default``, maybe after RESQUE_PROCLINE_PREFIX; of php-resque
    ``resque-1.2 (high,default): Waiting with interval 5``. The worker writes such a title only in its loop,
    when it handles signals: USR2 kills a process that does not handle it.
    """
    match = _RUBY_TITLE.search(title) or _PHP_TITLE.search(title)
    if match is None:
        return None
    return next(turn for turn in Turn if match[1] in turn.value.split("|"))


def is_php(title: str) -> bool:
    """The title is php-resque's."""
    return _PHP_TITLE.search(title) is not None or is_blocking(title)


def is_blocking(title: str) -> bool:
    """The title is that of a php-resque with BLOCKING, which shows no pause."""
    return re.search(r"resque-[0-9.]+ \(.*\): Waiting with blocking", title) is not None


def owner_in(identity: str) -> tuple[str, int] | None:
    """The host name and the pid in an identity; None for every other text."""
    host, _, rest = identity.partition(":")
    pid, colon, _queues = rest.partition(":")
    return (host, int(pid)) if host and colon and re.fullmatch(r"[0-9]{1,10}", pid) else None


def parse_record(identity: str, pid: int, values: Sequence[Any]) -> Record | None:
    """The record in a worker's start time, heartbeat and running job; None if it is gone.

    Raises Unknown for values that Resque does not write.
    """
    started, heartbeat, job = values
    if started is None:
        return None
    try:
        return Record(
            identity=identity,
            pid=pid,
            # Ruby's Time#to_s: 2026-05-01 10:00:00 +0000, or UTC for the zone; PHP's date('c')
            started=_epoch_seconds(
                started.replace(" UTC", " +0000"), ISO_TIME if "T" in started[:11] else "%Y-%m-%d %H:%M:%S %z"
            ),
            # Ruby's Time#iso8601
            heartbeat=_epoch_seconds(heartbeat, ISO_TIME) if heartbeat is not None else None,
            is_working=bool(job),
            jobs=_jobs(job),
        )
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unknown(f"the Resque record {identity} cannot be read: {error}") from error


def _epoch_seconds(text: str, form: str) -> float:
    return datetime.strptime(text, form).timestamp()  # noqa: DTZ007 - each form has a zone


def _jobs(job: Any) -> tuple[str, ...] | None:
    """``{"queue": ..., "run_at": ..., "payload": {"class": ..., "args": [...]}}``, or nothing."""
    if not job:
        return ()
    try:
        payload = json.loads(job)["payload"]
        name = payload["class"]
        if name == ACTIVE_JOB:
            name = payload["args"][0]["job_class"]
    except (TypeError, ValueError, LookupError, RecursionError):
        return None
    return (name,) if isinstance(name, str) else None


def record_of(began: Mapping[int, Began], now: float, records: Iterable[Record]) -> Record | None:
    """The record of the supervised process, otherwise of the worker below it; None without one.

    `began`: when each process of the tree began, the supervised one first. `now` is epoch seconds by Redis's
    clock. Raises Unknown if every heartbeat is stale, or if several records match.
    """
    found = [one for one in records if one.pid in began and began[one.pid].fits(one.started)]
    own = [record for record in found if record.pid == next(iter(began))] or found
    if not own:
        return None
    fresh = [record for record in own if _silent_seconds(record, now) <= HEARTBEAT_STALE_SECONDS]
    if not fresh:
        silent = min(_silent_seconds(record, now) for record in own)
        raise Unknown(f"no heartbeat from Resque for {silent:.0f} s")
    return only_record(fresh, "Resque workers", "resque:workers and resque-pool")


def _silent_seconds(record: Record, now: float) -> float:
    """Since its last heartbeat; 0 for a version without heartbeats."""
    return 0.0 if record.heartbeat is None else now - record.heartbeat
