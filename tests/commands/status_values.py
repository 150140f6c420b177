"""Made-up statuses for tests: a listener with one pool in which much goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from supervisor_memkill.commands.found_listener import FoundListener
from supervisor_memkill.config.loaded import Loaded, LoadedSection
from supervisor_memkill.listener.state_values import (
    DrainState,
    ListenerState,
    Origin,
    OutageState,
    PauseState,
    PoolState,
    WorkerState,
    pid_namespace,
)
from supervisor_memkill.rules.requests import Act, OperatorRequest, RunningProcess, TakenRequest
from tests.commands.test_found_listener import state

GB = 1024**3
NOW = 100_000.0
FILE = "/etc/supervisor/conf.d/memkill.conf"
SECTION = LoadedSection(FILE, "0a")
CONFIGURATION = Loaded("", (FILE,), {"memkill:sidekiq": SECTION})
ORIGIN = Origin("memkill:memkill", 800, ("TICK_60",), 60.0, CONFIGURATION)


def worker(name: str, gigabytes: float | None, **values: Any) -> WorkerState:
    memory = None if gigabytes is None else int(gigabytes * GB)
    defaults: dict[str, Any] = {
        "pid": 12000 + len(name),
        "start": 1,
        "state": "RUNNING",
        "memory_bytes": memory,
        "busy": 5,
        "in_service": True,
        "verdict": "under its limit",
        "quiet": False,
        "cause": "under_limit",
        "samples": (memory,),
    }
    return WorkerState(worker=name, **{**defaults, **values})


def rise(first: float, last: float) -> tuple[int, ...]:
    """20 samples that rise steadily, in gigabytes."""
    return tuple(int((first + (last - first) * step / 19) * GB) for step in range(20))


DRAINED = worker(
    "sidekiq:sidekiq_0",
    2.4,
    busy=3,
    quiet=True,
    in_service=False,
    cause="under_way",
    samples=rise(0.9, 2.4),
    drain=DrainState("max_rss", "draining", NOW - 312, NOW - 314),
)
EVIDENCE = dataclasses.replace(
    DRAINED, busy=0, drain=DrainState("max_rss", "draining", NOW - 312, NOW - 314, evidence_since=NOW - 12)
)
"""The same worker, while its pool's `before_stop` runs."""
WAITING = worker(
    "sidekiq:sidekiq_1",
    2.1,
    reason="max_rss",
    cause="slots_taken",
    verdict="over its limit, but max_draining is reached (sidekiq:sidekiq_0)",
    samples=rise(1.9, 2.1),
)
USUAL = worker("sidekiq:sidekiq_2", 1.2, busy=1, samples=rise(1.15, 1.2))
STARTING = worker(
    "sidekiq:sidekiq_3", None, busy=None, quiet=None, in_service=False, state="STARTING", samples=()
)


def pool(*workers: WorkerState, **values: Any) -> PoolState:
    defaults: dict[str, Any] = {
        "name": "sidekiq",
        "looked_at": NOW - 4,
        "limit_bytes": 2 * GB,
        "hard_limit_bytes": 3 * GB,
        "min_available": 1,
        "max_draining": 1,
        "kind": "sidekiq",
        "measure": "rss",
    }
    return PoolState(workers=workers or (DRAINED, WAITING, USUAL, STARTING), **{**defaults, **values})


def listener(*pools: PoolState, **values: Any) -> ListenerState:
    """The state of a listener that lives, and that wrote it a moment ago."""
    defaults: dict[str, Any] = {
        "version": "0.1.0",
        "host": "web-1",
        "started_at": NOW - 10_920,
        "written_at": NOW - 4,
        "ticked_at": NOW - 23,
        "origin": ORIGIN,
        "namespace": pid_namespace(),
        "pools": pools or (pool(),),
    }
    return state(**{**defaults, **values})


def found(written: ListenerState | None = None, **values: Any) -> FoundListener:
    defaults: dict[str, Any] = {"changes": ()}
    return FoundListener(Path("/own/x.journal"), written or listener(), **{**defaults, **values})


REQUEST = TakenRequest(
    OperatorRequest("ab" * 8, Act.RESTART, ("sidekiq",), 86400.0),
    NOW - 60,
    NOW + 86340,
    {USUAL.worker: RunningProcess(USUAL.pid, 1), WAITING.worker: RunningProcess(1, 1)},
)
PAUSE = PauseState("sidekiq", NOW - 300, NOW + 3300, except_hard=True)
OUTAGE = OutageState("Redis: no answer", NOW - 200)
