"""An event as JSON, for programs: names and values are stable, sizes are bytes, durations are seconds."""

from __future__ import annotations

import enum
import json
from pathlib import Path

from supervisor_memkill.notices.event import Event
from supervisor_memkill.notices.log import line_of

VERSION = 1


def event_as_json(event: Event, at: float, host: str) -> str:
    """One line; `at` in epoch seconds."""
    values = {
        "version": VERSION,
        "time": round(at, 3),
        "host": host,
        "event": event.name,
        "level": event.level.name,
        "hint": event.hint or None,
        "fields": {name: _plain(value) for name, value in event.fields().items()},
        "line": line_of(event),
    }
    return json.dumps(values) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value.value, str) else value.name
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
