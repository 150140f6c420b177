"""What the last look found about each worker, which the next look takes over while it still holds.

Most workers do not change between two looks. The readings of their kind are read anew at each look, and their
memory at each check. Their command lines and settings are examined anew some minutes later. A worker with any
reason for a drain, one that drains, and one that began lately are examined anew at each look.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Mapping, Sequence

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.findings import Finding
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import MemorySize, ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.rules.back_off import BackOff
from supervisor_memkill.rules.policy import Terms
from supervisor_memkill.workers.contract import Reading

EXAMINE_SECONDS = 600.0
"""A worker is examined anew after this time, or up to half of it earlier, so that not all are at once."""
YOUNG_SECONDS = 60.0
"""A process that began lately is examined at each look: a shell may still start or become the worker."""


@dataclass(frozen=True, slots=True)
class FormerLook:
    """One worker without any reason for a drain."""

    finding: Finding
    counts_children: bool
    """The memory of its descendants counts."""
    examined_at: float

    def holds(
        self,
        process: ProcessInfo,
        reading: Reading | None,
        program: ProgramInfo | None,
        contents: Contents,
    ) -> bool:
        """Only its memory may have changed since. `reading` and the others are those of the present look."""
        seen = self.finding.seen
        former = seen.process
        return (
            former.pid == process.pid
            and former.start == process.start
            and process.state is ProcessState.RUNNING
            and (reading is seen.reading or reading == seen.reading)
            and program is self.finding.program
            and seen.back_off is contents.back_offs.get(process.worker)
            and process.worker not in contents.drains
            and not contents.wants_restart(process)
        )

    @property
    def names_jobs(self) -> bool:
        """What its jobs do to its memory is learnt from each look: each one measures it."""
        reading = self.finding.seen.reading
        return reading is not None and reading.jobs is not None

    def must_be_examined(self, now: float) -> bool:
        share = zlib.crc32(self.finding.worker.encode()) / 2**32
        return now - self.examined_at >= EXAMINE_SECONDS * (1.0 - share / 2)

    def fits(self, size: MemorySize, terms: Terms) -> bool:
        """With this memory the worker still has no reason for a drain."""
        limits = (terms.limit_bytes, terms.hard_limit_bytes)
        is_exact = size.most_bytes == size.least_bytes and not size.lost
        return is_exact and all(limit is None or size.most_bytes <= limit for limit in limits)


NOTHING: Mapping[str, FormerLook] = {}


@dataclass(frozen=True)
class Surroundings:
    """All that a look between two checks goes by, but for requests, drains and pauses."""

    terms: Terms
    processes: Sequence[ProcessInfo]
    readings: Mapping[str, Reading]
    programs: object
    """The collection of all settings: another one after they were learnt again."""
    back_offs: Mapping[str, BackOff]

    def are_the_same(self, other: Surroundings) -> bool:
        return (
            self.programs is other.programs
            and self.back_offs is other.back_offs
            and self.terms == other.terms
            and len(self.processes) == len(other.processes)
            and all(map(operator.is_, self.processes, other.processes))
            and self.readings == other.readings
        )


class FormerLooks:
    """The last look at each pool."""

    def __init__(self) -> None:
        self._pools: dict[str, tuple[Terms, Mapping[str, FormerLook]]] = {}
        self._whole: dict[str, tuple[Surroundings, tuple[Finding, ...]]] = {}

    def whole(self, pool: str, surroundings: Surroundings) -> tuple[Finding, ...] | None:
        """All findings of the last look at the pool; None: some worker must be looked at."""
        if pool in self._whole:
            before, findings = self._whole[pool]
            if before.are_the_same(surroundings):
                return findings
        return None

    def keep_whole(self, pool: str, surroundings: Surroundings, findings: tuple[Finding, ...]) -> None:
        """Keep all of a look, if each worker of it may be taken over."""
        looks = self.of(pool, surroundings.terms)
        if len(looks) == len(findings) and not any(one.names_jobs for one in looks.values()):
            self._whole[pool] = surroundings, findings
        else:
            self._whole.pop(pool, None)

    def of(self, pool: str, terms: Terms) -> Mapping[str, FormerLook]:
        """By worker; nothing if the pool's terms have changed since."""
        before, looks = self._pools.get(pool, (None, NOTHING))
        return looks if before == terms else NOTHING

    def keep(self, pool: str, terms: Terms, looks: Sequence[FormerLook]) -> None:
        """Keep of this look what the next one may take over."""
        if terms.max_age_seconds is not None:
            # The age alone would change the verdict.
            self._pools.pop(pool, None)
            return
        before = self.of(pool, terms)
        found = {}
        for one in looks:
            former = before.get(one.finding.worker)
            is_same = former is not None and former.finding is one.finding
            if is_same or _can_be_taken_over(one.finding, terms):
                found[one.finding.worker] = one
        self._pools[pool] = terms, found


def _can_be_taken_over(finding: Finding, terms: Terms) -> bool:
    seen, verdict = finding.seen, finding.verdict
    is_exact = seen.memory_bytes is not None and seen.memory_bytes == seen.memory_least_bytes
    return (
        seen.process.state is ProcessState.RUNNING
        and seen.draining is None
        and verdict.reason is None
        and seen.pause is None
        and is_exact
        and not seen.memory_lost
        and not seen.refusals
        and seen.strikes == 0  # The next check must count that it is under its limit.
        and seen.uptime_seconds >= max(terms.settle_seconds, YOUNG_SECONDS)
    )
