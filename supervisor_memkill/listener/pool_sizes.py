"""How many workers each pool has: a pool with too few of them for `min_available` can never drain."""

from __future__ import annotations

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.findings import PoolSurvey
from supervisor_memkill.rules.policy import can_never_drain

SECONDS_PER_WORKER = 0.1
"""How long a count stands. It costs Redis 3 microseconds for each worker, and 500 listeners may all count."""


@dataclass(frozen=True)
class _Size:
    """The workers of one pool that coordination knows."""

    workers: int
    stands_until: float


class PoolSizes:
    """Counts the workers of pools: those of this supervisord, and all that any other host ever reported."""

    def __init__(self, clock: Clock = boot_clock) -> None:
        self._clock = clock
        self._known: dict[str, _Size] = {}
        """By pool."""

    def too_few(
        self, survey: PoolSurvey, min_available: int, coordinator: Coordinator, *, ask: bool = True
    ) -> int | None:
        """The number of workers of a pool that can never drain; None if it can.

        `ask`: count the workers of other hosts anew, unless the last count still stands: it reads the whole
        pool. Raises CoordinationUnknown.
        """
        workers = len(survey.findings)
        if not can_never_drain(workers, min_available):
            return None
        name = survey.pool.name
        known = self._known.get(name)
        if known is None or (ask and self._clock() >= known.stands_until):
            count = len(coordinator.view(name).reports)
            known = self._known[name] = _Size(count, self._clock() + count * SECONDS_PER_WORKER)
        workers = max(workers, known.workers)
        return workers if can_never_drain(workers, min_available) else None


def in_words(workers: int) -> str:
    """The end of a sentence about such a pool."""
    count = "1 worker" if workers == 1 else f"{workers} workers"
    return f"the pool has only {count} in all, so that none is ever drained"
