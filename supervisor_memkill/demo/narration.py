"""Turns the listener's log into sentences for somebody who sees it for the first time. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.rules.policy import Hold

_LINE = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (?P<level>[A-Z]+) (?P<name>\S+)(?P<fields>.*)")
_DETAIL = re.compile(r".*\((.*)\)")
"""The end of a refusal, such as the worker that drains first."""
_WAITS_FOR_A_WORKER = {Cause.SLOTS_TAKEN.value, Cause.MORE_URGENT.value}
_FIELD = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


@dataclass(frozen=True)
class Event:
    """One line of the listener's log."""

    level: str
    name: str
    fields: Mapping[str, str]

    @property
    def worker(self) -> str:
        """``group:name``; "" for an event without a worker."""
        return self.fields.get("worker", "")


def parse(line: str) -> Event | None:
    """The event in a line of the log; None for a line that is no event."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    fields = {name: quoted or plain for name, quoted, plain in _FIELD.findall(found["fields"])}
    return Event(found["level"], found["name"], fields)


def narrate(event: Event) -> str:
    """The event as a sentence; "" for an event that does not matter to the audience."""
    sentence = _SENTENCES.get(event.name)
    if sentence is not None:
        return sentence(_Fields(event.fields))
    if event.level in ("WARNING", "ERROR"):
        return f"{event.level}: {event.name} " + " ".join(f"{k}={v}" for k, v in event.fields.items())
    return ""


class _Fields(dict[str, str]):
    """A field that is missing in the log reads ``?``."""

    def __missing__(self, key: str) -> str:
        return "?"


def _held(fields: _Fields) -> str:
    over = f"{fields['worker']} is over its limit ({fields['rss']})"
    why = fields["why"].removeprefix("over its limit, but ")
    cause = fields["cause"]
    if cause == Hold.STRIKES.value:
        return ""  # The next check comes soon.
    if cause in _WAITS_FOR_A_WORKER and (first := _DETAIL.fullmatch(why)):
        return f"{over} and waits until {first[1]} is back."
    return f"{over} and waits: {why}."


_SENTENCES: Mapping[str, Callable[[_Fields], str]] = {
    "listener.started": lambda fields: "supervisor-memkill has started. It checks all workers every 5s.",
    "worker.held": _held,
    "worker.held_for_ever": _held,
    "drain.quieting": lambda fields: (
        f"{fields['worker']} is over its limit ({fields['rss']} of {fields['max_rss']}): it takes no new job."
    ),
    "drain.stopping": lambda fields: f"{fields['worker']} has no running job: it is stopped.",
    "drain.starting": lambda fields: f"{fields['worker']} has stopped: it is started again.",
    "drain.settling": lambda fields: (
        f"{fields['worker']} runs again as process {fields['pid']}, and must stay up for a moment."
    ),
    "drain.done": lambda fields: (
        f"{fields['worker']} is in service again after {fields['took']}:"
        f" {fields['before']} before, {fields['after']} now."
    ),
    "drain.killed": lambda fields: f"{fields['worker']} did not end by itself, and was killed.",
}
