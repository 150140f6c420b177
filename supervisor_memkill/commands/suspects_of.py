"""Which job classes most likely make the memory of a pool grow. Pure: takes intervals, gives values.

How it is calculated:

- Only growth that stays counts: of each process the lowest memory from a moment on. A collector's teeth, or
  memory that a job used for a while, are no growth. Each process is taken for itself: a restart is none.
- The first intervals of each process are left out: every process grows while it loads its code. So are its
  last ones: nobody knows yet whether their growth stays.
- The growth of each interval is set against how much each class ran in it, and against its length, by least
  squares that do not go below zero. The length takes growth that goes on whatever runs.
- A class that runs all the time grows with the length: whether the class or the worker itself leaks cannot be
  seen, and the class is no suspect.
- It is calculated again for intervals that are drawn anew from the same ones. A class is a suspect if its
  figure is at least `TIMES_OTHERS` that of the classes that are not suspects, in so many of the draws that
  chance alone explains it in at most `CHANCE` of all pools.
- Between looks some running jobs are missed. So the least squares alone give too little for a suspect, and
  all growth for the suspects alone gives too much: the figure stands between the two, and both are shown.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import NormalDist, fmean, stdev

from supervisor_memkill.commands.least_squares import non_negative
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.intervals import Interval
from supervisor_memkill.worded import Worded

LEAST_LEFT_OUT, SHARE_LEFT_OUT, MOST_LEFT_OUT = 2, 0.2, 20
"""Of the intervals of each process, at its start."""
UNCONFIRMED = 2
"""Intervals at the end of each process: whether their growth stays is not known yet."""
LEAST_INTERVALS = 12
"""Fewer show nothing."""
MAX_CLASSES = 12
"""Of the calculation: those that ran most, and those that ran when memory grew."""
TIMES_OTHERS = 2.0
CHANCE = 0.01
"""Small, because a person looks again and again while the listener watches: each look has its own chance."""
LEAST_SHARE = 0.1
"""Of the growth: a class that explains less is no suspect."""
ALWAYS_RUNS = 0.05
"""A class whose amount differs by this share or less between intervals, in the mean, cannot be compared."""
LEAST_GROWTH_BYTES, LEAST_GROWTH_SHARE = 4 * 1024 * 1024, 0.05
"""Of a process, of its memory: less growth needs no suspect."""
DRAWS, BLOCKS = 200, 60
RANGE = 0.05
"""So many of the draws are below the range of a figure, and so many above."""


class Unit(Worded):
    """What a suspect's figure is for."""

    RUN = "run", "per run of a job of this class"
    MINUTE = "minute", "per minute in which a job of this class runs"


class Verdict(Worded):
    """What the intervals of a pool show."""

    FOUND = "found", "these job classes most likely make the memory grow"
    TOO_FEW = "too_few", "cannot tell yet: the listener has not watched these workers for long enough"
    NO_JOBS = "no_jobs", "cannot tell: no running job was seen"
    NO_GROWTH = "no_growth", "cannot tell: the memory of the workers does not grow"
    ONE_CLASS = (
        "one_class",
        "cannot tell: nearly all jobs are of one class, so there is no other class to compare it with",
    )
    UNCLEAR = "unclear", "cannot tell: the memory grows, and no job class stands out"


@dataclass(frozen=True)
class Suspect:
    """A job class that most likely makes the memory grow."""

    job_class: str
    bytes_per_unit: float
    least_bytes_per_unit: float
    most_bytes_per_unit: float
    share: float
    """Of the growth of the pool, by the figure; at most 1."""
    certainty: float
    """The share of the draws in which it is a suspect; at most 1."""


@dataclass(frozen=True)
class SeenClass:
    """How much a job class was seen."""

    job_class: str
    running_seconds: float
    runs: int | None = None
    """None: the framework does not count them."""


@dataclass(frozen=True)
class PoolSuspects:
    """The result for one pool."""

    pool: str
    verdict: Verdict
    unit: Unit = Unit.MINUTE
    suspects: tuple[Suspect, ...] = ()
    """The one with the largest share of the growth first."""
    classes: tuple[SeenClass, ...] = ()
    """All that were seen, the one that ran for longest first."""
    hours: float = 0.0
    """Observed, summed over the processes."""
    intervals: int = 0
    """That the calculation uses."""
    processes: int = 0
    growth_bytes: int = 0
    """That stayed, summed over the processes."""
    since: float | None = None
    """When the first interval began, in epoch seconds; None: there is none."""
    until: float | None = None


def suspects_of(intervals: Iterable[Interval]) -> tuple[PoolSuspects, ...]:
    """The result for each pool that these intervals are of, in the order of their names."""
    by_pool: dict[str, list[Interval]] = defaultdict(list)
    for interval in intervals:
        by_pool[interval.pool].append(interval)
    return tuple(_of_pool(pool, by_pool[pool]) for pool in sorted(by_pool))


