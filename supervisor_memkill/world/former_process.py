"""Recognises that a former process of this listener has ended, from what that process recorded of itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import ProcessId
from supervisor_memkill.world.memory import ProcessTable


class MachineProcesses:
    """The processes of this machine, in this boot and this pid namespace.

    Containers on one machine have the same boot id, and may have the same pids.
    """

    def __init__(self, proc: Path = Path("/proc"), pid: int | None = None) -> None:
        """`pid`: the process of this listener; None: this one."""
        self._proc = proc
        self._pid = os.getpid() if pid is None else pid
        self._own: Mapping[str, str] = {}

    def own(self) -> Mapping[str, str]:
        """The process of this listener; empty if the system has no boot id or no pid namespaces.

        Each report of each pool names it. It is read once: it stays the same for as long as the process runs.
        """
        self._own = self._own or self._read_own()
        return self._own

    def _read_own(self) -> Mapping[str, str]:
        machine = self._machine()
        if not machine:
            return {}
        try:
            created = ProcessTable().identify(self._pid).created
        except Unknown:
            return {}
        return {"machine": machine, "pid": str(self._pid), "created": repr(created)}

    def has_ended(self, process: Mapping[str, Any]) -> bool:
        """The process ran on this machine and has surely ended; False if that cannot be known."""
        machine = self._machine()
        if not machine or process.get("machine") != machine:
            return False
        try:
            recorded = ProcessId(int(process["pid"]), float(process["created"]))
            if not _exists(recorded.pid):
                return True
            table = ProcessTable()
            table.identify(recorded.pid)  # Gone: the system hides the processes of other users.
            return not table.is_alive(recorded)
        except (Unknown, LookupError, TypeError, ValueError, OverflowError):
            return False

    def _machine(self) -> str:
        try:
            boot_id = (self._proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            return f"{boot_id} {(self._proc / 'self/ns/pid').readlink()}"
        except (OSError, ValueError):
            return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
