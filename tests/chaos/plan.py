"""What the hand will do: a plan that a seed fixes beforehand. Pure."""

from __future__ import annotations

import dataclasses
import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.places import PLACES

HOSTS = ("a", "b")
POOLS = ("sidekiq", "rq")
WORKERS_EACH = 2
LISTENER = "memkill"


def workers_of(host: str) -> list[str]:
    """As the chaos run names them: ``a/sidekiq_0``."""
    return [f"{host}/{pool}_{number}" for pool in POOLS for number in range(WORKERS_EACH)]


WORKERS = tuple(worker for host in HOSTS for worker in workers_of(host))
LISTENERS = tuple(f"{host}/{LISTENER}" for host in HOSTS)


class Sort(enum.Enum):
    """What the hand can do. The text is what is printed."""

    KILL_LISTENER = "kill a listener"
    KILL_LISTENER_AT = "kill a listener at a place"
    FREEZE_LISTENER = "freeze a listener"
    FREEZE_LISTENER_AT = "freeze a listener at a place"
    KILL_WORKER = "kill a worker"
    RESTART_COORDINATION = "kill coordination's Redis, start it empty"
    FREEZE_COORDINATION = "freeze coordination's Redis"
    FLUSH_COORDINATION = "flush coordination's Redis"
    FREEZE_JOBS = "freeze the jobs' Redis"
    KILL_HOST = "kill a host"
    RELOAD = "supervisord starts anew"
    UPDATE = "supervisorctl update"
    STOP = "supervisorctl stop"
    RESTART = "supervisorctl restart"
    REQUEST = "restart --fleet"


WEIGHTS = {
    Sort.KILL_LISTENER: 2,
    Sort.KILL_LISTENER_AT: 8,
    Sort.FREEZE_LISTENER: 2,
    Sort.FREEZE_LISTENER_AT: 2,
    Sort.KILL_WORKER: 4,
    Sort.RESTART_COORDINATION: 1,
    Sort.FREEZE_COORDINATION: 2,
    Sort.FLUSH_COORDINATION: 1,
    Sort.FREEZE_JOBS: 1,
    Sort.KILL_HOST: 2,
    Sort.RELOAD: 1,
    Sort.UPDATE: 2,
    Sort.STOP: 4,
    Sort.RESTART: 3,
    Sort.REQUEST: 2,
}

HOLDS = {
    Sort.FREEZE_LISTENER: (5.5, 9.0),
    Sort.FREEZE_LISTENER_AT: (5.5, 9.0),
    Sort.RESTART_COORDINATION: (0.0, 3.0),
    Sort.FREEZE_COORDINATION: (1.0, 12.0),
    Sort.FREEZE_JOBS: (1.0, 3.0),
    Sort.KILL_HOST: (2.0, 12.0),
    Sort.STOP: (2.0, 12.0),
}
"""How long it lasts before the hand undoes it, in seconds."""
BACK_OFF_SECONDS = (0.3, 3.0)
"""Between two rounds. What lasts longer overlaps with the rounds that follow."""


@dataclass(frozen=True)
class Round:
    """One deed of the hand."""

    number: int
    sort: Sort
    target: str
    """``a/sidekiq_0``, ``a/memkill`` (a listener), ``a`` (a host), ``coordination`` or ``jobs``."""
    hold_seconds: float
    pause_seconds: float
    place: str = ""
    """Where in a drain the listener's trap springs."""
    how: str = ""
    """Which of several ways."""

    @property
    def host(self) -> str:
        return self.target.partition("/")[0]

    def elsewhere(self) -> Round | None:
        """The same on the other host; None for what belongs to no host."""
        if self.host not in HOSTS:
            return None
        (other,) = set(HOSTS) - {self.host}
        return dataclasses.replace(self, target=other + self.target[len(self.host) :])

    def words(self) -> str:
        parts = [f"{self.number:3d} {self.sort.value}", self.target]
        parts += [part for part in (self.place, self.how) if part]
        parts += [f"for {self.hold_seconds:.1f}s"] if self.hold_seconds else []
        return " ".join(parts)


def make_plan(seed: int, rounds: int) -> list[Round]:
    """The same for the same seed; a longer plan begins as a shorter one does."""
    chance = random.Random(seed)
    places = _in_turns(chance)
    return [_round(chance, number, places) for number in range(1, rounds + 1)]


def _in_turns(chance: random.Random) -> Iterator[str]:
    """Every place once, in any order, and then again."""
    while True:
        yield from chance.sample(PLACES, len(PLACES))


def _round(chance: random.Random, number: int, places: Iterator[str]) -> Round:
    sort = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    shortest, longest = HOLDS.get(sort, (0.0, 0.0))
    return Round(
        number,
        sort,
        _target(chance, sort),
        hold_seconds=round(chance.uniform(shortest, longest), 1),
        pause_seconds=round(chance.uniform(*BACK_OFF_SECONDS), 1),
        place=next(places) if sort in (Sort.KILL_LISTENER_AT, Sort.FREEZE_LISTENER_AT) else "",
        how=_how(chance, sort),
    )


def _target(chance: random.Random, sort: Sort) -> str:
    if sort in (Sort.KILL_LISTENER, Sort.KILL_LISTENER_AT, Sort.FREEZE_LISTENER, Sort.FREEZE_LISTENER_AT):
        return chance.choice(LISTENERS)
    if sort in (Sort.RESTART_COORDINATION, Sort.FREEZE_COORDINATION, Sort.FLUSH_COORDINATION):
        return "coordination"
    if sort is Sort.FREEZE_JOBS:
        return "jobs"
    if sort in (Sort.KILL_HOST, Sort.RELOAD, Sort.REQUEST):
        return chance.choice(HOSTS)
    if sort in (Sort.KILL_WORKER, Sort.UPDATE):
        return chance.choice(WORKERS)
    return chance.choice((*WORKERS, *LISTENERS))


def _how(chance: random.Random, sort: Sort) -> str:
    if sort is Sort.RELOAD:
        return chance.choice(("SIGHUP", "reload"))
    if sort is Sort.REQUEST:
        return f"{chance.choice(POOLS)}_{chance.randrange(WORKERS_EACH)}"
    if sort is Sort.UPDATE:
        return chance.choice(("changed", "changed", "unchanged", "reread"))
    return ""
