"""Intervals in the life of a worker's process: how its memory changed, and which jobs ran. And their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from supervisor_memkill.checked import count, mapping, number, or_none, seconds, text
from supervisor_memkill.dataclass import dataclass

VERSION = 1
MAX_NAME, MAX_CLASSES = 100, 24
"""The longest name of a job's class, in characters, and the most classes of one interval."""
LEAST_SECONDS, MOST_BYTES = 0.01, 2**50
"""No interval is shorter, and no process is larger: a line that says so is damaged."""
MAX_LINE_BYTES = 64 * 1024
"""A line is shorter, whatever the interval holds."""


@dataclass(frozen=True)
class Interval:
    """What the looks at one process showed between two moments."""

    at: float
    """When it ended, in epoch seconds."""
    pool: str
    worker: str
    pid: int
    start: int
    """When supervisord started the process, in epoch seconds."""
    seconds: float
    """Its length."""
    before_bytes: int
    after_bytes: int
    running_seconds: Mapping[str, float] = field(default_factory=dict)
    """How long jobs of each class ran, summed over jobs that ran at the same time; by the looks."""
    runs: Mapping[str, int] | None = None
    """How many jobs of each class began, by the framework's own count; None: it keeps none."""

    @property
    def process(self) -> tuple[str, int, int]:
        return self.worker, self.pid, self.start


def name_of(job_class: str) -> str:
    """The name as it is kept: bounded, and of characters that every file and program takes."""
    return job_class[:MAX_NAME].encode(errors="replace").decode()


def to_line(interval: Interval) -> bytes:
    """One line of ASCII, with its end. Classes beyond the commonest ones are left out."""
    values: dict[str, Any] = {
        "v": VERSION,
        "at": round(interval.at, 1),
        "pool": interval.pool,
        "worker": interval.worker,
        "pid": interval.pid,
        "start": interval.start,
        "seconds": round(interval.seconds, 2),
        "before": interval.before_bytes,
        "after": interval.after_bytes,
        "running": _commonest({name: round(value, 2) for name, value in interval.running_seconds.items()}),
    }
    if interval.runs is not None:
        values["runs"] = _commonest(interval.runs)
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"


def _commonest(values: Mapping[str, Any]) -> dict[str, Any]:
    chosen = sorted(values.items(), key=lambda one: (-one[1], one[0]))[:MAX_CLASSES]
    return {name_of(name): value for name, value in chosen if value > 0}


def from_line(line: bytes) -> Interval:
    """Raises ValueError for anything that is no interval."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError("the line is too long")
    try:
        body = mapping(json.loads(line))
        if count(body["v"]) != VERSION:
            raise ValueError("its version is unknown")
        return Interval(
            at=_positive(body["at"]),
            pool=text(body["pool"]),
            worker=text(body["worker"]),
            pid=count(body["pid"]),
            start=count(body["start"]),
            seconds=_length(body["seconds"]),
            before_bytes=_size(body["before"]),
            after_bytes=_size(body["after"]),
            running_seconds={name: _duration(one) for name, one in mapping(body["running"]).items()},
            runs=or_none(_counts)(body.get("runs")),
        )
    except (KeyError, RecursionError) as error:
        raise ValueError(f"it is not an interval: {error!r:.80}") from error


def _counts(value: Any) -> Mapping[str, int]:
    return {name: count(one) for name, one in mapping(value).items()}


def _duration(value: Any) -> float:
    if not 0 <= number(value) < 2**35:
        raise ValueError(f"{value!r:.40} is no duration")
    return float(value)


def _length(value: Any) -> float:
    if not _positive(value) >= LEAST_SECONDS:
        raise ValueError(f"{value!r:.40} is too short")
    return float(value)


def _size(value: Any) -> int:
    if count(value) > MOST_BYTES:
        raise ValueError(f"{value!r:.40} is more memory than a machine has")
    return int(value)


def _positive(value: Any) -> float:
    if not 0 < seconds(value) < 2**35:
        raise ValueError(f"{value!r:.40} is no time")
    return float(value)
