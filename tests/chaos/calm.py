"""The judge of the calm: how long each thing lasts in it (L1, L2). Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from tests.chaos.judges import Owed
from tests.chaos.plan import POOLS
from tests.chaos.seen import Phase, Sample
from tests.chaos.terms import COMING_SECONDS, gone_seconds, pool_of, wait_seconds

GONE = frozenset({Phase.QUIET, Phase.STOPPING, Phase.STOPPED})
COMING = frozenset({Phase.STARTING, Phase.BOOTING})


@dataclass
class CalmJudge:
    """Watches all pools while nothing is done to them.

    One worker after the other goes, so that all of it takes long on a slow machine. Hence each part is
    judged by itself: a worker that is gone, one that comes back, and a pool that begins nothing.
    """

    _since: dict[tuple[str, str], float] = field(default_factory=dict)
    """Since when something is so of a worker or a pool, without a break."""

    def look(self, sample: Sample, too_big: Collection[str], held_back: Collection[str]) -> list[Owed]:
        """What lasts for too long.

        `too_big`: the workers over their limit; `held_back`: the pools that `wait_seconds` speaks of.
        """
        parts = list(self._parts(sample, too_big, held_back))
        self._since = {(of, what): self._since.get((of, what), sample.at) for _, of, what, _ in parts}
        return [
            Owed(promise, f"{of} {what} for more than {most:.0f}s")
            for promise, of, what, most in parts
            if sample.at - self._since[of, what] > most
        ]

    def _parts(
        self, sample: Sample, too_big: Collection[str], held_back: Collection[str]
    ) -> Iterator[tuple[str, str, str, float]]:
        """The promise, of whom, what is so of it, and how long it may be."""
        for name, seen in sample.workers.items():
            if seen.phase in GONE:
                yield "L2", name, "is quiet or stopped", gone_seconds(name)
            elif seen.phase in COMING:
                yield "L2", name, "is coming back", COMING_SECONDS
        for pool in POOLS:
            mine = [seen for name, seen in sample.workers.items() if pool_of(name) == pool]
            all_serve = all(seen.phase is Phase.IN for seen in mine)
            if all_serve and any(pool_of(name) == pool for name in too_big):
                yield "L1", pool, "begins no drain", wait_seconds(held_back=pool in held_back)
