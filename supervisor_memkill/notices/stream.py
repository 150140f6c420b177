"""The pool's stream in Redis: the steps of drains, for other hosts and for later reading."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from supervisor_memkill.notices.drain_events import (
    DrainDone,
    DrainKilled,
    DrainLetGo,
    DrainNotBegun,
    DrainState,
    DrainStep,
    StepEnded,
)
from supervisor_memkill.notices.event import Event
from supervisor_memkill.notices.pool_events import WorkerHeldLong


class StreamSink:
    """Records each step of a drain in its pool's stream, after something was done to the worker.

    It also records each worker that was held for long.

    A drain enters a state before its action. If neither this action nor an earlier one was sent, the stream
    does not get the state.
    """

    def __init__(self, record: Callable[[str, str, Mapping[str, str]], None]) -> None:
        """`record` takes the pool, the event's name and its fields. It raises no error."""
        self._record = record
        self._entered: dict[str, DrainState] = {}
        """By worker: the state that its drain entered, while the stream does not have it yet."""

    def take(self, event: Event) -> None:
        if isinstance(event, DrainState):
            self._entered[event.worker] = event
        elif isinstance(event, StepEnded):
            if event.touched and event.worker in self._entered:
                self._send(self._entered.pop(event.worker))
        elif isinstance(event, DrainDone | DrainKilled | DrainLetGo):
            self._entered.pop(event.worker, None)
            self._send(event)
        elif isinstance(event, DrainNotBegun):
            self._entered.pop(event.worker, None)
        elif isinstance(event, WorkerHeldLong):
            self._send(event)

    def _send(self, event: DrainStep | WorkerHeldLong) -> None:
        fields = {name: _text(value) for name, value in event.fields().items() if name != "pool"}
        self._record(event.pool, event.name, fields)


def _text(value: object) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
