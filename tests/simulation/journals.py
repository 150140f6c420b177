"""The journal in memory, as far as it matters: always whole, not always writable."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_memkill.listener.journal import Journal, JournalError, Loaded
from supervisor_memkill.listener.journal_format import Contents, drain_from_json, drain_to_json

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class MemoryJournal:
    """Keeps the saved contents; loaded contents went through JSON."""

    path = Path("/memory")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass

    def keep(self) -> bool:
        return False

    def load(self) -> Loaded:
        contents = self._machine.disk
        drains = json.loads(json.dumps([drain_to_json(drain) for drain in contents.drains.values()]))
        read = {drain.worker: drain for drain in map(drain_from_json, drains)}
        return Loaded(dataclasses.replace(contents, drains=read))

    def save(self, contents: Contents) -> None:
        self._machine.point("journal before")
        is_next = not self._machine.is_unsaved
        self._machine.is_unsaved = self._machine.disk_is_full
        if self._machine.disk_is_full:
            raise JournalError("no space left on device")
        self._machine.world.promises.journalled(self._machine, contents, is_next=is_next)
        self._machine.disk = contents
        self._machine.point("journal after")


class DiskJournal(Journal):
    """The real journal, in a directory."""

    def __init__(self, machine: Machine, path: Path) -> None:
        super().__init__(path, f"boot {machine.boot}")
        self._machine = machine

    def save(self, contents: Contents) -> None:
        self._machine.point("journal before")
        is_next = not self._machine.is_unsaved
        self._machine.is_unsaved = self._machine.disk_is_full
        if self._machine.disk_is_full:
            raise JournalError("no space left on device")
        super().save(contents)
        self._machine.world.promises.journalled(self._machine, contents, is_next=is_next)
        self._machine.disk = contents
        self._machine.point("journal after")
