"""The records of the history, and their JSON: one line per record.

A field that is None is unknown, or does not apply. A reader ignores keys that it does not know, so that a
later version may add some.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from supervisor_memkill.checked import count, flag, items, mapping, or_none, seconds, text
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.curves import Points
from supervisor_memkill.worded import Worded

VERSION = 1
MAX_TEXT, MAX_NAME, MAX_NAMES, MAX_POINTS_READ = 500, 100, 20, 1000
"""The longest text in a record, in characters; the longest name of a job, and the most names."""
MAX_LINE_BYTES = 128 * 1024
"""A record is shorter, whatever it holds."""

T = TypeVar("T")


class Outcome(Worded):
    """How a drain ended."""

    DONE = "done", "the new process is in service"
    KILLED = "killed", "a signal such as SIGKILL ended the worker: its running jobs may be lost"
    LET_GO = "let_go", "the drain ended without a restart by the listener"


@dataclass(frozen=True)
class DrainRecord:
    """One finished drain."""

    at: float
    """When it ended, in epoch seconds."""
    host: str
    pool: str
    worker: str
    reason: str
    outcome: str
    kind: str | None = None
    pid: int | None = None
    """Of the new process; of the old one if there is no new one."""
    cause: str | None = None
    """Why the stop was sent; with the outcome let_go, why the drain ended."""
    before_bytes: int | None = None
    after_bytes: int | None = None
    quiet_seconds: float | None = None
    stopped_seconds: float | None = None
    took_seconds: float | None = None
    jobs_cut: int | None = None
    """The number of jobs that were running when the stop was sent, after the outcome killed; None: unknown,
    or another outcome."""
    jobs: tuple[str, ...] | None = None
    """Their class names."""
    curve: Points | None = None
    """The memory of the old process since it began: pairs of seconds and bytes."""
    evidence: str | None = None
    """What became of the command `before_stop`; None: it was not run, or unknown."""
    job_classes: Mapping[str, int] | None = None
    """How often jobs of each class were seen in the old process."""


@dataclass(frozen=True)
class HeldRecord:
    """A worker that should have been drained, and was held for long."""

    at: float
    """When this was recorded, in epoch seconds."""
    host: str
    pool: str
    worker: str
    cause: str | None
    why: str
    held_seconds: float
    is_over: bool
    """False: it was still held when this was recorded."""
    pid: int | None = None


Record = DrainRecord | HeldRecord
_KINDS: Mapping[type[Record], str] = {DrainRecord: "drain", HeldRecord: "held"}


class OtherVersionError(ValueError):
    """A newer version wrote this record."""


def record_name(record: Record) -> str:
    """``drain`` or ``held``."""
    return _KINDS[type(record)]


def to_line(record: Record) -> bytes:
    """The record as one line of ASCII, with its end."""
    values = {"v": VERSION, "record": record_name(record), **to_json(record)}
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"


def to_json(record: Record) -> dict[str, Any]:
    """The fields as JSON values. Texts and lists are cut to their bounds."""
    values = dataclasses.asdict(record)
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = value[:MAX_TEXT]
        elif name == "jobs" and value is not None:
            values[name] = [job[:MAX_NAME] for job in value[:MAX_NAMES]]
        elif name == "job_classes" and value is not None:
            commonest = sorted(value.items(), key=lambda one: (-one[1], one[0]))[:MAX_NAMES]
            values[name] = {job[:MAX_NAME]: seen for job, seen in reversed(commonest)}
    return values


def from_line(line: bytes) -> Record:
    """Raises OtherVersionError for a newer version, ValueError for anything else that is no record."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError("the line is too long")
    try:
        body = mapping(json.loads(line))
        if (version := count(body["v"])) != VERSION:
            raise OtherVersionError(f"its version is {version}")
        return _READERS[text(body["record"])](body)
    except (KeyError, RecursionError) as error:
        raise ValueError(f"it is not a record: {error!r:.80}") from error


def _drain(body: Mapping[str, Any]) -> DrainRecord:
    return DrainRecord(
        at=_moment(body["at"]),
        host=text(body["host"]),
        pool=text(body["pool"]),
        worker=text(body["worker"]),
        reason=text(body["reason"]),
        outcome=text(body["outcome"]),
        kind=_known(body, "kind", text),
        pid=_known(body, "pid", count),
        cause=_known(body, "cause", text),
        before_bytes=_known(body, "before_bytes", count),
        after_bytes=_known(body, "after_bytes", count),
        quiet_seconds=_known(body, "quiet_seconds", _duration),
        stopped_seconds=_known(body, "stopped_seconds", _duration),
        took_seconds=_known(body, "took_seconds", _duration),
        jobs_cut=_known(body, "jobs_cut", count),
        jobs=_known(body, "jobs", lambda value: tuple(map(text, items(value)))),
        curve=_known(body, "curve", _points),
        evidence=_known(body, "evidence", text),
        job_classes=_known(body, "job_classes", _counts),
    )


def _held(body: Mapping[str, Any]) -> HeldRecord:
    return HeldRecord(
        at=_moment(body["at"]),
        host=text(body["host"]),
        pool=text(body["pool"]),
        worker=text(body["worker"]),
        cause=_known(body, "cause", text),
        why=text(body["why"]),
        held_seconds=_duration(body["held_seconds"]),
        is_over=flag(body["is_over"]),
        pid=_known(body, "pid", count),
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Record]] = {"drain": _drain, "held": _held}


def _known(body: Mapping[str, Any], name: str, read: Callable[[Any], T]) -> T | None:
    return or_none(read)(body.get(name))


def _moment(value: Any) -> float:
    """A time that a calendar can show."""
    moment = seconds(value)
    if not 0 <= moment < 2**35:
        raise ValueError(f"{value!r:.40} is no time")
    return moment


def _duration(value: Any) -> float:
    duration = seconds(value)
    if not 0 <= duration < 2**35:
        raise ValueError(f"{value!r:.40} is no duration")
    return duration


def _points(value: Any) -> Points:
    return tuple((count(age), count(size)) for age, size in map(items, items(value)[:MAX_POINTS_READ]))


def _counts(value: Any) -> Mapping[str, int]:
    return {text(name): count(seen) for name, seen in mapping(value).items()}