@dataclass(frozen=True)
class _Row:
    """One interval of the calculation."""

    growth: float
    minutes: float
    amounts: Mapping[str, float]
    """Minutes of running, or runs, by class."""


@dataclass(frozen=True)
class _Sums:
    """What least squares need of some rows. The last column is the length of the interval."""

    squares: tuple[tuple[float, ...], ...]
    products: tuple[float, ...]

    @classmethod
    def of(cls, rows: Iterable[_Row], classes: Sequence[str]) -> _Sums:
        size = len(classes) + 1
        squares, products = [[0.0] * size for _ in range(size)], [0.0] * size
        for row in rows:
            # A longer interval has more chances to be off: its weight is less.
            values = [row.amounts.get(name, 0.0) for name in classes] + [row.minutes]
            for index, value in enumerate(values):
                if value:
                    products[index] += value * row.growth / row.minutes
                    line, weighted = squares[index], value / row.minutes
                    for other in range(size):
                        line[other] += weighted * values[other]
        return cls(tuple(map(tuple, squares)), tuple(products))

    @classmethod
    def together(cls, many: Sequence[_Sums]) -> _Sums:
        return cls(
            tuple(
                tuple(map(sum, zip(*lines, strict=True)))
                for lines in zip(*(one.squares for one in many), strict=True)
            ),
            tuple(map(sum, zip(*(one.products for one in many), strict=True))),
        )

    def fit(self) -> list[float]:
        """The figure of each column by least squares.

        A class that runs as much in each interval is left out: the length explains the same growth.
        """
        length = len(self.products) - 1
        return self._fit((length, *(one for one in range(length) if not self._always_runs(one))))

    def _always_runs(self, column: int) -> bool:
        both = self.squares[column][column] * self.squares[-1][-1]
        return both - self.squares[column][-1] ** 2 <= ALWAYS_RUNS**2 * both

    def fit_all_growth(self, columns: Sequence[int]) -> list[float]:
        """The figures of these columns that make up all of the growth; of the others 0."""
        found = self._fit(columns)
        explained = sum(found[column] * self.squares[column][-1] for column in columns)
        return [value * self.products[-1] / explained if explained > 0 else 0.0 for value in found]

    def _fit(self, chosen: Sequence[int]) -> list[float]:
        squares = [[self.squares[row][column] for column in chosen] for row in chosen]
        found = dict(
            zip(chosen, non_negative(squares, [self.products[column] for column in chosen]), strict=True)
        )
        return [found.get(column, 0.0) for column in range(len(self.products))]


def _of_pool(pool: str, intervals: Sequence[Interval]) -> PoolSuspects:
    by_process: dict[tuple[str, int, int], list[Interval]] = defaultdict(list)
    intervals = sorted(intervals, key=lambda one: (one.process, one.at))
    for interval in intervals:
        by_process[interval.process].append(interval)
    counts_runs = all(interval.runs is not None for interval in intervals)
    rows = [row for lives in by_process.values() for row in _rows(lives, counts_runs=counts_runs)]
    growth = sum(row.growth for row in rows)
    result = PoolSuspects(
        pool,
        Verdict.UNCLEAR,
        Unit.RUN if counts_runs else Unit.MINUTE,
        classes=_seen(intervals),
        hours=sum(one.seconds for one in intervals) / 3600,
        intervals=len(rows),
        processes=len(by_process),
        growth_bytes=round(growth),
        since=min(one.at - one.seconds for one in intervals),
        until=max(one.at for one in intervals),
    )
    memory = fmean(one.after_bytes for one in intervals)
    used = sum(bool(_used(lives)) for lives in by_process.values())
    totals = _totals(rows)
    if len(rows) < LEAST_INTERVALS:
        return _with(result, Verdict.TOO_FEW)
    if not totals:
        return _with(result, Verdict.NO_JOBS)
    if growth < used * max(LEAST_GROWTH_BYTES, LEAST_GROWTH_SHARE * memory):
        return _with(result, Verdict.NO_GROWTH)
    if max(totals.values()) > 0.99 * sum(totals.values()):
        return _with(result, Verdict.ONE_CLASS)
    suspects = tuple(_suspects(rows, totals, growth))
    return _with(result, Verdict.FOUND, suspects) if suspects else result


def _with(result: PoolSuspects, verdict: Verdict, suspects: tuple[Suspect, ...] = ()) -> PoolSuspects:
    return PoolSuspects(**{**vars(result), "verdict": verdict, "suspects": suspects})


def _seen(intervals: Iterable[Interval]) -> tuple[SeenClass, ...]:
    seconds: dict[str, float] = defaultdict(float)
    runs: dict[str, int] = defaultdict(int)
    for interval in intervals:
        for name, value in interval.running_seconds.items():
            seconds[name] += value
        for name, number in (interval.runs or {}).items():
            runs[name] += number
    seen = (SeenClass(name, seconds.get(name, 0.0), runs.get(name)) for name in {*seconds, *runs})
    return tuple(sorted(seen, key=lambda one: (-one.running_seconds, -(one.runs or 0), one.job_class)))


