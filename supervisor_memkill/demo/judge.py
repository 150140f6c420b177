"""Decides from the samples and the record of the jobs whether the promises were kept. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.demo.sample import Sample, Sight
from supervisor_memkill.demo.spool import Fact
from supervisor_memkill.processes import ProcessState


@dataclass(frozen=True)
class Life:
    """One process of a worker, since it was first seen in service."""

    pid: int
    first_bytes: int | None
    """Its memory when it came into service; None: unknown."""
    max_bytes: int
    """Its largest memory in any sample."""


@dataclass(frozen=True)
class Tally:
    """What all samples so far have shown."""

    lives: Mapping[str, tuple[Life, ...]] = field(default_factory=dict)
    """The processes of each worker, oldest first."""
    max_out: tuple[str, ...] = ()
    """The workers out of service in the sample where they were most."""

    @property
    def are_all_replaced(self) -> bool:
        return bool(self.lives) and all(len(lives) > 1 for lives in self.lives.values())


def observe(tally: Tally, sample: Sample) -> Tally:
    """Add one sample. Samples count once all workers have been in service together."""
    if not tally.lives and sample.out:
        return tally
    return Tally(
        lives={one.worker: _add_sight(tally.lives.get(one.worker, ()), one) for one in sample.workers},
        max_out=max(tally.max_out, sample.out, key=len),
    )


def _add_sight(lives: tuple[Life, ...], seen: Sight) -> tuple[Life, ...]:
    memory = seen.memory_bytes or 0
    if lives and lives[-1].pid == seen.pid:
        return (*lives[:-1], replace(lives[-1], max_bytes=max(lives[-1].max_bytes, memory)))
    if seen.is_in_service:
        return (*lives, Life(seen.pid, seen.memory_bytes, memory))
    return lives


@dataclass(frozen=True)
class Account:
    """The jobs: how many were done, and which of them wrongly."""

    handed_out: int
    done: int
    lost: tuple[str, ...]
    """Jobs that were handed out and never finished."""
    twice: tuple[str, ...]
    """Jobs that were begun or finished more than once."""


def account(handed_out: Sequence[str], facts: Iterable[Fact]) -> Account:
    """Compare the jobs handed out with the record."""
    times = Counter((fact.what, fact.job) for fact in facts)
    return Account(
        handed_out=len(handed_out),
        done=sum(times["finish", job] > 0 for job in handed_out),
        lost=tuple(job for job in handed_out if not times["finish", job]),
        twice=tuple(job for job in handed_out if max(times["start", job], times["finish", job]) > 1),
    )


def broken_promises(tally: Tally, jobs: Account, last: Sample | None) -> tuple[str, ...]:
    """One sentence for each promise that was broken; empty when all were kept.

    `last`: the last sample, taken when no job was left; None when there was no sample.
    """
    if not tally.lives or last is None:
        return ("the three workers were never in service together",)
    found = []
    if jobs.lost:
        found.append(f"never finished: {_jobs(jobs.lost)}")
    if jobs.twice:
        found.append(f"run twice: {_jobs(jobs.twice)}")
    if len(tally.max_out) > 1:
        found.append(f"{', '.join(tally.max_out)} were out of service at once")
    found += [f"{one.worker} was left {_left(one)}" for one in last.workers if not one.is_in_service]
    found += [f"{worker} was not replaced in time" for worker, lives in tally.lives.items() if len(lives) < 2]
    return tuple(found)


def _jobs(names: Sequence[str]) -> str:
    return f"{len(names)} {'job' if len(names) == 1 else 'jobs'} ({' '.join(names)})"


def _left(seen: Sight) -> str:
    return seen.reported or "silent" if seen.state is ProcessState.RUNNING else seen.state.name
