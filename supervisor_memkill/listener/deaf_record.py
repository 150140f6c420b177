"""A small file beside the journal: how often the listener ended because it heard no TICK.

It outlives the listener, so that a cause that a new process does not remove leads to a few restarts and not
to endless ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from supervisor_memkill import checked
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.journal import make_private_directory

MAX_BYTES = 1000


@dataclass(frozen=True)
class _Kept:
    restarts: int = 0
    period_seconds: float = 0.0


class DeafRecord:
    """The file of one process of supervisord's; in memory and on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = _read(path)

    @property
    def restarts(self) -> int:
        """How often in a row it ended without having heard a TICK."""
        return self._kept.restarts

    @property
    def period_seconds(self) -> float:
        """The period of the TICKs that were heard last; 0 if none was ever heard."""
        return self._kept.period_seconds

    def save(self, *, restarts: int, period_seconds: float) -> bool:
        """Keep these values. True if they are on disk."""
        kept = _Kept(restarts, period_seconds)
        if kept == self._kept:
            return True
        self._kept = kept
        try:
            make_private_directory(self.path.parent)
            temporary = self.path.with_name(self.path.name + ".new")
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump({"restarts": restarts, "period_seconds": period_seconds}, file)
            temporary.replace(self.path)
        except (OSError, MemkillError):
            return False
        return True


def record_path(journal: Path, worker: str) -> Path:
    """The file for this process of the listener, ``group:name``, beside its journal."""
    return journal.with_name(f"{journal.name}.{re.sub('[^A-Za-z0-9]+', '-', worker)}.ticks")


def _read(path: Path) -> _Kept:
    """Its contents; a file that is absent or damaged counts as empty."""
    with contextlib.suppress(OSError, ValueError, KeyError, RecursionError):
        with path.open("rb") as file:
            found = checked.mapping(json.loads(file.read(MAX_BYTES)))
        return _Kept(checked.count(found["restarts"]), max(0.0, checked.seconds(found["period_seconds"])))
    return _Kept()
