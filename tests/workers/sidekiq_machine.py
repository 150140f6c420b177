"""A machine with one Sidekiq, on fakes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from supervisor_memkill.testing.fakes import (
    STARTED,
    FakeProcesses,
    FakeRedis,
    Signals,
    process,
    read_one,
    tools,
)
from supervisor_memkill.workers.contract import Note, Reading, Target
from supervisor_memkill.workers.sidekiq.kind import Sidekiq

HOST = "web1.example"
PID = 100
IDENTITY = f"{HOST}:{PID}:0a1b2c3d4e5f"
TITLE = "sidekiq 6.4.1 myapp [0 of 2 busy]"
JOB = json.dumps({"queue": "default", "payload": json.dumps({"class": "Report"})})


class Machine:
    """A worker with its record in Redis, and the kind that reads it at a wall clock of its own."""

    def __init__(
        self, *, wrapped: bool = False, title: str = TITLE, namespace: str = "", queues: str = "same"
    ) -> None:
        self.prefix = f"{namespace}:" if namespace else ""
        self.title = title
        self.processes = FakeProcesses({PID: title})
        if wrapped:
            self.processes = FakeProcesses({PID: title, 50: "sh -c bundle exec sidekiq; true"}, {PID: 50})
        self.supervised = process(50 if wrapped else PID)
        self.redis = FakeRedis()
        self.signals = Signals()
        self.now = STARTED + 500.0
        self.kind = Sidekiq(
            {"queues": queues},
            tools(lambda: self.redis, self.signals, namespace),
            hostname=HOST,
            wall=lambda: self.now,
        )

    def beat(
        self,
        busy: int = 0,
        quiet: bool = False,
        identity: str = IDENTITY,
        work: Mapping[str, str] | None = None,
        **info: object,
    ) -> None:
        """One heartbeat, now."""
        self.redis.data.setdefault(f"{self.prefix}processes", set()).add(identity)
        self.redis.data[self.prefix + identity] = {
            "info": json.dumps({"queues": ["default"], "started_at": STARTED + 60.5, **info}),
            "busy": str(busy),
            "beat": str(self.now),
            "quiet": str(quiet).lower(),
        }
        if identity == IDENTITY and "busy]" in self.processes.titles.get(PID, ""):
            self.processes.titles[PID] = self.title + (" stopping" if quiet else "")
        self.redis.data[f"{self.prefix}{identity}:workers"] = dict(
            work or {f"t{n}": JOB for n in range(busy)}
        )

    def read(self, note: Note | None = None) -> Reading:
        return read_one(self.kind, Target(self.supervised, note), self.processes.table)

    def quiet(self, note: Note | None = None) -> Note:
        return self.kind.quiet(Target(self.supervised, note or {}), self.processes.table)

    def before_stop(self, note: Note | None = None) -> None:
        self.kind.before_stop(Target(self.supervised, note or {}), self.processes.table)

    def waiting_signals(self) -> list[str]:
        return list(self.redis.data.get(f"{self.prefix}{IDENTITY}-signals", ()))
