"""How a stop by the listener ended: by the worker itself, or by a signal that cut its jobs. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection

from supervisor_memkill.processes import ENDED_BY_SIGNAL, ProcessInfo
from supervisor_memkill.rules.drain import Stop
from supervisor_memkill.workers.contract import Reading

CLOCKS_APART_SECONDS = 2.0
"""supervisord's times are whole seconds, so that two durations that are equal may differ by so much."""


def with_running_jobs(stop: Stop, reading: Reading | None) -> Stop:
    """The stop with the jobs that run when it is sent, by the last reading.

    A count of 0 may be older than the last job; only an idle worker has none.
    """
    if stop.was_kill:
        return stop  # A second stop of the same drain, for a new process: the first one cut the jobs.
    if reading is None or not (reading.busy or reading.idle):
        return dataclasses.replace(stop, busy=None, jobs=None)
    return dataclasses.replace(stop, busy=reading.busy, jobs=reading.jobs)


def is_kill_logged(log: str, name: str, pid: int) -> bool:
    """Whether supervisord's log says that supervisord sent its SIGKILL to this process.

    `name` is the name of the process without its group (supervisor/process.py). A later process may have had
    the same pid: only lines behind the last spawn of this one count, if that is in the log.
    """
    since = max(0, log.rfind(f"spawned: '{name}' with pid {pid}\n"))
    return f"killing '{name}' ({pid}) with SIGKILL" in log[since:]


def was_kill(
    stop: Stop, process: ProcessInfo, survivors: Collection[int], now: float, *, is_logged: bool = False
) -> bool:
    """Whether this stop ended in SIGKILL, or by another signal while jobs were running.

    `process` is as supervisord first showed it stopped; `is_logged`: supervisord's log says that it sent its
    SIGKILL. supervisord reports that a signal ended a process, but not which one, and its log may be off,
    short or unreadable. Then the time counts: its own SIGKILL comes after stopwaitsecs, and not earlier. A
    worker that a signal ends earlier did not catch that signal, or got another one: this cuts the jobs that
    were running, unless they run in a process that is still alive.
    """
    if stop.was_kill:
        return True
    if process.exitstatus != ENDED_BY_SIGNAL:
        return False
    if is_logged:
        return True
    if _seconds(stop, process, now) >= stop.wait_seconds:
        return True
    return bool(stop.busy) and not survivors


def _seconds(stop: Stop, process: ProcessInfo, now: float) -> float:
    """How long the process took to end; the longest possible time if supervisord's clock was set."""
    longest = math.inf if stop.sent_at is None else now - stop.sent_at
    seconds = process.stop - stop.last_asked_epoch
    return seconds if 0 <= seconds <= longest + CLOCKS_APART_SECONDS else longest
