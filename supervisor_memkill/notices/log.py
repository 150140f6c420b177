"""The log: one line per event, an event name and its fields, on a stream that may fail."""

from __future__ import annotations

import contextlib
import enum
import math
import time
from collections.abc import Callable, Mapping
from typing import TextIO

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class EventLog:
    """Writes events at or above its level. Nothing that the stream does reaches the caller."""

    def __init__(self, stream: TextIO, level: str = "info", clock: Callable[[], float] = time.time) -> None:
        """`clock` gives epoch seconds; raises ValueError for a level that is not in LEVELS."""
        if level not in LEVELS:
            raise ValueError(f"not a log level: {level!r}; one of {', '.join(LEVELS)}")
        self._stream = stream
        self._threshold = LEVELS[level]
        self._clock = clock
        self._last: dict[str, tuple[str, object]] = {}

    def debug(self, event: str, /, **fields: object) -> None:
        self._write("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        self._write("error", event, fields)

    def changed(
        self, key: str, event: str, /, *, level: str = "info", by: object = None, **fields: object
    ) -> None:
        """Log the event unless it is, field for field, what was last logged under this key.

        With `by`, that alone is compared: the fields may hold figures that are never twice the same.
        """
        content = (event, fields if by is None else by)
        if self._last.get(key) == content:
            return
        self._last[key] = content
        self._write(level, event, fields)

    def forget(self, key: str) -> None:
        """Whatever comes next under this key is a change."""
        self._last.pop(key, None)

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        if LEVELS[level] < self._threshold:
            return
        words = [_timestamp(self._clock()), level.upper(), event]
        words += [f"{name}={_text(value)}" for name, value in fields.items() if value is not None]
        # A worker that is already quiet must be seen through, log or no log. ValueError: closed.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(" ".join(words) + "\n")
            self._stream.flush()


def _timestamp(epoch_seconds: float) -> str:
    """Local time to the millisecond, in the form of supervisord's own log."""
    milliseconds = math.floor(epoch_seconds * 1000)
    local = time.localtime(milliseconds // 1000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', local)},{milliseconds % 1000:03d}"


def _text(value: object) -> str:
    """The value as one word, quoted where it would not be one."""
    text = _plain(value)
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
