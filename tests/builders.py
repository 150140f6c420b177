"""Values for tests, each with sensible defaults."""

from __future__ import annotations

from typing import Any

from supervisor_memkill.coordination.contract import Answer, Cause, Report
from supervisor_memkill.listener.journal_format import STOP_READERS
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import Drain, State, Stop
from supervisor_memkill.rules.step import OnTimeout, Plan
from supervisor_memkill.workers.contract import Reading, Traits

PID, START, EPOCH = 100, 1_000_000, 1_000_600
"""The process under test, its start, and supervisord's time at the test."""

SIDEKIQ_LIKE = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=30.0)
CUSTOM_LIKE = Traits(quiets=True, can_resume=True)
PLAIN_LIKE = Traits(quiets=False)


def info(state: ProcessState = ProcessState.RUNNING, **values: Any) -> ProcessInfo:
    """supervisord's word on the worker; stopped ones have no pid."""
    alive = state in (ProcessState.RUNNING, ProcessState.STARTING, ProcessState.STOPPING)
    defaults: dict[str, Any] = {
        "group": "jobs",
        "name": "one",
        "pid": PID if alive else 0,
        "start": START,
        "stop": 0,
        "now": EPOCH,
    }
    return ProcessInfo(state=state, **{**defaults, **values})


def reading(**values: Any) -> Reading:
    """A reading of a worker in service, unless told otherwise."""
    defaults: dict[str, Any] = {"recognised": True, "in_service": True, "quiet": False, "busy": 1}
    return Reading(**{**defaults, **values})


def drain(state: State, **values: Any) -> Drain:
    """A record that began at 0 and times out at 3600; ``stop_attempts=1`` is a field of its stop."""
    stop = {name: values.pop(f"stop_{name}") for name in STOP_READERS if f"stop_{name}" in values}
    defaults: dict[str, Any] = {
        "worker": "jobs:one",
        "pool": "jobs",
        "token": "t1",
        "reason": Reason.MAX_RSS,
        "pid": PID,
        "start": START,
        "began_at": 0.0,
        "since": 0.0,
        "deadline": 3600.0,
        "memory_before_bytes": 300,
        "limit_bytes": 200,
    }
    return Drain(state=state, stop=Stop(**stop), **{**defaults, **values})


def plan(traits: Traits = SIDEKIQ_LIKE, **values: Any) -> Plan:
    defaults: dict[str, Any] = {
        "hard_limit_bytes": None,
        "on_timeout": OnTimeout.STOP,
        "settle_seconds": 10.0,
    }
    return Plan(traits, **{**defaults, **values})


def answer(refused: Cause | None = None, others: int = 1, least: int = 1, draining: int = 0) -> Answer:
    return Answer(refused, others, least, draining)


FULL = answer(draining=1)
"""To a worker that holds its slot, after another one took a slot because of its hard limit."""


def report(worker: str, **values: Any) -> Report:
    """A worker in service that does not ask, unless told otherwise."""
    defaults: dict[str, Any] = {
        "pid": PID,
        "start": START,
        "memory_bytes": 100,
        "limit_bytes": 200,
        "in_service": True,
        "state": "RUNNING",
        "busy": None,
        "urgency": None,
    }
    return Report(worker, **{**defaults, **values})
