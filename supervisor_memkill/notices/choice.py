"""Which events reach a person: the choice of `hook_events` and `notify_events`."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence

from supervisor_memkill.notices.catalogue import CATALOGUE
from supervisor_memkill.notices.delivery_events import DeliveryEvent
from supervisor_memkill.notices.drain_events import DryRunDrainLeft
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.notices.events import Back, ListenerRefused
from supervisor_memkill.notices.pool_events import DryRunVerdict

_NEVER = (DeliveryEvent, ListenerRefused, DryRunDrainLeft, DryRunVerdict)
"""These reach the log alone: no hook or notice is there yet, or a dry run has none."""

DELIVERABLE: Sequence[str] = tuple(
    name for name, kind in CATALOGUE.items() if kind.level > Level.DEBUG and not issubclass(kind, _NEVER)
)
"""The events that a hook or a notice can get."""


def needs_a_person(kind: type[Event]) -> bool:
    """There is something to do, or what was to be done is over."""
    return bool(kind.hint) or issubclass(kind, Back)


BY_DEFAULT = frozenset(name for name in DELIVERABLE if needs_a_person(CATALOGUE[name]))


def chosen(patterns: Iterable[str]) -> frozenset[str]:
    """The names of the events that these names and patterns choose; without any, those of `BY_DEFAULT`."""
    found = {name for pattern in patterns for name in _matched(pattern)}
    return frozenset(found) or BY_DEFAULT


def chooser(patterns: Sequence[str]) -> Callable[[Event], bool]:
    """Whether an event is chosen. Without patterns, also one that is more than its class: a graver cause."""
    names = chosen(patterns)

    def chooses(event: Event) -> bool:
        is_grave = not patterns and type(event).level < Level.WARNING <= event.level
        return event.name in names or (is_grave and event.name in DELIVERABLE)

    return chooses


def parse_events(text: str) -> tuple[str, ...]:
    """Names and patterns. Raises ValueError for one that chooses no event."""
    patterns = tuple(word for word in re.split(r"[\s,]+", text) if word)
    if not patterns:
        raise ValueError("names of events, separated by spaces or commas")
    for pattern in patterns:
        if not _matched(pattern):
            raise ValueError(f"names or patterns of events: {_why_none(pattern)}")
    return patterns


def _matched(pattern: str) -> list[str]:
    return [name for name in DELIVERABLE if fnmatch.fnmatchcase(name, pattern)]


def _why_none(pattern: str) -> str:
    if pattern in CATALOGUE:
        return f"{pattern} reaches the log alone"
    near = difflib.get_close_matches(pattern, DELIVERABLE, n=1)
    return f"no event is named {pattern}" + (f", did you mean {near[0]}?" if near else "")
