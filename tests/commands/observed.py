"""Intervals as a listener would record them of a made-up pool, by a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from supervisor_memkill.notices.intervals import Interval

MB = 1024 * 1024
NIGHT = 1_796_000_000.0
CLASSES = ("Mail", "Report", "Import", "Sync", "Thumbnail")


@dataclass(frozen=True)
class Made:
    """A pool whose workers always run `CONCURRENCY` jobs, of a mix that changes."""

    leaks: Mapping[str, float] = field(default_factory=dict)
    """MB per minute of running, by class."""
    classes: Sequence[str] = CLASSES
    together: Sequence[str] = ()
    """Classes that always run as much as the first of them."""
    grows_always: float = 0.0
    """MB per minute, whatever runs."""
    warm_up: float = 20.0
    """MB that each process takes in its first two minutes."""
    teeth: float = 0.0
    """MB that come, and go again."""
    misses: bool = True
    """The looks see some moments of each interval, and not all that ran."""
    moments: int = 6
    """So many; at each five jobs run."""
    counts_runs: bool = False
    """The framework counts the runs; one takes a second."""
    processes: int = 3
    intervals: int = 40
    lives: int = 40
    """Intervals after which a process is replaced by a fresh one."""

    def observe(self, seed: int = 1, pool: str = "jobs") -> list[Interval]:
        chance = random.Random(seed)
        made = list[Interval]()
        for number in range(self.processes):
            for place in range(self.intervals):
                age = place % self.lives
                if age == 0:
                    leaked, before = 0.0, 100.0
                running = self._mix(chance)
                leaked += sum(self.leaks.get(name, 0.0) * minutes for name, minutes in running.items())
                tooth = self.teeth * chance.random()
                after = 100 + leaked + self.grows_always * (age + 1) / 2 + tooth + chance.gauss(0, 0.3)
                after += self.warm_up * min(1.0, (age + 1) / 4)
                seen = self._seen(chance, running)
                made.append(
                    Interval(
                        at=NIGHT + 30 * (place + 1),
                        pool=pool,
                        worker=f"jobs:{number}",
                        pid=100 + number + 1000 * (place // self.lives),
                        start=int(NIGHT),
                        seconds=30.0,
                        before_bytes=int(before * MB),
                        after_bytes=int(after * MB),
                        running_seconds={name: 60 * minutes for name, minutes in seen.items() if minutes},
                        runs={n: round(60 * m) for n, m in running.items()} if self.counts_runs else None,
                    )
                )
                before = after
        return made

    def _mix(self, chance: random.Random) -> dict[str, float]:
        """Minutes of running by class in half a minute of five threads."""
        weights = {name: chance.choice((0.1, 0.5, 1.0, 2.0, 4.0)) for name in self.classes}
        for name in self.together:
            weights[name] = weights[self.together[0]]
        whole = sum(weights.values())
        return {name: 2.5 * weight / whole for name, weight in weights.items()}

    def _seen(self, chance: random.Random, running: Mapping[str, float]) -> Mapping[str, float]:
        if not self.misses:
            return running
        seen = dict.fromkeys(running, 0.0)
        seen_jobs = 5 * self.moments
        for name in chance.choices(list(running), list(running.values()), k=seen_jobs):
            seen[name] += 2.5 / seen_jobs
        return seen
