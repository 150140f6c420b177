"""The file of the history: JSON lines beside the journal, with a bounded size."""

from __future__ import annotations

from pathlib import Path

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.line_file import MAX_BYTES, LineFile, Paths, read_lines
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.records import (
    MAX_LINE_BYTES,
    OtherVersionError,
    Record,
    from_line,
    to_line,
)

SUFFIX, FORMER_SUFFIX = ".history", ".history.1"


def paths_beside(journal: Path) -> tuple[Path, Path]:
    """The present file and the former one. Each has room for some 1500 drains."""
    return journal.with_name(journal.name + SUFFIX), journal.with_name(journal.name + FORMER_SUFFIX)


class HistoryFile:
    """Appends records. A failure is reported once, and the records wait until writing works again."""

    def __init__(
        self, journal: Path, outage: Outage, clock: Clock = boot_clock, *, max_bytes: int = MAX_BYTES
    ) -> None:
        paths = Paths(*paths_beside(journal))
        self._file = LineFile(paths, outage, clock, max_bytes=max_bytes, max_line_bytes=MAX_LINE_BYTES)

    def keep(self, record: Record) -> None:
        """Append the record. Raises nothing."""
        self._file.append(to_line(record))

    def tend(self) -> None:
        """Write what waits, and keep the files young where others remove old files. Raises nothing."""
        self._file.tend()


# --- reading -----------------------------------------------------------------------------------------


class HistoryError(MemkillError):
    """There is a history that cannot be read."""


@dataclass(frozen=True)
class History:
    """The records that could be read, the oldest first."""

    records: tuple[Record, ...] = ()
    damaged: int = 0
    """Lines that are no record."""
    of_other_version: int = 0
    """Records that a newer version wrote."""


def read(journal: Path) -> History:
    """The history beside this journal; empty if there is none. Raises HistoryError."""
    path, _ = paths_beside(journal)
    try:
        lines = read_lines(Paths(*paths_beside(journal)))
    except PermissionError:
        raise HistoryError(
            f"{path} belongs to another user: run this as root or as the listener's user"
        ) from None
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror or error}") from error
    records, damaged, newer = list[Record](), 0, 0
    for line in lines:
        try:
            records.append(from_line(line))
        except OtherVersionError:
            newer += 1
        except ValueError:
            damaged += 1
    return History(tuple(records), damaged, newer)
