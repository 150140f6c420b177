"""What ``suspects`` shows: the result for each pool, and notes. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from supervisor_memkill.commands.suspects_of import PoolSuspects, Verdict, suspects_of
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.interval_file import Intervals
from supervisor_memkill.notices.intervals import Interval

NOTHING_KEPT = (
    "no running job of pool {} is recorded: either the listener has not run for long enough, or this kind of "
    "worker does not name its jobs; Sidekiq, Resque, Celery and RQ name them"
)


@dataclass(frozen=True)
class Shown:
    """All that the command shows."""

    pools: tuple[PoolSuspects, ...]
    notes: tuple[str, ...] = ()
    """What is missing, one sentence each."""

    def with_notes(self, path: Path, found: Intervals) -> Shown:
        """The same with what is missing from the file."""
        notes = [NOTHING_KEPT.format(one.pool) for one in self.pools if one.since is None]
        if found.damaged:
            notes.append(f"{path}: damaged lines, which do not count: {found.damaged}")
        return dataclasses.replace(self, notes=tuple(notes))


def shown(intervals: Iterable[Interval], pools: Sequence[str], only: str | None = None) -> Shown:
    """The result for each of the configured pools and of those with intervals; `only`: for this one."""
    wanted = [one for one in intervals if only is None or one.pool == only]
    found = {one.pool: one for one in suspects_of(wanted)}
    names = sorted({*found, *(pool for pool in pools if only is None or pool == only)})
    return Shown(tuple(found.get(name) or PoolSuspects(name, Verdict.TOO_FEW) for name in names))


def as_json(made: Shown) -> str:
    """The text for a program. New keys may come; no key changes its meaning."""
    values = {"pools": [_pool(one) for one in made.pools], "notes": list(made.notes)}
    return json.dumps(values, indent=2) + "\n"


def _pool(one: PoolSuspects) -> dict[str, Any]:
    return {
        "pool": one.pool,
        "verdict": one.verdict.value,
        "words": one.verdict.words,
        "unit": one.unit.value,
        "suspects": [_figures(suspect) for suspect in one.suspects],
        "classes": [_figures(seen) for seen in one.classes],
        "growth_bytes": one.growth_bytes,
        "hours": round(one.hours, 3),
        "intervals": one.intervals,
        "processes": one.processes,
        "since": one.since,
        "until": one.until,
    }


def _figures(value: Any) -> dict[str, Any]:
    """Sizes without a fraction, shares with three digits."""
    return {
        name: round(one, None if "bytes" in name else 3) if isinstance(one, float) else one
        for name, one in dataclasses.asdict(value).items()
    }
