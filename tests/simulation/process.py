"""One process of a worker as it really is: its jobs, its quiet, its end."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field

NEVER = float("inf")
RECORD_LIVES_SECONDS = 60.0
"""The record of a Sidekiq is kept this long after its last beat."""


@dataclass(frozen=True)
class Habits:
    """How the workers of one program behave; durations in seconds."""

    kind: str
    """``sidekiq``, ``celery`` (resumes, confirms), ``custom`` (confirms nothing) or ``stops``."""
    queues: frozenset[str] = frozenset()
    lanes: int = 1
    """Jobs at a time."""
    job: tuple[float, float] = (0.5, 6.0)
    gap: tuple[float, float] = (0.1, 4.0)
    endless: float = 0.0
    """The share of jobs that never end."""
    boots: float = 1.0
    beat: float = 5.0
    torn: float = 0.0
    """`busy` is read this long before the rest of its record."""
    patience: float = 25.0
    """How long it waits for its jobs after a stop; then it gives them back and ends."""
    orphan_seconds: float = 0.0
    """How long a child outlives it."""

    def without_endless(self) -> Habits:
        return dataclasses.replace(self, endless=0.0)


@dataclass
class Process:
    """One process, from its spawn to its end. Its jobs are drawn when somebody looks."""

    pid: int
    created: float
    """By the world's clock, like all times here."""
    habits: Habits
    rng: random.Random
    memory: int
    nonce: str = ""
    child: int = 0
    """The pid of its child; 0 for none."""
    quiet_at: float | None = None
    resumed_at: float = -1e9
    """When it was last resumed."""
    frozen_at: float | None = None
    held_at: float | None = None
    """A command has paused or suspended it."""
    hung_at: float | None = None
    hears_from: float = 0.0
    """A quiet of the listener takes effect then, if it comes earlier."""
    stop_at: float | None = None
    ended_at: float | None = None
    was_killed: bool = False
    """It was ended by SIGKILL."""
    boots_at: float = 0.0
    jobs: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of each job that it took."""
    _next: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.boots_at = self.created + self.habits.boots
        self._next = [self.boots_at + self.rng.uniform(*self.habits.gap) for _ in range(self.habits.lanes)]

    @property
    def takes_until(self) -> float:
        """The time until which it takes jobs."""
        ends = (self.quiet_at, self.frozen_at, self.held_at, self.hung_at, self.stop_at, self.ended_at)
        return min((end for end in ends if end is not None), default=NEVER)

    def is_booted(self, now: float) -> bool:
        return self.frozen_at is None and now >= self.boots_at

    def answers(self, now: float) -> bool:
        return self.is_booted(now) and self.hung_at is None and self.held_at is None

    def takes_jobs(self, now: float) -> bool:
        return now >= self.boots_at and self.takes_until > now

    def look(self, now: float) -> None:
        """Draw the jobs that it has taken until now."""
        until = min(now, self.takes_until)
        for lane, begins in enumerate(self._next):
            while begins < until:
                endless = self.rng.random() < self.habits.endless
                ends = NEVER if endless else begins + self.rng.uniform(*self.habits.job)
                self.jobs.append((begins, ends))
                begins = ends + self.rng.uniform(*self.habits.gap)
            self._next[lane] = begins

    def busy_at(self, when: float) -> int:
        """The number of running jobs at a time that is not in the future."""
        if self.hung_at is not None:
            return sum(begins <= when and (ends > when or ends > self.hung_at) for begins, ends in self.jobs)
        return sum(begins <= when < ends for begins, ends in self.jobs)

    def busy(self, now: float) -> int:
        self.look(now)
        return self.busy_at(now)

    def idle_from(self, now: float) -> float:
        """When its last job ends if it takes no other."""
        self.look(now)
        if self.hung_at is not None and self.busy_at(now):
            return NEVER
        return max([now, *(ends for begins, ends in self.jobs if begins <= now)])

    def resume(self, now: float) -> None:
        """Take jobs again."""
        if self.quiet_at is not None:
            self.look(now)
            self.quiet_at, self.resumed_at = None, now
            self._next = [max(begins, now) for begins in self._next]

    def hold(self, now: float) -> None:
        """It runs no instruction from now on."""
        self.look(now)
        self.held_at = now if self.held_at is None else self.held_at

    def release(self, now: float) -> None:
        if self.held_at is not None:
            self.look(now)
            self.held_at = None
            self._next = [max(begins, now) for begins in self._next]

    def thaw(self, now: float) -> None:
        self.release(now)
        if self.frozen_at is not None:
            if self.boots_at > self.frozen_at:
                self.boots_at += now - self.frozen_at
                self._next = [max(begins, self.boots_at) for begins in self._next]
            self.frozen_at = None

    def end_jobs(self, now: float, within: float) -> None:
        """End the jobs that would never end."""
        self.look(now)
        self.jobs = [
            (begins, now + self.rng.uniform(0.1, within) if ends == NEVER else ends)
            for begins, ends in self.jobs
        ]
        self._next = [begins if begins != NEVER else now + within for begins in self._next]