def _used(lives: Sequence[Interval]) -> range:
    """The places of the intervals of one process that the calculation uses."""
    at_start = min(MOST_LEFT_OUT, max(LEAST_LEFT_OUT, int(len(lives) * SHARE_LEFT_OUT)))
    return range(at_start, len(lives) - UNCONFIRMED)


def _rows(lives: Sequence[Interval], *, counts_runs: bool) -> Iterator[_Row]:
    """The rows of one process."""
    lowest, growths = math.inf, list[float]()
    for interval in reversed(lives):
        after = lowest = min(lowest, interval.after_bytes)
        lowest = min(lowest, interval.before_bytes)
        growths.append(after - lowest)
    growths.reverse()
    for place in _used(lives):
        interval, growth = lives[place], growths[place]
        minutes = interval.seconds / 60
        runs = interval.runs if counts_runs else None
        amounts = runs if runs is not None else {k: v / 60 for k, v in interval.running_seconds.items()}
        yield _Row(growth, minutes, dict(amounts))


def _totals(rows: Iterable[_Row]) -> Mapping[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, amount in row.amounts.items():
            if amount > 0:
                totals[name] += amount
    return totals


def _chosen(rows: Sequence[_Row], totals: Mapping[str, float]) -> list[str]:
    """The classes of the calculation."""
    with_growth: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, amount in row.amounts.items():
            with_growth[name] += amount * row.growth / row.minutes
    by_time = sorted(totals, key=lambda name: (-totals[name], name))
    by_growth = sorted(totals, key=lambda name: (-with_growth[name] / totals[name], name))
    half = MAX_CLASSES // 2
    return list(dict.fromkeys([*by_time[:half], *by_growth[: MAX_CLASSES - half]]))


def _suspects(rows: Sequence[_Row], totals: Mapping[str, float], growth: float) -> Iterator[Suspect]:
    classes = _chosen(rows, totals)
    amounts = [totals[name] for name in classes]
    size = math.ceil(len(rows) / BLOCKS)
    blocks = [_Sums.of(rows[begin : begin + size], classes) for begin in range(0, len(rows), size)]
    whole = _Sums.together(blocks)
    chance = random.Random(len(rows))  # noqa: S311 - the same intervals must give the same result
    draws = [_Sums.together(chance.choices(blocks, k=len(blocks))) for _ in range(DRAWS)]
    fits, fit = [one.fit() for one in draws], whole.fit()
    order = sorted(range(len(classes)), key=lambda index: -fit[index] * amounts[index])
    limit = _limit(len(totals), len(blocks))
    certainties = dict(_named(order, amounts, fit, fits, limit))
    least = LEAST_SHARE * _all(fit, amounts)
    named = [index for index in certainties if fit[index] * amounts[index] >= least]
    alone, alone_draws = whole.fit_all_growth(named), [one.fit_all_growth(named) for one in draws]
    for index in named:
        figure = math.sqrt(fit[index] * max(fit[index], alone[index]))
        yield Suspect(
            classes[index],
            figure,
            min(figure, _at([one[index] for one in fits], RANGE)),
            max(figure, _at([one[index] for one in alone_draws], 1 - RANGE)),
            min(1.0, figure * amounts[index] / growth),
            certainties[index],
        )


def _all(fit: Sequence[float], amounts: Sequence[float]) -> float:
    """The growth that the classes explain."""
    return sum(figure * amount for figure, amount in zip(fit, amounts, strict=False))


def _named(
    order: Sequence[int],
    amounts: Sequence[float],
    fit: Sequence[float],
    fits: Sequence[Sequence[float]],
    limit: float,
) -> Iterator[tuple[int, float]]:
    """The columns that stand out from those after them, each with its certainty, until one does not."""
    for place, index in enumerate(order[:-1]):
        others = order[place + 1 :]
        contrasts = [one[index] - TIMES_OTHERS * _rate(one, others, amounts) for one in fits]
        spread = stdev(contrasts)
        if fit[index] <= 0 or fmean(contrasts) <= limit * spread:
            return
        yield index, sum(one > 0 for one in contrasts) / len(contrasts)


def _rate(fit: Sequence[float], columns: Sequence[int], amounts: Sequence[float]) -> float:
    """The mean figure of these columns, by how much they ran."""
    return sum(fit[one] * amounts[one] for one in columns) / sum(amounts[one] for one in columns)


def _limit(classes: int, blocks: int) -> float:
    """How many standard deviations chance alone reaches in `CHANCE` of all pools with so many classes."""
    normal = NormalDist().inv_cdf(1 - CHANCE / classes)
    return normal * (1 + (1 + normal**2) / (4 * max(1, blocks - 2)))  # Student's t


def _at(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
