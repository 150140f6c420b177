"""The judge of the jobs: each is begun once and finished, or has an excuse. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.doings import Kill

BEFORE_SECONDS = 3.0
"""A job is taken off its queue at most so long before it begins."""
LEAST_DROPPED, STOPS_PER_DROP = 2, 20
"""RQ may drop a job that it took a few milliseconds before its stop, and each gets one every 2 s here. On a
machine with five programs to a core, where the milliseconds are many, 3 of 94 stops did."""


@dataclass(frozen=True)
class Run:
    """One run of one job."""

    job: str
    pids: frozenset[int]
    """Of the process that ran it and of its parent."""
    started: float
    finished: float | None
    """None: it was cut, or still runs."""


Runs = Mapping[str, Sequence[Run]]


@dataclass(frozen=True)
class Evidence:
    """What is known from outside of one pool's jobs, all of them over."""

    pushed: Sequence[str]
    """In the order in which they were pushed."""
    runs: Runs
    kills: Sequence[Kill] = ()
    """Every SIGKILL that the hand sent, and those that supervisord sent at a stop of the hand's."""
    taken: Collection[str] = frozenset()
    """Jobs that the framework says it took off the queue and did not finish."""
    stops: Sequence[float] = ()
    """When a worker of the pool had stopped gracefully, by its supervisord's log."""


@dataclass(frozen=True)
class Verdict:
    """What became of a pool's jobs."""

    sent: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    excused: tuple[str, ...]
    """Cut by one of the kills."""
    dropped: tuple[str, ...]
    """Taken off the queue and dropped by the framework's own graceful stop (RQ issue 2236), one at a stop."""
    stops: int = 0
    """Of the pool's workers, whoever told them to."""

    @property
    def most_dropped(self) -> int:
        """More cannot be the framework's own doing."""
        return LEAST_DROPPED + self.stops // STOPS_PER_DROP

    @property
    def drops_too_many(self) -> bool:
        return len(self.dropped) > self.most_dropped


def runs_of(facts: Iterable[Sequence[object]]) -> dict[str, list[Run]]:
    """The runs in what the jobs wrote down (tests/programs/job_body.py), by job."""
    found: dict[str, list[Run]] = defaultdict(list)
    for word, job, at, pid, parent, *_ in facts:
        assert isinstance(job, str) and isinstance(at, int | float)
        assert isinstance(pid, int) and isinstance(parent, int)
        runs = found[job]
        if word == "start":
            runs.append(Run(job, frozenset({pid, parent}), at, None))
            continue
        # By its own pid alone: an orphan has another parent at its end.
        index = next(i for i, run in enumerate(runs) if pid in run.pids and run.finished is None)
        runs[index] = Run(job, runs[index].pids, runs[index].started, at)
    return dict(found)


class JobsJudge:
    """Judges one pool's jobs, once. A kill excuses no more jobs than the killed had in hand."""

    def __init__(self, pool: str, in_hand: int, evidence: Evidence) -> None:
        """`in_hand`: the most jobs that one worker has in hand."""
        self._pool = pool
        self._in_hand = in_hand
        self._evidence = evidence
        self._used: Counter[int] = Counter()
        self._stops = sorted(evidence.stops)
        """Those that dropped no job yet."""

    def verdict(self) -> Verdict:
        known = self._evidence
        lost: list[str] = []
        twice: list[str] = []
        excused: list[str] = []
        dropped: list[str] = []
        begun = [job for job in known.pushed if known.runs.get(job)]
        for job in begun:
            *former, last = known.runs[job]
            unfinished = [run for run in (*former, last) if run.finished is None]
            if not former and not unfinished:
                continue
            if former and any(run.finished is not None for run in former):
                twice.append(job)  # whatever came of its later runs
            elif all(self._was_cut(run) for run in unfinished):
                excused.append(job)
            else:
                (twice if former else lost).append(job)
        for place, job in enumerate(known.pushed):
            if known.runs.get(job):
                continue
            since, until = self._taken_between(place)
            if self._uses(lambda kill, since=since, until=until: kill.may_have_cut(since, until)):  # type: ignore[misc]
                excused.append(job)
            elif job in known.taken and self._uses_stop(since, until):
                dropped.append(job)
            else:
                lost.append(job)
        return Verdict(
            len(known.pushed), tuple(lost), tuple(twice), tuple(excused), tuple(dropped), len(known.stops)
        )

    def _was_cut(self, run: Run) -> bool:
        return self._uses(lambda kill: bool(kill.pids & run.pids) and kill.at >= run.started)

    def _taken_between(self, place: int) -> tuple[float, float]:
        """When a job that never began was taken off its queue: between those before and after it."""
        pushed, runs = self._evidence.pushed, self._evidence.runs
        before = (runs[job][0].started for job in reversed(pushed[:place]) if runs.get(job))
        after = (runs[job][0].started for job in pushed[place + 1 :] if runs.get(job))
        return next(before, float("-inf")) - BEFORE_SECONDS, next(after, float("inf")) + BEFORE_SECONDS

    def _uses(self, is_the_one: Callable[[Kill], bool]) -> bool:
        """Whether there is such a kill that has a job left to excuse."""
        for index, kill in enumerate(self._evidence.kills):
            if is_the_one(kill) and self._used[index] < self._room(kill):
                self._used[index] += 1
                return True
        return False

    def _uses_stop(self, since: float, until: float) -> bool:
        """Whether a worker stopped then, and no other job was dropped at that stop."""
        stop = next((stop for stop in self._stops if since <= stop <= until), None)
        if stop is not None:
            self._stops.remove(stop)
        return stop is not None

    def _room(self, kill: Kill) -> int:
        return self._in_hand * sum(
            worker.partition("/")[2].startswith(f"{self._pool}_") for worker in kill.workers
        )
