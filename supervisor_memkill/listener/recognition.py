"""A pool none of whose workers is recognised by its kind: such a pool is never drained, so it is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from supervisor_memkill.clock import Clock
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.workers.contract import FindsOthers, Reading, Target
from supervisor_memkill.world.memory import ProcessTable

BOOTED_SECONDS = 60.0
"""A worker that is up for less may still be booting."""
FOUND_AGAIN_SECONDS = 600.0
"""How long an answer of `find_others` is used: it may have searched a whole Redis."""
UNKNOWN_LOOKS = 2
"""So many looks in a row without any answer, which may be a short outage."""


@dataclass(frozen=True)
class _Found:
    words: str
    at: float


class Recognition:
    """Judges each pool at each check."""

    def __init__(
        self, clock: Clock, booted_seconds: float = BOOTED_SECONDS, unknown_looks: int = UNKNOWN_LOOKS
    ) -> None:
        """0 and 1: the first look concludes, for a person who looks once."""
        self._clock = clock
        self._booted_seconds = booted_seconds
        self._unknown_looks = unknown_looks
        self._looks: dict[str, int] = {}
        """The looks in a row at which no worker of the pool was recognised."""
        self._found: dict[str, _Found] = {}

    def judge(
        self, pool: Pool, targets: Sequence[Target], readings: Mapping[str, Reading], table: ProcessTable
    ) -> str | None:
        """Why none of these RUNNING workers is recognised, and what is there instead.

        Empty if one is recognised, None while nothing can be concluded.
        """
        read = [readings[one.process.worker] for one in targets if one.process.worker in readings]
        if any(reading.recognised for reading in read):
            self._looks.pop(pool.name, None)
            self._found.pop(pool.name, None)
            return ""
        if any(reading.source_away for reading in read):
            return None  # It is reported as an outage.
        if not any(one.process.uptime_seconds >= self._booted_seconds for one in targets):
            return None
        looks = self._looks[pool.name] = self._looks.get(pool.name, 0) + 1
        if looks < self._unknown_looks and all(reading.recognised is None for reading in read):
            return None
        whys = Counter(reading.why for reading in read if reading.why).most_common(1)
        why = whys[0][0] if whys else "its kind recognises none of them"
        found = self._find(pool, targets, table)
        return f"{why}; {found}" if found and found not in why else why

    def _find(self, pool: Pool, targets: Sequence[Target], table: ProcessTable) -> str:
        former, now = self._found.get(pool.name), self._clock()
        if former is not None and now - former.at < FOUND_AGAIN_SECONDS:
            return former.words
        words = _others(pool, targets, table)
        self._found[pool.name] = _Found(words, now)
        return words


def _others(pool: Pool, targets: Sequence[Target], table: ProcessTable) -> str:
    if not isinstance(pool.kind, FindsOthers):
        return ""
    try:
        return pool.kind.find_others(targets, table)
    except MemkillError as error:
        return str(error)
