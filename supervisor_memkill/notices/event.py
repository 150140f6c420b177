"""Events, sinks, and the notifier between them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from typing import ClassVar, Protocol

from supervisor_memkill.dataclass import dataclass


class Level(enum.IntEnum):
    """How important an event is for a person."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True)
class Event:
    """One thing that happened. The docstring of each subclass is its meaning, for the documentation.

    A field whose name ends in ``_bytes`` or ``_seconds`` is a size or a duration. A field that is None is
    unknown, or does not apply.
    """

    name: ClassVar[str]
    """Stable: people and programs search logs by it."""
    level: ClassVar[Level] = Level.INFO
    """Usually; an event of its class may have a higher one."""
    hint: ClassVar[str] = ""
    """What a person should do; empty if there is nothing to do."""
    once_per: ClassVar[tuple[str, ...] | None] = None
    """The fields that name the subject: the event is reported again only after a change. None: always."""
    compared: ClassVar[tuple[str, ...] | None] = None
    """The fields that are compared to find a change; None: all fields."""

    @property
    def subject(self) -> tuple[object, ...]:
        return tuple(getattr(self, field) for field in self.once_per or ())

    @property
    def content(self) -> object:
        """The values that must differ from those of the last event."""
        if self.compared is None:
            return self
        return tuple(getattr(self, field) for field in self.compared)

    def fields(self) -> dict[str, object]:
        """The fields that are not None, in order."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}


class Sink(Protocol):
    """Takes events: the log, the pool's stream, a test. It handles its own errors."""

    def take(self, event: Event) -> None: ...


class Notifier:
    """Passes each event to every sink, but no event that was reported before and has not changed."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = list(sinks)
        self._last: dict[type[Event], dict[tuple[object, ...], object]] = {}

    def attach(self, sink: Sink) -> None:
        """Add a sink; it takes the next event and all later ones."""
        self._sinks.append(sink)

    def report(self, event: Event) -> None:
        if event.once_per is not None:
            seen = self._last.setdefault(type(event), {})
            if event.subject in seen and seen[event.subject] == event.content:
                return
            seen[event.subject] = event.content
        for sink in self._sinks:
            sink.take(event)

    def forget(self, kind: type[Event], *subject: object) -> None:
        """Report the next event of this class, or of a subclass, about this subject in any case."""
        for reported, seen in self._last.items():
            if issubclass(reported, kind):
                seen.pop(subject, None)
