"""The process of a drain under a clock that was set: supervisord may then report another start for it."""

from __future__ import annotations

import contextlib
import dataclasses

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import ProcessId, ProcessInfo
from supervisor_memkill.rules.drain import Drain
from supervisor_memkill.world.memory import ProcessTable


def creation_time(pid: int, table: ProcessTable) -> float | None:
    """When the process began, by the system; None: unknown."""
    try:
        return table.identify(pid).created
    except Unknown:
        return None


def with_present_start(drain: Drain, process: ProcessInfo | None, table: ProcessTable) -> Drain:
    """The record with the start that supervisord reports now, if the process is certainly the recorded one.

    supervisord moves the start of a young process back when the clock was set back
    (supervisor/process.py, _check_and_adjust_for_system_clock_rollback).
    """
    if process is None or process.pid != drain.pid or process.start == drain.start or drain.created is None:
        return drain
    with contextlib.suppress(Unknown):
        if table.is_alive(ProcessId(drain.pid, drain.created)):
            return dataclasses.replace(drain, start=process.start)
    return drain
