"""What an RQ worker writes about itself, as values. Nothing here reads or writes anything.

Source: `register_birth`, `set_state` and `heartbeat` in RQ's rq/worker.py (1.16) and rq/worker/base.py (3.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from supervisor_memkill.errors import Unknown

FIELDS = (
    "hostname",
    "pid",
    "state",
    "last_heartbeat",
    "death",
    "queues",
    "shutdown_requested_date",
    "version",
)
"""The fields of a worker's hash that a Record is made of."""
BUSY_STATES = {"started": 0, "idle": 0, "suspended": 0, "busy": 1}
"""`WorkerStatus` of 1.16 to 3.0, and the jobs in hand that each means."""
TIME_FORMATS = ("%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z")
"""With a fraction in 1.16 to 3.0, without in what they may still find (`utcparse` in rq/utils.py)."""


@dataclass(frozen=True)
class Record:
    """One worker of this host, as it last wrote of itself."""

    name: str
    pid: int
    beat: float
    """Epoch seconds, by this host's clock."""
    busy: int
    queues: frozenset[str] = frozenset()
    is_suspended: bool = False
    is_stopping: bool = False
    """It was told to stop with a job in hand: a second signal would kill that job."""
    is_below_3: bool = True
    """Its version is, or is unknown."""


def parse_record(name: str, hostname: str, fields: Sequence[Any], executions: Any) -> Record | None:
    """The record in the values of FIELDS; None when it is gone, dead, or another host's.

    `executions` is the size of the worker's set of executions, which RQ keeps from 3.0 on. Raises
    Unknown for what RQ would not have written.
    """
    host, pid, state, beat, death, queues, stopping, version = fields
    if host != hostname or death is not None:
        return None
    try:
        in_hand = BUSY_STATES[state] if state is not None else 0  # none yet: it has just been born
        return Record(
            name=name,
            pid=_whole(pid),
            beat=_epoch_seconds(beat),
            busy=max(in_hand, _whole(executions)),
            queues=frozenset(queues.split(",")) if queues else frozenset(),
            is_suspended=state == "suspended",
            is_stopping=stopping is not None,
            is_below_3=re.match(r"[3-9]|[1-9][0-9]", version or "") is None,
        )
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise Unknown(f"the RQ record {name} cannot be read: {error}") from error


def _whole(value: Any) -> int:
    """int() itself takes ``1_0`` and white space too."""
    if not re.fullmatch(r"[0-9]{1,10}", str(value)):
        raise ValueError(f"{str(value)[:40]!r} is no whole number")
    return int(value)


def _epoch_seconds(text: str) -> float:
    for form in TIME_FORMATS:
        try:
            # %z takes the Z that RQ ends its times with; UTC is what they all are.
            return datetime.strptime(text, form).astimezone(timezone.utc).timestamp()
        except ValueError:
            continue
    raise ValueError(f"{text[:40]!r} is no time")


def records_of(pids: Sequence[int], since: float, records: Iterable[Record]) -> tuple[Record, ...]:
    """The record of the process pids[0], else those of the processes below it.

    `since` (epoch seconds) is when the supervised process started: an older beat is of a dead process
    whose pid came round again, as it does at once in a container that restarts. There is no age at which
    a beat is too old: an idle worker writes every 405 s, and the hash's own TTL of 480 s ends with it (both
    by ``--worker-ttl``). Raises Unknown when two have one pid.
    """
    found = tuple(record for record in records if record.pid in pids and record.beat >= since)
    if len({record.pid for record in found}) < len(found):
        raise Unknown("two machines write RQ records under this hostname")
    return tuple(record for record in found if record.pid == pids[0]) or found
