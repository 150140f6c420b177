"""The judges of S1, S2 and S5, fed look by look, and of the calm (L1, L2). Pure.

A worker out of service counts as taken out by the tool when the hand touched neither it nor its host nor
its supervisord since it was last seen in service.

What is allowed for, and no more:

- S1: a slot that nobody could renew for as long as it lasts is gone, by its contract; whoever is out then
  counts no longer. Two looks in a row must agree, since one look is not one instant.
- S2: a peer that the hand took away may be believed in service for as long as its own host's word counts
  (see `Doings.stale_seconds`).
- Both: a look that took long is no moment, and only what it saw in service is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from supervisor_memkill.processes import STOPPED_STATES, ProcessState
from tests.chaos.doings import LAPSE_SECONDS, Doings
from tests.chaos.plan import LISTENERS, WORKERS
from tests.chaos.seen import Phase, Sample, Worker

MOMENT_SECONDS = 0.7
"""A look that took longer is no moment."""
SEEN_LATE_SECONDS = 0.5
"""So much later than it happened a look may find a worker gone."""


@dataclass(frozen=True)
class Broken:
    """A promise that was not kept."""

    promise: str
    at: float
    words: str


@dataclass
class Out:
    """A worker that is out of service."""

    since: float
    pid: int
    by_tool: bool


@dataclass
class History:
    """What is remembered of one worker."""

    last_in: float | None = None
    """When it was last seen in service; None: never yet."""
    out: Out | None = None


@dataclass
class Judge:
    """Watches one pool's workers."""

    pool: str
    doings: Doings
    max_draining: int = 1
    min_available: int = 1
    histories: dict[str, History] = field(default_factory=dict)
    taken_out: int = 0
    """How often the tool took one out."""
    most_out: int = 0
    """The most that the tool had out at once."""
    _too_many: frozenset[str] = frozenset()
    _told: frozenset[str] = frozenset()

    def look(self, sample: Sample) -> list[Broken]:
        """What this look shows to be broken."""
        broken: list[Broken] = []
        mine = {name: seen for name, seen in sample.workers.items() if self._is_mine(name)}
        is_moment = sample.seconds <= MOMENT_SECONDS
        before = {name: self._history(name).last_in for name in mine}
        went = [
            name
            for name, seen in mine.items()
            if (seen.phase is Phase.IN or is_moment) and self._note(name, seen, sample.at)
        ]
        for name in went:
            self.taken_out += 1
            broken += self._judge_peers(name, before[name], sample.at)
        if is_moment:
            broken += self._judge_count(sample.at)
        return broken

    def _is_mine(self, worker: str) -> bool:
        return worker.partition("/")[2].startswith(f"{self.pool}_")

    def _history(self, worker: str) -> History:
        return self.histories.setdefault(worker, History())

    def _note(self, name: str, seen: Worker, at: float) -> bool:
        """Remember it; whether the tool took it out just now."""
        history = self._history(name)
        if seen.phase is Phase.IN:
            history.last_in, history.out = at, None
            return False
        touched = history.last_in is None or self.doings.touched(name, history.last_in, at)
        if history.out is None:
            history.out = Out(at, seen.pid, by_tool=not touched)
            return not touched
        if touched:
            history.out.by_tool = False
        return False

    # --- S2 -------------------------------------------------------------------------------------

    def _judge_peers(self, name: str, last_in: float | None, at: float) -> Iterator[Broken]:
        assert last_in is not None, "else it is not the tool's"
        others = [
            other for other in self.histories if other != name and self._served(name, other, last_in, at)
        ]
        if len(others) < self.min_available:
            yield Broken("S2", at, f"{name} was taken out while {len(others)} others were in service")

    def _served(self, name: str, other: str, last_in: float, at: float) -> bool:
        """The other was in service between the two looks, or the hand has only just taken it away."""
        history = self.histories[other]
        if history.last_in is None:
            return False
        if history.last_in >= last_in:
            return True
        by_hand = self.doings.touched(other, history.last_in, at)
        return by_hand and last_in - history.last_in <= self.doings.stale_seconds(name, other, at)

    # --- S1 -------------------------------------------------------------------------------------

    def _judge_count(self, at: float) -> Iterator[Broken]:
        out = frozenset(self._out_by_tool(at))
        self.most_out = max(self.most_out, len(out))
        too_many = out if len(out) > self.max_draining else frozenset()
        if too_many and too_many <= self._too_many and not too_many <= self._told:
            self._told = too_many
            yield Broken("S1", at, f"{', '.join(sorted(too_many))} were out at once by the tool")
        if not too_many:
            self._told = frozenset()
        self._too_many = too_many

    def _out_by_tool(self, at: float) -> Iterator[str]:
        for name, history in self.histories.items():
            out = history.out
            if out is not None and out.by_tool and not self._is_lapsed(name, out, at):
                yield name

    def _is_lapsed(self, name: str, out: Out, at: float) -> bool:
        """What hindered its listener before it went counts for nothing: a late act is what S1 forbids."""
        host = name.partition("/")[0]
        return self.doings.hindered_seconds(host, out.since - SEEN_LATE_SECONDS, at) >= LAPSE_SECONDS


@dataclass
class OperatorsJudge:
    """Watches what the hand stopped through supervisorctl."""

    doings: Doings
    _told: set[tuple[str, float]] = field(default_factory=set)

    def look(self, sample: Sample) -> Iterator[Broken]:
        for name, standing in list(self.doings.standing.items()):
            process = sample.processes.get(name)
            if process is None or standing.since >= sample.at or (name, standing.since) in self._told:
                continue
            if self.doings.standing.get(name) is not standing:
                continue  # The hand has begun to start it since.
            if process.state not in STOPPED_STATES or process.stop != standing.stop:
                self._told.add((name, standing.since))
                yield Broken("S5", sample.at, f"{name}, stopped by the hand, is {process.state.name}")


@dataclass(frozen=True)
class Owed:
    """What must not be, once the hand has undone everything and the tool had its time."""

    promise: str
    words: str


def owed(sample: Sample, drains: Iterable[str], too_big: Iterable[str]) -> Iterator[Owed]:
    """`drains`: what the journals hold; `too_big`: the workers that are over their limit."""
    for name in WORKERS:
        seen = sample.workers.get(name)
        if seen is None or seen.phase is not Phase.IN:
            yield Owed("L2", f"{name} is {seen.phase.value if seen else 'unknown'}")
    for name in LISTENERS:
        process = sample.processes.get(name)
        if process is None or process.state is not ProcessState.RUNNING:
            yield Owed("L2", f"{name} is {process.state.name if process else 'unknown'}")
    for drain in drains:
        yield Owed("L2", f"in a journal: {drain}")
    for name in too_big:
        yield Owed("L1", f"{name} is over its limit")


def unpaid(left: Iterable[Owed], at: float, seconds: float) -> Broken | None:
    """What the calm broke, by its worst; None: nothing is left."""
    found = sorted(left, key=lambda one: one.promise, reverse=True)
    if not found:
        return None
    words = "; ".join(one.words for one in found)
    return Broken(found[0].promise, at, f"after {seconds:.0f}s of calm: {words}")
