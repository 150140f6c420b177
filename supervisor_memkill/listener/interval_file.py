"""The file of the intervals in which workers were observed: JSON lines beside the journal, bounded."""

from __future__ import annotations

from pathlib import Path

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.line_file import MAX_BYTES, LineFile, Paths, read_lines
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.intervals import MAX_LINE_BYTES, Interval, from_line, to_line

SUFFIX, FORMER_SUFFIX = ".jobs", ".jobs.1"


def paths_beside(journal: Path) -> Paths:
    """The present file and the former one."""
    return Paths(journal.with_name(journal.name + SUFFIX), journal.with_name(journal.name + FORMER_SUFFIX))


def files_beside(journal: Path) -> tuple[Path, Path]:
    """The same as a pair."""
    paths = paths_beside(journal)
    return paths.present, paths.former


class IntervalFile:
    """Appends intervals. A failure is reported once, and the last ones wait until writing works again."""

    def __init__(
        self, journal: Path, outage: Outage, clock: Clock = boot_clock, *, max_bytes: int = MAX_BYTES
    ) -> None:
        """`outage` may be the one of the history: the file is a part of it."""
        self._file = LineFile(
            paths_beside(journal),
            outage,
            clock,
            max_bytes=max_bytes,
            max_line_bytes=MAX_LINE_BYTES,
            part=SUFFIX,
        )

    def keep(self, interval: Interval) -> None:
        """Append the interval. Raises nothing."""
        self._file.append(to_line(interval))

    def tend(self) -> None:
        """Write what waits, and keep the files young where others remove old files. Raises nothing."""
        self._file.tend()


# --- reading -----------------------------------------------------------------------------------------


class IntervalsError(MemkillError):
    """There are intervals that cannot be read."""


@dataclass(frozen=True)
class Intervals:
    """The intervals that could be read, the oldest first."""

    intervals: tuple[Interval, ...] = ()
    damaged: int = 0
    """Lines that are no interval."""


def read(journal: Path) -> Intervals:
    """The intervals beside this journal; none if there is no file. Raises IntervalsError."""
    paths = paths_beside(journal)
    try:
        lines = read_lines(paths)
    except PermissionError:
        raise IntervalsError(
            f"{paths.present} belongs to another user: run this as root or as the listener's user"
        ) from None
    except OSError as error:
        raise IntervalsError(f"{paths.present} cannot be read: {error.strerror or error}") from error
    intervals, damaged = list[Interval](), 0
    for line in lines:
        try:
            intervals.append(from_line(line))
        except ValueError:
            damaged += 1
    return Intervals(tuple(intervals), damaged)
