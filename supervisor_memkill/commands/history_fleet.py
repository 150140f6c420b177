"""The history of a pool on all its hosts: the records that the entries of its stream stand for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from supervisor_memkill.coordination.events import Entry
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.drain_events import DrainDone, DrainKilled, DrainLetGo
from supervisor_memkill.notices.pool_events import WorkerHeldLong, WorkerHeldLongOver
from supervisor_memkill.notices.records import DrainRecord, HeldRecord, Outcome, Record

T = TypeVar("T")

_OUTCOMES = {DrainDone.name: Outcome.DONE, DrainKilled.name: Outcome.KILLED, DrainLetGo.name: Outcome.LET_GO}
_HELD = (WorkerHeldLong.name, WorkerHeldLongOver.name)
DEFAULT_IDENTIFIER = "/supervisor"
"""supervisord's identifier where nobody set one: it is left out behind the name of the host."""


@dataclass(frozen=True)
class FleetHistory:
    """The records of one pool, the oldest first."""

    records: tuple[Record, ...]
    not_understood: int
    """Entries that should be records and are none."""


def records_of(pool: str, entries: Iterable[Entry]) -> FleetHistory:
    """An entry of an earlier version may lack fields: they are unknown."""
    records, not_understood = list[Record](), 0
    killed = set[tuple[str, str]]()
    for entry in entries:
        fields = entry.fields
        name, worker = fields.get("event", ""), (fields.get("host", ""), fields.get("worker", ""))
        if name == DrainLetGo.name and worker in killed:
            killed.discard(worker)  # The same drain, whose record says that the worker was killed.
            continue
        killed.discard(worker)
        if name == DrainKilled.name:
            killed.add(worker)
        try:
            if name in _OUTCOMES:
                records.append(_drain(pool, entry.at, fields))
            elif name in _HELD:
                records.append(_held(pool, entry.at, fields))
        except (KeyError, ValueError):
            not_understood += 1
    return FleetHistory(tuple(records), not_understood)


def _drain(pool: str, at: float, fields: Mapping[str, str]) -> DrainRecord:
    """Raises KeyError or ValueError for an entry that no version writes."""
    was_killed = fields["event"] == DrainKilled.name
    return DrainRecord(
        at=_moment(at),
        host=_host(fields),
        pool=pool,
        worker=fields["worker"],
        reason=fields.get("reason", ""),
        outcome=_OUTCOMES[fields["event"]].value,
        kind=fields.get("kind"),
        pid=_known(fields, "pid", _count),
        cause=fields.get("cause"),
        before_bytes=_known(fields, "before_bytes", _count),
        after_bytes=_known(fields, "after_bytes", _count),
        quiet_seconds=_known(fields, "quiet_seconds", _seconds),
        stopped_seconds=_known(fields, "stopped_seconds", _seconds),
        took_seconds=_known(fields, "took_seconds", _seconds),
        jobs_cut=_known(fields, "busy", _count) if was_killed else None,
        jobs=_known(fields, "jobs", _names) if was_killed else None,
        evidence=fields.get("evidence"),
    )


def _held(pool: str, at: float, fields: Mapping[str, str]) -> HeldRecord:
    return HeldRecord(
        at=_moment(at),
        host=_host(fields),
        pool=pool,
        worker=fields["worker"],
        cause=fields.get("cause"),
        why=fields.get("why", ""),
        held_seconds=_seconds(fields["held_seconds"]),
        is_over=fields["event"] == WorkerHeldLongOver.name,
        pid=_known(fields, "pid", _count),
    )


def _moment(at: float) -> float:
    """A time that a calendar can show: an entry may have any number."""
    if at >= 2**35:
        raise ValueError(f"{at} is no time")
    return at


def _host(fields: Mapping[str, str]) -> str:
    return fields.get("host", "").removesuffix(DEFAULT_IDENTIFIER)


def _known(fields: Mapping[str, str], name: str, read: Callable[[str], T]) -> T | None:
    return read(fields[name]) if name in fields else None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"{text!r:.40} is not a count")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 2**35:
        raise ValueError(f"{text!r:.40} is no duration")
    return seconds


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
