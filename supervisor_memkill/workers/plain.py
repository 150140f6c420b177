"""``worker = plain``: any program. It is stopped and started, as memmon does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_memkill.workers.base import BaseKind
from supervisor_memkill.workers.contract import Reading, Target

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo
    from supervisor_memkill.world.memory import ProcessTable


_READING = Reading(True, True, quiet=None, busy=None)
"""Of each worker without a note: nothing else is known."""


class Plain(BaseKind):
    """Knows no framework: no quiet and no busy count, only the graceful stop."""

    framework = "a plain worker"

    def read_one(self, target: Target, table: ProcessTable) -> Reading:
        return Reading(True, True, quiet=None, busy=None, note=target.note) if target.note else _READING

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Yes: the process may be a wrapper or a preforking parent, whose own memory says little."""
        return True
