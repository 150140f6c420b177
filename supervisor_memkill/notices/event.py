"""What an event is, who takes it, and how it gets there."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from typing import ClassVar, Protocol


class Level(enum.IntEnum):
    """How much an event matters to a person."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclasses.dataclass(frozen=True)
class Event:
    """One thing that happened. The docstring of each subclass is its meaning, for the documentation.

    A field whose name ends in ``_bytes`` or ``_seconds`` is a size or a duration. A field that is None is
    unknown, or does not apply.
    """

    name: ClassVar[str]
    """Stable: logs, hooks and metrics are searched by it."""
    level: ClassVar[Level] = Level.INFO
    hint: ClassVar[str] = ""
    """What a person should do about it; empty when there is nothing to do."""
    once_per: ClassVar[tuple[str, ...] | None] = None
    """The fields that name its subject: it is reported again only when it changed. None: always reported."""
    compared: ClassVar[tuple[str, ...] | None] = None
    """The fields by which a change is judged; None: all of them."""

    @property
    def subject(self) -> tuple[object, ...]:
        return tuple(getattr(self, field) for field in self.once_per or ())

    @property
    def content(self) -> object:
        """What must differ from the last one, so that this one is reported."""
        if self.compared is None:
            return self
        return tuple(getattr(self, field) for field in self.compared)

    def fields(self) -> dict[str, object]:
        """The fields that are known, in order."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}


class Sink(Protocol):
    """Takes events: the log, the pool's stream, a test. What goes wrong in it is its own business."""

    def take(self, event: Event) -> None: ...


class Notifier:
    """Hands each event to every sink, and leaves out what was reported before and has not changed."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = list(sinks)
        self._last: dict[type[Event], dict[tuple[object, ...], object]] = {}

    def attach(self, sink: Sink) -> None:
        """One more sink, from the next event on."""
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
        """The next event of this class, or of one derived from it, about this subject is a change."""
        for reported, seen in self._last.items():
            if issubclass(reported, kind):
                seen.pop(subject, None)
