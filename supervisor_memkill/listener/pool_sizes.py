"""How many workers each pool has: a pool with too few of them for `min_available` can never drain."""

from __future__ import annotations

from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.listener.findings import PoolSurvey
from supervisor_memkill.rules.policy import can_never_drain


class PoolSizes:
    """Counts the workers of pools: those of this supervisord, and all that any other host ever reported."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        """By pool: the workers that coordination knows."""

    def too_few(
        self, survey: PoolSurvey, min_available: int, coordinator: Coordinator, *, ask: bool = True
    ) -> int | None:
        """The number of workers of a pool that can never drain; None if it can.

        `ask`: count the workers of other hosts anew, which reads the whole pool. Raises CoordinationUnknown.
        """
        workers = len(survey.findings)
        if not can_never_drain(workers, min_available):
            return None
        name = survey.pool.name
        if ask or name not in self._known:
            self._known[name] = len(coordinator.view(name).reports)
        workers = max(workers, self._known[name])
        return workers if can_never_drain(workers, min_available) else None


def in_words(workers: int) -> str:
    """The end of a sentence about such a pool."""
    count = "1 worker" if workers == 1 else f"{workers} workers"
    return f"the pool has only {count} in all, so that none is ever drained"
