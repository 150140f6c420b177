"""The pool's stream: the steps of drains, for the other hosts and for whoever reads it afterwards."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from supervisor_memkill.notices.drain_events import (
    DrainDone,
    DrainLetGo,
    DrainNotBegun,
    DrainState,
    DrainStep,
    StepEnded,
)
from supervisor_memkill.notices.event import Event


class StreamSink:
    """Leaves each step of a drain in its pool's stream, once something was done to the worker.

    A state is entered before its action. Where the action was certainly not sent, and nothing before it,
    the stream does not have the state.
    """

    def __init__(self, record: Callable[[str, str, Mapping[str, str]], None]) -> None:
        """`record` takes the pool, the event's name and its fields; it raises nothing."""
        self._record = record
        self._entered: dict[str, DrainState] = {}
        """By worker: the state that its drain entered, and that the stream does not have yet."""

    def take(self, event: Event) -> None:
        if isinstance(event, DrainState):
            self._entered[event.worker] = event
        elif isinstance(event, StepEnded):
            if event.touched and event.worker in self._entered:
                self._send(self._entered.pop(event.worker))
        elif isinstance(event, DrainDone | DrainLetGo):
            self._entered.pop(event.worker, None)
            self._send(event)
        elif isinstance(event, DrainNotBegun):
            self._entered.pop(event.worker, None)

    def _send(self, step: DrainStep) -> None:
        fields = {name: _text(value) for name, value in step.fields().items() if name != "pool"}
        self._record(step.pool, step.name, fields)


def _text(value: object) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
