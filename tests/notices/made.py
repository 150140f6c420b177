"""Events of tests' own making."""

from __future__ import annotations

import dataclasses
from typing import Any

from supervisor_memkill.notices.event import Event, Level


def made(name: str, level: Level = Level.INFO, hint: str = "", /, **fields: object) -> Event:
    """An event with this name and these fields."""
    namespace = {"name": name, "level": level, "hint": hint}
    # A field may have the name of an attribute of the class, as `name` itself.
    kind: Any = dataclasses.make_dataclass(
        "Made", [(field, object) for field in fields], bases=(Event,), frozen=True, namespace=namespace
    )
    event: Event = kind(**fields)
    return event
