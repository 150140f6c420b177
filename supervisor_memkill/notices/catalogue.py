"""The catalogue of events. The documentation's list is made from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType

from supervisor_memkill.notices import delivery_events, drain_events, events, pool_events, request_events
from supervisor_memkill.notices.event import Event

MODULES = (events, request_events, pool_events, drain_events, delivery_events)


def _named(module: ModuleType) -> Iterator[type[Event]]:
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, Event) and hasattr(kind, "name"):
            yield kind


CATALOGUE: Mapping[str, type[Event]] = {kind.name: kind for module in MODULES for kind in _named(module)}
"""All events, by name."""
