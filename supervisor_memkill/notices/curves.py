"""The memory of each process since it began, as a thinned curve of bounded length."""

from __future__ import annotations

from array import array

MAX_POINTS = 48
"""Of one curve."""
MAX_CURVES = 4000
"""Of all workers; of more, those that were seen last have one. A curve takes about 1 KB."""

Points = tuple[tuple[int, int], ...]
"""Seconds since the process began, and bytes."""


class Curve:
    """The memory of one process. When it is full, every second point goes."""

    __slots__ = ("_bytes", "_gap_seconds", "_last", "_seconds", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._seconds = array("q")
        self._bytes = array("q")
        self._last: tuple[int, int] | None = None
        self._gap_seconds = 0.0
        """The least distance between two points."""

    def add(self, age_seconds: float, size_bytes: int) -> None:
        """A clock that was set back moves no point: the curve waits until the clock is past its last one."""
        age = int(age_seconds)
        if self._last is not None and age < self._last[0]:
            return
        self._last = (age, size_bytes)
        if self._seconds and age - self._seconds[-1] < self._gap_seconds:
            return
        self._seconds.append(age)
        self._bytes.append(size_bytes)
        if len(self._seconds) >= MAX_POINTS:
            self._seconds, self._bytes = self._seconds[::2], self._bytes[::2]
            self._gap_seconds = 2 * (age - self._seconds[0]) / MAX_POINTS

    def points(self) -> Points:
        """In the order of time; the last look is always one of them."""
        kept = tuple(zip(self._seconds, self._bytes, strict=True))
        if self._last is None or kept[-1] == self._last:
            return kept
        return (*kept, self._last)


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
