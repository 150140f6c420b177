"""What ``history`` shows: the records that a person asked for, and their totals. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from typing import Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.records import DrainRecord, Outcome, Record, record_name, to_json
from supervisor_memkill.rules.causes import Reason

HELD = "held"
"""The outcome of a worker that was held for long."""
REASONS = tuple(reason.value for reason in Reason)
OUTCOMES = (*(outcome.value for outcome in Outcome), HELD)


@dataclass(frozen=True)
class Wanted:
    """Which records are shown. Empty: no restriction."""

    names: tuple[str, ...] = ()
    """Patterns for a pool, for ``group:name`` or for a group."""
    since: float = 0.0
    """Epoch seconds."""
    reasons: tuple[str, ...] = ()
    """A worker that was held has no reason in its record: with reasons, none is shown."""
    outcomes: tuple[str, ...] = ()

    def names_record(self, record: Record) -> bool:
        named = (record.pool, record.worker, record.worker.partition(":")[0])
        return not self.names or any(fnmatchcase(one, name) for one in named for name in self.names)

    def includes(self, record: Record) -> bool:
        outcome = record.outcome if isinstance(record, DrainRecord) else HELD
        return (
            record.at >= self.since
            and self.names_record(record)
            and (not self.outcomes or outcome in self.outcomes)
            and (not self.reasons or (isinstance(record, DrainRecord) and record.reason in self.reasons))
        )


@dataclass(frozen=True)
class Longest:
    """The drain that kept its worker out of service for longest."""

    seconds: float
    host: str
    worker: str
    at: float


@dataclass(frozen=True)
class Totals:
    """The sums over the drains that are shown."""

    drains: int = 0
    by_reason: Mapping[str, int] = field(default_factory=dict)
    by_outcome: Mapping[str, int] = field(default_factory=dict)
    given_back_bytes: int = 0
    """Memory before minus memory after, where both are known and the difference is above 0."""
    jobs_cut: int = 0
    killed_unknown: int = 0
    """Killed workers whose running jobs were unknown: they may have cut more jobs."""
    longest: Longest | None = None
    held: int = 0
    """Workers that were held for long."""


@dataclass(frozen=True)
class Shown:
    """All that the command shows."""

    records: tuple[Record, ...]
    """The oldest first."""
    totals: Totals
    since: float
    is_fleet: bool = False
    older: int = 0
    """Records that were left out only because of their age."""
    notes: tuple[str, ...] = ()
    """What is missing, one sentence each."""


def shown(
    records: Iterable[Record], wanted: Wanted, *, notes: Sequence[str] = (), is_fleet: bool = False
) -> Shown:
    """The records that are wanted, in the order of time."""
    known = sorted(_without_repeats(records), key=lambda record: record.at)
    chosen = tuple(record for record in known if wanted.includes(record))
    at_any_time = Wanted(wanted.names, 0.0, wanted.reasons, wanted.outcomes)
    older = sum(at_any_time.includes(record) for record in known) - len(chosen)
    return Shown(chosen, totals(chosen), wanted.since, is_fleet, older, tuple(notes))


def _without_repeats(records: Iterable[Record]) -> Iterable[Record]:
    """Of one long wait only the last record, which has its whole length."""
    kept: dict[object, Record] = {}
    waits: dict[tuple[str, str, str], object] = {}
    for number, record in enumerate(records):
        if isinstance(record, DrainRecord):
            kept[number] = record
            continue
        worker = (record.host, record.pool, record.worker)
        if record.is_over and worker in waits:
            kept.pop(waits.pop(worker))
        elif not record.is_over:
            waits[worker] = number
        kept[number] = record
    return kept.values()


def totals(records: Collection[Record]) -> Totals:
    """The sums over these records."""
    drains = [record for record in records if isinstance(record, DrainRecord)]
    killed = [drain for drain in drains if drain.outcome == Outcome.KILLED.value]
    ended = [
        drain for drain in drains if drain.took_seconds is not None and drain.outcome != Outcome.LET_GO.value
    ]
    longest = max(ended, key=lambda drain: drain.took_seconds or 0.0, default=None)
    return Totals(
        drains=len(drains),
        by_reason=_counted(drain.reason for drain in drains),
        by_outcome=_counted(drain.outcome for drain in drains),
        given_back_bytes=sum(
            max(0, drain.before_bytes - drain.after_bytes)
            for drain in drains
            if drain.before_bytes is not None and drain.after_bytes is not None
        ),
        jobs_cut=sum(drain.jobs_cut or 0 for drain in killed),
        killed_unknown=sum(drain.jobs_cut is None for drain in killed),
        longest=None
        if longest is None
        else Longest(longest.took_seconds or 0.0, longest.host, longest.worker, longest.at),
        held=len(records) - len(drains),
    )


def _counted(values: Iterable[str]) -> Mapping[str, int]:
    """The most frequent one first."""
    return dict(sorted(Counter(values).items(), key=lambda one: (-one[1], one[0])))


# --- JSON -----------------------------------------------------------------------------------------------


def as_json(made: Shown) -> str:
    """The text for a program. New keys may come; no key changes its meaning."""
    longest = made.totals.longest
    values = {
        "since": made.since,
        "fleet": made.is_fleet,
        "records": [{"record": record_name(record), **to_json(record)} for record in made.records],
        "totals": {
            "drains": made.totals.drains,
            "by_reason": made.totals.by_reason,
            "by_outcome": made.totals.by_outcome,
            "given_back_bytes": made.totals.given_back_bytes,
            "jobs_cut": made.totals.jobs_cut,
            "killed_with_unknown_jobs": made.totals.killed_unknown,
            "longest": None if longest is None else _longest(longest),
            "held": made.totals.held,
        },
        "older": made.older,
        "notes": list(made.notes),
    }
    return json.dumps(values, indent=2) + "\n"


def _longest(longest: Longest) -> dict[str, Any]:
    return {"host": longest.host, "worker": longest.worker, "at": longest.at, "seconds": longest.seconds}
