"""Whether the promises were kept, by what was seen and done. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from supervisor_memkill.demo.sample import Sample, Sight
from supervisor_memkill.demo.spool import Fact
from supervisor_memkill.processes import ProcessState


@dataclass(frozen=True)
class Life:
    """One process of a worker, as far as it was seen in service."""

    pid: int
    first_bytes: int | None
    """Its memory when it came into service; None: unknown."""
    most_bytes: int
    """The most memory that it was seen with."""


@dataclass(frozen=True)
class Tally:
    """What the samples have shown so far."""

    lives: Mapping[str, tuple[Life, ...]] = field(default_factory=dict)
    """Each worker's processes, in their order."""
    most_out: tuple[str, ...] = ()
    """The workers of the sample that showed most of them out of service at once."""

    @property
    def are_all_replaced(self) -> bool:
        return bool(self.lives) and all(len(lives) > 1 for lives in self.lives.values())


def observe(tally: Tally, sample: Sample) -> Tally:
    """The tally with one more sample. Nothing counts before all workers are in service for the first time."""
    if not tally.lives and sample.out:
        return tally
    return Tally(
        lives={one.worker: _live_on(tally.lives.get(one.worker, ()), one) for one in sample.workers},
        most_out=max(tally.most_out, sample.out, key=len),
    )


def _live_on(lives: tuple[Life, ...], seen: Sight) -> tuple[Life, ...]:
    memory = seen.memory_bytes or 0
    if lives and lives[-1].pid == seen.pid:
        return (*lives[:-1], replace(lives[-1], most_bytes=max(lives[-1].most_bytes, memory)))
    if seen.is_in_service:
        return (*lives, Life(seen.pid, seen.memory_bytes, memory))
    return lives


@dataclass(frozen=True)
class Account:
    """What became of the jobs."""

    handed_out: int
    done: int
    lost: tuple[str, ...]
    """Handed out, and never finished."""
    twice: tuple[str, ...]
    """Begun or finished more than once."""


def account(handed_out: Sequence[str], facts: Iterable[Fact]) -> Account:
    """The account of these jobs by the record."""
    times = Counter((fact.what, fact.job) for fact in facts)
    return Account(
        handed_out=len(handed_out),
        done=sum(times["finish", job] > 0 for job in handed_out),
        lost=tuple(job for job in handed_out if not times["finish", job]),
        twice=tuple(job for job in handed_out if max(times["start", job], times["finish", job]) > 1),
    )


def broken_promises(tally: Tally, jobs: Account, last: Sample | None) -> tuple[str, ...]:
    """What was promised and not kept, a sentence each; empty when all is well.

    `last`: the last sample, taken when no job was left; None when there never was one.
    """
    if not tally.lives or last is None:
        return ("the three workers never came into service together",)
    found = []
    if jobs.lost:
        found.append(f"handed out and never done: {_jobs(jobs.lost)}")
    if jobs.twice:
        found.append(f"run twice: {_jobs(jobs.twice)}")
    if len(tally.most_out) > 1:
        found.append(f"{', '.join(tally.most_out)} were out of service at once")
    found += [f"{one.worker} was left {_left(one)}" for one in last.workers if not one.is_in_service]
    found += [f"{worker} was not replaced in time" for worker, lives in tally.lives.items() if len(lives) < 2]
    return tuple(found)


def _jobs(names: Sequence[str]) -> str:
    return f"{len(names)} {'job' if len(names) == 1 else 'jobs'} ({' '.join(names)})"


def _left(seen: Sight) -> str:
    return seen.said or "silent" if seen.state is ProcessState.RUNNING else seen.state.name
