"""What an RQ worker writes about itself, as values. Nothing here reads or writes Redis.

Source: `register_birth`, `set_state` and `heartbeat` in RQ's rq/worker.py (1.16) and rq/worker/base.py (3.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.ownership import Began

FIELDS = (
    "hostname",
    "pid",
    "state",
    "birth",
    "death",
    "queues",
    "shutdown_requested_date",
    "version",
)
"""The fields of a worker's hash that make a Record."""
BUSY_STATES = {"started": 0, "idle": 0, "suspended": 0, "busy": 1}
"""`WorkerStatus` of 1.16 to 3.0, and the number of running jobs that each state means."""
TIME_FORMATS = ("%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z")
"""1.16 to 3.0 write a fraction; older records may have none (`utcparse` in rq/utils.py)."""


@dataclass(frozen=True)
class Record:
    """One worker of this host, as it last wrote about itself."""

    name: str
    pid: int
    host: str
    birth: float
    """When it registered, in epoch seconds by its own clock."""
    busy: int
    queues: frozenset[str] = frozenset()
    is_suspended: bool = False
    is_stopping: bool = False
    """It got its stop signal while a job was running: a second signal would kill that job."""
    is_below_3: bool = True
    """Its version is below 3.0, or is unknown."""


def is_worker_key(workers_key: str, key: str) -> bool:
    """Whether a member of a set is the key of an RQ worker, such as ``rq:worker:NAME`` in ``rq:workers``."""
    return key.startswith(f"{workers_key.removesuffix('s')}:")


def parse_record(name: str, fields: Sequence[Any], executions: Any) -> Record | None:
    """The record in the values of FIELDS; None if it is gone or dead.

    `executions` is the size of the worker's set of executions, which RQ keeps from 3.0 on. Raises
    Unknown for values that RQ does not write.
    """
    host, pid, state, birth, death, queues, stopping, version = fields
    if host is None or death is not None:
        return None
    try:
        running = (
            BUSY_STATES[state] if state is not None else 0
        )  # no state yet: the worker has just registered
        return Record(
            name=name,
            host=host,
            pid=_whole(pid),
            birth=_epoch_seconds(birth),
            busy=max(running, _whole(executions)),
            queues=frozenset(queues.split(",")) if queues else frozenset(),
            is_suspended=state == "suspended",
            is_stopping=stopping is not None,
            is_below_3=re.match(r"[3-9]|[1-9][0-9]", version or "") is None,
        )
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise Unknown(f"the RQ record {name} cannot be read: {error}") from error


def _whole(value: Any) -> int:
    """The number in a text of digits: int() would also take ``1_0`` and white space. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{1,10}", str(value)):
        raise ValueError(f"{str(value)[:40]!r} is not a whole number")
    return int(value)


def _epoch_seconds(text: str) -> float:
    for form in TIME_FORMATS:
        try:
            # %z reads the Z at the end of RQ's times, which are all UTC.
            return datetime.strptime(text, form).astimezone(timezone.utc).timestamp()
        except ValueError:
            continue
    raise ValueError(f"{text[:40]!r} is not a time")


def records_of(began: Mapping[int, Began], records: Iterable[Record]) -> tuple[Record, ...]:
    """The record of the supervised process, otherwise the records of the processes below it.

    `began`: when each process of the tree began, the supervised one first. No record is too old by its last
    heartbeat: an idle worker writes every 405 s, and the hash itself expires after 480 s (both by
    ``--worker-ttl``). Raises Unknown if two records have the same pid.
    """
    found = tuple(one for one in records if one.pid in began and began[one.pid].fits(one.birth))
    if len({record.pid for record in found}) < len(found):
        raise Unknown(
            f"two machines or containers with the host name {found[0].host} write RQ records of the same "
            "pid: give each its own host name"
        )
    return tuple(record for record in found if record.pid == next(iter(began), 0)) or found
