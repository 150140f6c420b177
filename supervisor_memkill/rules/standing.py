"""How far one worker of a requested restart is. Pure."""

from __future__ import annotations

import enum

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.rules.requests import RunningProcess


class Standing(enum.Enum):
    """How far one worker is."""

    FAILED = "failed"
    """It does not come back."""
    DRAINING = "draining"
    WAITING = "waiting"
    WITHDRAWN = "withdrawn"
    """The request does not ask for it any more."""
    REPLACED = "replaced"
    """It has another process, which is in service, or it is gone."""


@dataclass(frozen=True)
class Line:
    """One worker, for a person."""

    worker: str
    standing: Standing
    words: str
    """Why it waits, or what its drain does."""
    since: float | None = None
    """When its drain entered its state, on the boot clock."""


@dataclass(frozen=True)
class Present:
    """A worker at the last look at it."""

    pid: int
    start: int
    busy: int | None
    verdict: str
    """What the listener decided about it, and why, as text for a person."""
    drain: str = ""
    """The state of its drain; empty: it is not drained."""
    since: float | None = None
    """When its drain entered this state, on the boot clock."""
    not_back: str = ""
    """Why it does not come back; empty: it may come back yet."""


def line_of(worker: str, wanted: RunningProcess, seen: Present | None, *, is_wanted: bool) -> Line:
    """`wanted`: the process that was to go. `seen` None: the worker is in no pool any more."""
    if seen is None:
        return Line(worker, Standing.REPLACED, "not in supervisord's configuration any more")
    if seen.not_back:
        return Line(worker, Standing.FAILED, seen.not_back, seen.since)
    if seen.drain:
        jobs = "" if seen.busy is None else f", {seen.busy} running {'job' if seen.busy == 1 else 'jobs'}"
        return Line(worker, Standing.DRAINING, f"{seen.drain}{jobs}", seen.since)
    if (seen.pid, seen.start) != (wanted.pid, wanted.start):
        return Line(worker, Standing.REPLACED, f"runs as process {seen.pid}" if seen.pid else "stopped")
    if not is_wanted:
        return Line(worker, Standing.WITHDRAWN, "withdrawn, or its time is over")
    return Line(worker, Standing.WAITING, seen.verdict)
