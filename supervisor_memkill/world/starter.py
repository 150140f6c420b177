"""The supervisord that started this process. The listener keeps it in memory, and loads no psutil for it."""

from __future__ import annotations

import os

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.world.backend import PsutilBackend


@dataclass(frozen=True)
class Starter:
    """The supervisord that started this process."""

    pid: int
    child: int
    """The process that supervisord itself started: this one, or an ancestor such as a shell."""

    @property
    def is_direct(self) -> bool:
        return self.child == os.getpid()

    def lives(self) -> bool:
        """Whether this supervisord lives. A process whose parent died has another parent."""
        if self.is_direct:
            return os.getppid() == self.pid
        try:
            return PsutilBackend().parent(self.child) == self.pid
        except Unknown:
            return False
