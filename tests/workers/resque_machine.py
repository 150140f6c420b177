"""A machine with one Resque worker, on fakes."""

from __future__ import annotations

import json
from datetime import datetime, timezone

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
from supervisor_memkill.workers.resque.kind import Resque
from tests.workers.records_redis import RecordsRedis

HOST, PID = "web1.example", 100
IDENTITY = f"{HOST}:{PID}:high,default"
WAITING, PAUSED = "resque-2.7.0: Waiting for high,default", "resque-2.7.0: Paused"
WORKING = "resque-2.7.0: Forked 4711 at 1777629605"
PHP_ALONE, PHP_LISTENING = 0x4004A07, 0x4026A07
"""SigCgt of PHP that asked for no signals, and of one that did: CONT is bit 17."""
SHELL = "sh -c rake resque:work; true"


def ruby_time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%d %H:%M:%S +0000")


def iso_time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(name: str = "Report", *args: object) -> str:
    payload = {"class": name, "args": args}
    return json.dumps({"queue": "high", "run_at": "2026-05-01T10:00:00Z", "payload": payload})


class Machine:
    """A worker with its record in Redis and its title, and the kind that reads both."""

    def __init__(self, title: str = WAITING, *, namespace: str = "", wrapped: bool = False) -> None:
        self.prefix = namespace or "resque"
        titles, children = ({50: SHELL, PID: title}, {PID: 50}) if wrapped else ({PID: title}, {})
        self.processes = FakeProcesses(titles, children)
        self.supervised = process(50 if wrapped else PID)
        self.store = FakeRedis()
        self.signals = Signals()
        self.kind = self.make()

    def make(self, *record_hosts: str) -> Resque:
        namespace = self.prefix if self.prefix != "resque" else ""
        known = tools(lambda: RecordsRedis(self.store), self.signals, namespace, clock=lambda: 601.0)
        return Resque({"record_hosts": record_hosts}, known, hostname=HOST, wall=lambda: STARTED + 500.0)

    def register(self, identity: str = IDENTITY, started: float = STARTED + 5) -> None:
        self.put("workers", {*self.store.data.get(f"{self.prefix}:workers", ()), identity})
        self.put(f"worker:{identity}:started", ruby_time(started))
        self.beat(STARTED + 480, identity)

    def beat(self, epoch: float, identity: str = IDENTITY) -> None:
        self.put("workers:heartbeat", {identity: iso_time(epoch)})

    def work_on(self, text: str) -> None:
        self.put(f"worker:{IDENTITY}", text)
        self.processes.titles[PID] = WORKING

    def put(self, key: str, value: object) -> None:
        self.store.data[f"{self.prefix}:{key}"] = value

    def read(self, note: Note | None = None) -> Reading:
        return read_one(self.kind, Target(self.supervised, note), self.processes.table)

    def quiet(self) -> Note:
        return self.kind.quiet(Target(self.supervised, {}), self.processes.table)
