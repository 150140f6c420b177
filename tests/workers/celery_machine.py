"""A machine with Celery workers whose nodes answer a fake control."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from supervisor_memkill.testing.contract_suite import check_reading
from supervisor_memkill.testing.fakes import FakeProcesses, process, read_one, tools
from supervisor_memkill.workers.celery.control import Answers, Command
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.celery.remote import (
    ANSWER_SECONDS,
)
from supervisor_memkill.workers.contract import Note, Reading, Target

HOST = "web1.example"
PID, CHILD = 100, 101
ONE = f"one@{HOST}"
TITLE = "/srv/venv/bin/python /srv/venv/bin/celery -A app worker -n one@%h"
SCRIPT = "/srv/venv/bin/python /srv/app/work.py"
EPOCH = 1_700_000_000.0
"""When the machine was started."""
UPTIME = 850
"""Of a node by its own word. The machine runs for 1000 s, and each process began at its pid in seconds."""
SHELL = "sh -c celery -A app worker -n one@%h; true"


def queue(name: str, exchange_type: str = "direct") -> dict[str, Any]:
    return {
        "name": name,
        "exchange": {"name": name, "type": exchange_type, "durable": True},
        "routing_key": f"{name}.key",
        "durable": True,
    }


class Node:
    """One worker as its answers show it."""

    def __init__(self, name: str = ONE, pid: object = PID, *queues: str) -> None:
        self.name = name
        self.pid = pid
        self.queues: Any = [queue(one) for one in queues or ("celery",)]
        self.uptime: object = UPTIME
        self.children: Any = []
        self.total: Any = {}
        self.reserved: Any = []
        self.active: Any = []
        self.scheduled: Any = []
        self.deaf = False
        self.is_late = False
        """The node runs a command after the next question."""
        self.received: list[Command] = []

    def answer(self, question: str) -> object:
        stats = {"pid": self.pid, "uptime": self.uptime, "pool": {"processes": self.children}}
        stats["total"] = self.total
        return {"stats": stats, "active_queues": self.queues}.get(question, getattr(self, question, None))

    def do(self, command: Command) -> None:
        self.received.append(command)
        if self.is_late:
            return
        name = command.arguments.get("queue")
        if command.name == "cancel_consumer":
            self.queues = [one for one in self.queues if one["name"] != name]
        elif command.name == "add_consumer":
            self.queues = [*self.queues, queue(str(name))]


class FakeControl:
    """Nodes that answer at once; raises `error` instead once that is set."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = list(nodes)
        self.error: Exception | None = None
        self.asked: list[tuple[tuple[str, ...], tuple[str, ...] | None, bool]] = []

    def ask(
        self, names: Sequence[str], nodes: Collection[str] | None, seconds: float, *, whole: bool = False
    ) -> Answers:
        assert seconds <= ANSWER_SECONDS
        self.asked.append((tuple(names), None if nodes is None else tuple(nodes), whole))
        if self.error is not None:
            raise self.error
        heard = [one for one in self.nodes if not one.deaf and (nodes is None or one.name in nodes)]
        return {name: [(one.name, one.answer(name)) for one in heard] for name in names}

    def tell(self, node: str, commands: Sequence[Command]) -> None:
        if self.error is not None:
            raise self.error
        for one in self.nodes:
            if one.name == node and not one.deaf:
                for command in commands:
                    one.do(command)


class Machine:
    """A supervised process, its node, and the kind that looks at both."""

    def __init__(self, title: str = TITLE, node: Node | None = None) -> None:
        self.node = node or Node()
        self.control = FakeControl(self.node)
        self.processes = FakeProcesses({PID: title, CHILD: TITLE}, {CHILD: PID})
        self.now = 1000.0
        clock = tools(clock=lambda: self.now)
        self.kind = Celery({"broker": None}, clock, self.control, HOST, wall=lambda: EPOCH + self.now)

    def read(self, note: Note | None = None) -> Reading:
        reading = read_one(self.kind, Target(process(PID), note), self.processes.table)
        check_reading(reading)
        return reading

    def quiet(self, note: Note) -> Note:
        return self.kind.quiet(Target(process(PID), note), self.processes.table)

    def resume(self, note: Note) -> None:
        self.kind.resume(Target(process(PID), note), self.processes.table)

    def drained(self) -> Note:
        """The note of a worker that was quieted."""
        return self.quiet(self.read().note)
