"""The memory of each process since it began, as a thinned curve of bounded length."""

from __future__ import annotations

import itertools
from array import array

MAX_POINTS = 48
"""Of one curve."""
MAX_CURVES = 4000
"""Of all workers; of more, those that were seen last have one. A curve takes 1 KB at most."""

Points = tuple[tuple[int, int], ...]
"""Seconds since the process began, and bytes."""


class Curve:
    """The memory of one process. When it is full, every second point goes.

    Thousands are kept: the seconds and the bytes of all points stand in one array, by turns.
    """

    __slots__ = ("_gap_seconds", "_numbers", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._numbers = array("q")
        self._gap_seconds = 0.0
        """The least distance between two points, but for the last one."""

    def add(self, age_seconds: float, size_bytes: int) -> None:
        """A clock that was set back moves no point: the curve waits until the clock is past its last one."""
        numbers, age = self._numbers, int(age_seconds)
        if numbers:
            last = numbers[-2]
            if age < last:
                return
            if age == last or (len(numbers) > 2 and last - numbers[-4] < self._gap_seconds):
                del numbers[-2:]
        numbers.extend((age, size_bytes))
        if len(numbers) > 2 * MAX_POINTS:
            self._thin()

    def _thin(self) -> None:
        *earlier, last = self.points()
        self._numbers = array("q", itertools.chain(*earlier[::2], last))
        self._gap_seconds = 2 * (last[0] - earlier[0][0]) / MAX_POINTS

    def points(self) -> Points:
        """In the order of time; the last look is always one of them."""
        return tuple(zip(self._numbers[::2], self._numbers[1::2], strict=True))


class Curves:
    """The curve of each worker's present process, and of the process that its drain began with."""

    def __init__(self) -> None:
        self._present: dict[str, Curve] = {}
        """The worker that was seen last comes last."""
        self._drained: dict[str, Curve] = {}

    def add(self, worker: str, pid: int, age_seconds: float, size_bytes: int) -> None:
        """One look at a worker."""
        curve = self._present.pop(worker, None)
        if curve is None or curve.pid != pid:
            curve = Curve(pid)
        self._present[worker] = curve
        curve.add(age_seconds, size_bytes)
        if len(self._present) > MAX_CURVES:
            del self._present[next(iter(self._present))]

    def drain_begins(self, worker: str, pid: int) -> None:
        """Keep the curve of this process until the end of its drain, also when another process runs."""
        curve = self._present.get(worker)
        if curve is not None and curve.pid == pid:
            self._drained[worker] = curve

    def drain_ends(self, worker: str) -> Points:
        """The curve of the process that the drain began with; empty if it is not known."""
        curve = self._drained.pop(worker, None)
        return curve.points() if curve is not None else ()
