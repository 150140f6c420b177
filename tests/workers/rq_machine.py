"""A machine with one RQ worker, on fakes."""

from __future__ import annotations

from datetime import datetime, timezone

from supervisor_memkill.testing.fakes import (
    STARTED,
    FakeProcesses,
    FakeRedis,
    process,
    read_one,
    tools,
)
from supervisor_memkill.workers.contract import Note, Reading, Target
from supervisor_memkill.workers.rq.kind import RQ
from tests.workers.records_redis import RecordsRedis

HOST = "web1.example"
PID = 100
TITLE = "/srv/venv/bin/python /srv/venv/bin/rq worker high default"
POOL = "/srv/venv/bin/python /srv/venv/bin/rq worker-pool -n 2 high default"
SHELL = "sh -c rq worker high; true"


def moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Machine:
    """A supervised process with workers' records in Redis, and the kind that reads them."""

    def __init__(self, title: str = TITLE, *children: int, namespace: str = "") -> None:
        self.prefix = namespace or "rq"
        self.processes = FakeProcesses(
            {PID: title, **dict.fromkeys(children, TITLE)}, dict.fromkeys(children, PID)
        )
        self.store = FakeRedis()
        self.kind = RQ(
            {},
            tools(lambda: RecordsRedis(self.store), namespace=namespace),
            hostname=HOST,
            wall=lambda: STARTED + 500.0,
        )

    def record(self, pid: int = PID, state: str = "idle", **fields: str) -> str:
        """A worker writes its hash; its key."""
        key = f"{self.prefix}:worker:name-of-{pid}"
        self.store.data.setdefault(f"{self.prefix}:workers", set()).add(key)
        self.store.data[key] = {
            "hostname": HOST,
            "pid": str(pid),
            "state": state,
            "birth": moment(STARTED + 5),
            "last_heartbeat": moment(STARTED + 400),
            "queues": "high,default",
            **fields,
        }
        return key

    def read(self, note: Note | None = None) -> Reading:
        return read_one(self.kind, Target(process(PID), note), self.processes.table)
