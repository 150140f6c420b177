"""What a look finds about each worker before the verdict, and how much of it the last look gives.

A draft is made anew, or from the last look where that still holds (former_looks.py).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener import observer
from supervisor_memkill.listener.findings import Finding, Pool
from supervisor_memkill.listener.former_looks import FormerLook
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.rules.policy import Sighting, Terms, Verdict, judge_all
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.world.memory import ProcessTable


class Depth(enum.Enum):
    """How much of a worker without any reason for a drain is taken over from the last look."""

    KNOWN = enum.auto()
    """Its memory, too. Between two checks nothing waits for it: GrowthWatch watches the hard limits."""
    MEASURED = enum.auto()
    """All but its memory, and what is examined every few minutes."""
    AFRESH = enum.auto()
    """Nothing: a worker may be chosen now."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a look found about one worker, before the verdict."""

    seen: Sighting
    advice: tuple[Advice, ...]
    program: ProgramInfo | None
    counts_children: bool
    former: FormerLook | None = None
    """The last look, if only the memory may have changed since."""

    def finding(self, verdict: Verdict) -> Finding:
        """That of the last look itself, if nothing changed: growth.py then goes by what it read since."""
        if self.former is not None:
            former = self.former.finding
            if former.seen is self.seen and former.verdict == verdict:
                return former
        return Finding(self.seen, verdict, self.advice, self.program)

    def look(self, finding: Finding, now: float) -> FormerLook:
        """What the next look may take over of this one, at `now`."""
        examined_at = now if self.former is None else self.former.examined_at
        return FormerLook(finding, self.counts_children, examined_at)


def draft_again(
    before: FormerLook,
    pool: Pool,
    process: ProcessInfo,
    terms: Terms,
    table: ProcessTable,
    now: float,
    depth: Depth,
) -> Draft | None:
    """What holds of the last look; None: the worker must be examined anew."""
    finding = before.finding
    seen = finding.seen
    if depth is Depth.MEASURED or before.names_jobs:
        if before.must_be_examined(now):
            return None
        try:
            size = table.measured(process.pid, pool.measure, before.counts_children)
        except Unknown:
            return None
        if not before.fits(size, terms):
            return None
        if size.most_bytes != seen.memory_bytes or before.names_jobs:
            seen = dataclasses.replace(
                seen,
                process=process,
                memory_bytes=size.most_bytes,
                memory_least_bytes=size.least_bytes,
                age_seconds=observer.age_seconds(process, table),
            )
    return Draft(seen, finding.advice, finding.program, before.counts_children, before)


def judged(drafts: Sequence[Draft], terms: Terms, now: float) -> tuple[Finding, ...]:
    """The findings of all workers of a pool: each draft with its verdict."""
    verdicts = judge_all([draft.seen for draft in drafts], terms, now)
    return tuple(draft.finding(verdict) for draft, verdict in zip(drafts, verdicts, strict=True))
