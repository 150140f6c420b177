"""Sizes, durations and the other plain values of the configuration: read from text, shown to people.

Every parser raises ValueError with a text that says what is allowed. It does not repeat the value, which
may be a secret in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from supervisor_memkill.dataclass import dataclass

_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z%]*)", re.IGNORECASE)
_SIZE_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_DURATION_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_BYTES = 2**60
_MAX_SECONDS = 36500 * 86400.0
"""A time that every system can wait for (threading.TIMEOUT_MAX is less than three times as long)."""
_SIZE_ALLOWED = (
    "a size above 0 such as 200MB, 1.5GB, 2GiB, 500M, plain bytes, or 80% (at most 100%, or 2**60 bytes)"
)
_DURATION_ALLOWED = "a duration such as 90 (seconds), 90s, 5m, 1h, 1d or 500ms, at most 36500d"


@dataclass(frozen=True)
class Size:
    """An amount of memory: exactly one of the two is set."""

    exact_bytes: int | None = None
    percent: float | None = None
    """Of the memory that the machine, or its cgroup, has; above 0 and at most 100."""

    def __post_init__(self) -> None:
        if (self.exact_bytes is None) == (self.percent is None):
            raise ValueError("a size is either bytes or a percentage")

    def resolve(self, total_bytes: int) -> int:
        """The size in bytes where the whole is `total_bytes`."""
        if self.exact_bytes is not None:
            return self.exact_bytes
        assert self.percent is not None
        return max(1, int(total_bytes * self.percent / 100))

    def __str__(self) -> str:
        if self.exact_bytes is not None:
            return format_size(self.exact_bytes)
        return f"{self.percent:g}%"


def parse_size(text: str) -> Size:
    """A size as people write it; K, M, G and T are powers of 1024, as in supervisord."""
    from decimal import Decimal  # The listener has its sizes from another process.

    matched = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if matched is None:
        raise ValueError(_SIZE_ALLOWED)
    number, unit = Decimal(matched[1]), matched[2].upper()
    if unit == "%":
        if not 0 < number <= 100:
            raise ValueError(_SIZE_ALLOWED)
        return Size(percent=float(number))
    count = number * _bytes_per(unit)
    if not 1 <= count <= _MAX_BYTES or (not unit and count % 1):
        raise ValueError(_SIZE_ALLOWED)
    return Size(exact_bytes=int(count))


def _bytes_per(unit: str) -> int:
    if unit in ("", "B"):
        return 1
    prefix, rest = unit[0], unit[1:]
    if prefix not in _SIZE_UNITS or rest not in ("", "B", "IB"):
        raise ValueError(_SIZE_ALLOWED)
    return _SIZE_UNITS[prefix]


def parse_duration(text: str) -> float:
    """Seconds, 0 or more; without a unit the number is in seconds."""
    matched = _NUMBER_AND_UNIT.fullmatch(text.strip())
    factor = _DURATION_UNITS.get(matched[2].lower()) if matched else None
    if matched is None or factor is None:
        raise ValueError(_DURATION_ALLOWED)
    seconds = float(matched[1]) * factor
    if seconds > _MAX_SECONDS:
        raise ValueError(_DURATION_ALLOWED)
    return seconds


def parse_positive_duration(text: str) -> float:
    """Seconds, above 0."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f"{_DURATION_ALLOWED}, above 0")
    return seconds


def parse_yes_no(text: str) -> bool:
    """Yes or no, in the words that supervisord accepts."""
    word = text.strip().lower()
    if word in ("yes", "true", "on", "1"):
        return True
    if word in ("no", "false", "off", "0"):
        return False
    raise ValueError("yes or no")


def parse_whole(minimum: int) -> Callable[[str], int]:
    """The parser of a whole number of at least `minimum` (0 or more)."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or int(text) < minimum:
            raise ValueError(f"a whole number, {minimum} or more")
        return int(text.strip())

    return parse


def parse_choice(*allowed: str) -> Callable[[str], str]:
    """The parser of one of these lower-case words."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return word

    return parse


def parse_words(text: str) -> tuple[str, ...]:
    """One or more words, separated by spaces, commas or new lines."""
    words = tuple(word for word in re.split(r"[\s,]+", text) if word)
    if not words:
        raise ValueError("one or more words, separated by spaces or commas")
    return words


def format_size(size_bytes: float) -> str:
    """``2.3GB``, ``200MB``, ``512B``: powers of 1024 and at most one decimal."""
    value = float(size_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if round(value, 1) < 1024:
            return f"{_one_decimal(value)}{unit}"
        value /= 1024
    return f"{_one_decimal(value)}TB"


def format_duration(seconds: float) -> str:
    """``500ms``, ``12.3s``, ``1m05s``, ``1h02m``, ``2d03h``: the two largest units that matter."""
    if seconds > 0 and round(seconds * 1000) < 1000:
        return f"{round(seconds * 1000)}ms"
    if round(seconds, 1) < 60:
        return f"{_one_decimal(seconds)}s"
    minutes, rest_seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest_seconds:02d}s"
    hours, rest_minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{rest_minutes:02d}m"
    return f"{hours // 24}d{hours % 24:02d}h"


def write_duration(seconds: float) -> str:
    """``500ms``, ``90s``, ``5m``, ``1h``, ``2d``: exact to the millisecond, as `parse_duration` takes it."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _DURATION_UNITS[unit] == 0:
            return f"{seconds / _DURATION_UNITS[unit]:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms" if seconds else "0s"


def _one_decimal(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
