"""The log: one line per event, with its name and fields, on a stream that may fail."""

from __future__ import annotations

import contextlib
import enum
import math
import time
from collections.abc import Callable
from typing import TextIO

from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.units import format_duration, format_size

LEVELS = tuple(level.name.lower() for level in Level)
"""The values of `log_level`."""


class LogSink:
    """Writes events at or above its level. Errors of the stream are ignored."""

    def __init__(self, stream: TextIO, level: str = "info", clock: Callable[[], float] = time.time) -> None:
        """`clock` gives epoch seconds. Raises ValueError for a level that is not in LEVELS."""
        if level not in LEVELS:
            raise ValueError(f"not a log level: {level!r}; one of {', '.join(LEVELS)}")
        self._stream = stream
        self._threshold = Level[level.upper()]
        self._clock = clock

    def take(self, event: Event) -> None:
        if event.level < self._threshold:
            return
        # A drain must go on without a log. ValueError: the stream is closed.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{_timestamp(self._clock())} {line_of(event)}\n")
            self._stream.flush()


def line_of(event: Event) -> str:
    """The event as one line without its time: level, name, fields, and the hint if it has one."""
    fields = event.fields()
    measure = fields.pop("measure", "rss")
    words = [event.level.name, event.name]
    words += [_field(_as_measured(name, measure), value) for name, value in fields.items()]
    if event.hint:
        words.append(f"hint={_word(event.hint)}")
    return " ".join(words)


def _as_measured(name: str, measure: object) -> str:
    """``rss_bytes`` becomes ``pss_bytes`` where PSS was measured."""
    return f"{str(measure).replace('+', '_')}_bytes" if name == "rss_bytes" else name


def _field(name: str, value: object) -> str:
    """``rss_bytes=2469606195`` becomes ``rss=2.3GB``, and ``took_seconds=65.0`` becomes ``took=1m05s``."""
    for ending, form in (("_bytes", format_size), ("_seconds", format_duration)):
        if name.endswith(ending) and isinstance(value, (int, float)):
            return f"{name.removesuffix(ending)}={form(value)}"
    return f"{name}={_word(_plain(value))}"


def _timestamp(epoch_seconds: float) -> str:
    """Local time with milliseconds, in the format of supervisord's own log."""
    milliseconds = math.floor(epoch_seconds * 1000)
    local = time.localtime(milliseconds // 1000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', local)},{milliseconds % 1000:03d}"


def _word(text: str) -> str:
    """The text as one word, quoted if necessary."""
    if text and text.isprintable() and not set(text) & set(' "=\\'):
        return text
    escaped = "".join(c if c.isprintable() and c != "\\" else _escape(c) for c in text)
    return '"' + escaped.replace('"', '\\"') + '"'


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _plain(value: object) -> str:
    if isinstance(value, enum.Enum):
        # str() of an IntEnum differs between Python 3.10 and 3.11.
        return value.value if isinstance(value.value, str) else value.name
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, (list, tuple)):
        return ",".join(_plain(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return ",".join(sorted(_plain(item) for item in value))
    return str(value)
