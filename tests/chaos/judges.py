"""The judges of S1, S2 and S5, fed look by look, and of the calm (L1, L2). Pure.

A worker out of service counts as taken out by the tool when the hand touched neither it nor its host nor
its supervisord since it was last seen in service.

What is allowed for, and no more:

- S1: a slot that nobody could renew for as long as it lasts is gone, by its contract, until its listener
  is back and takes it anew; so is one that Redis lost with its data, until its listener knows that the
  worker is out. Who goes meanwhile may go; who goes later may not. Two looks in a row must agree, since
  one look is not one instant.
- S2: a peer that the hand took away may be believed in service for as long as its own host's word counts
  (see `Doings.stale_seconds`).
- Both: a look that took long is no moment, and only what it saw in service is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from supervisor_memkill.processes import STOPPED_STATES, ProcessState
from tests.chaos.doings import LAPSE_SECONDS, Doings, Span
from tests.chaos.plan import LISTENERS, WORKERS
from tests.chaos.seen import Phase, Sample, Worker
from tests.chaos.terms import HEARTBEAT_SECONDS, MAX_DRAINING, SLOT_TTL_SECONDS, confirm_seconds

MOMENT_SECONDS = 0.7
"""A look that took longer is no moment."""
SEEN_LATE_SECONDS = 0.5
"""So much later than it happened a look may find a worker gone."""
GRANTED_BEFORE_SECONDS = SLOT_TTL_SECONDS + SEEN_LATE_SECONDS
"""So long before it was seen to go a worker may have got its slot: an older one is acted on no more."""
TAKEN_ANEW_SECONDS = HEARTBEAT_SECONDS + 1.5
"""Until a listener that is back has its slots again, by a busy machine."""


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
    min_available: int
    max_draining: int = MAX_DRAINING
    histories: dict[str, History] = field(default_factory=dict)
    taken_out: int = 0
    """How often the tool took one out."""
    most_out: int = 0
    """The most that the tool had out at once, lapsed slots aside."""
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
        """Each that is out is judged by the slots that were held when it went."""
        out = [
            (history.out.since, name)
            for name, history in self.histories.items()
            if history.out is not None and history.out.by_tool
        ]
        too_many: frozenset[str] = frozenset()
        for since, name in out:
            former = {other for went, other in out if (went, other) < (since, name)}
            held = {other for other in former if self._held_its_slot(other, since, at)} | {name}
            self.most_out = max(self.most_out, len(held))
            if len(held) > self.max_draining:
                too_many |= held
        if too_many and too_many <= self._too_many and not too_many <= self._told:
            self._told = too_many
            yield Broken("S1", at, f"{', '.join(sorted(too_many))} were out at once by the tool")
        if not too_many:
            self._told = frozenset()
        self._too_many = too_many

    def _held_its_slot(self, name: str, then: float, at: float) -> bool:
        """It was out already, and had its slot whenever the one that went `then` may have got its own."""
        return not any(
            span.begun <= then and span.ended >= then - GRANTED_BEFORE_SECONDS
            for span in self._without_slot(name, at)
        )

    def _without_slot(self, name: str, at: float) -> Iterator[Span]:
        """When this one, that is out, may have had no slot.

        What hindered its listener before it went counts for nothing: a late act is what S1 forbids.
        """
        out = self.histories[name].out
        assert out is not None, "else it has no slot"
        host, confirmed_at = name.partition("/")[0], out.since + confirm_seconds(name)
        for span in self.doings.hindrances(host, out.since - SEEN_LATE_SECONDS, at):
            if span.ended - span.begun >= LAPSE_SECONDS:
                back_at = max(span.ended, confirmed_at)
                yield Span(span.begun + LAPSE_SECONDS, back_at + TAKEN_ANEW_SECONDS)
        # With its slot lost, a worker that is known to be out is told anew before anything is granted.
        for lost_at in self.doings.losses(out.since - GRANTED_BEFORE_SECONDS, confirmed_at):
            yield Span(lost_at, confirmed_at + TAKEN_ANEW_SECONDS)


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
