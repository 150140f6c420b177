"""How many workers each pool has, in all and for the same queues: too few for `min_available` never drain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.findings import PoolSurvey, shown_queues
from supervisor_memkill.rules.policy import can_never_drain

SECONDS_PER_WORKER = 0.1
"""How long a count stands. It costs Redis 3 microseconds for each worker, and 500 listeners may all count."""
SetsOfQueues = Mapping[frozenset[str], int]
"""The number of workers by the queues that each takes from; empty: these are unknown, or do not matter."""


@dataclass(frozen=True)
class TooFew:
    """So many workers can never drain, even if all are in service."""

    workers: int
    queues: frozenset[str] = frozenset()
    """They are those that take from all of these; empty: they are all workers of the pool."""

    @property
    def words(self) -> str:
        """The end of a sentence about the pool."""
        count = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        whose = f"for the queues {shown_queues(self.queues)}" if self.queues else "in all"
        return f"the pool has only {count} {whose}, so that none is ever drained"


@dataclass(frozen=True)
class _Known:
    """The workers of one pool that coordination knows."""

    sets: SetsOfQueues
    stands_until: float


class PoolSizes:
    """Counts the workers of pools: those of this supervisord, and all that any other host ever reported."""

    def __init__(self, clock: Clock = boot_clock) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}
        """By pool."""

    def too_few(
        self,
        survey: PoolSurvey,
        queues: frozenset[str],
        min_available: int,
        coordinator: Coordinator,
        *,
        ask: bool = True,
    ) -> TooFew | None:
        """The workers with these queues, if they can never drain; None: they can.

        `ask`: count the workers of other hosts anew, unless the last count still stands: it reads the whole
        pool. Raises CoordinationUnknown.
        """
        if not can_never_drain(_number_for(queues, survey.sets_of_queues), min_available):
            return None
        name = survey.pool.name
        known = self._known.get(name)
        if known is None or (ask and self._clock() >= known.stands_until):
            sets = Counter(report.queues for report in coordinator.view(name).reports)
            stands_until = self._clock() + sets.total() * SECONDS_PER_WORKER
            known = self._known[name] = _Known(sets, stands_until)
        both = survey.sets_of_queues, known.sets
        workers = max(_number_for(queues, sets) for sets in both)
        if not can_never_drain(workers, min_available):
            return None
        is_whole_pool = workers == max(sum(sets.values()) for sets in both)
        return TooFew(workers, frozenset() if is_whole_pool else queues)

    def each_too_few(
        self, survey: PoolSurvey, min_available: int, coordinator: Coordinator
    ) -> Sequence[TooFew]:
        """All of the pool that can never drain; once if it is the whole pool. Raises CoordinationUnknown."""
        found = (
            self.too_few(survey, queues, min_available, coordinator)
            for queues in sorted(survey.sets_of_queues, key=sorted)
        )
        return list(dict.fromkeys(one for one in found if one is not None))


def _number_for(queues: frozenset[str], sets: SetsOfQueues) -> int:
    """How many take from all of these queues. Those whose queues are unknown may."""
    return sum(number for served, number in sets.items() if not served or served >= queues)
