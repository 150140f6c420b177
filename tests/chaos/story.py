"""The story of a moment: what the hand did, what was seen and what the listeners said, by time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from tests.chaos.judges import Broken

BEFORE_SECONDS = 40.0
AFTER_SECONDS = 2.0
_LOGGED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?:\w+ )?(.*)")

Line = tuple[float, str, str]
"""When (epoch seconds), who, and what."""


def lines_of(log: str, who: str) -> Iterator[Line]:
    """The lines of a log of ours or of supervisord's."""
    for text in log.splitlines():
        match = _LOGGED.match(text)
        if match:
            yield datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S,%f").timestamp(), who, match[2]


def story(broken: Broken, lines: Iterable[Line], command: str) -> str:
    """What led to a broken promise, and how to see it again."""
    near = [line for line in lines if broken.at - BEFORE_SECONDS <= line[0] <= broken.at + AFTER_SECONDS]
    told = [f"{_clock(at)} {who:<12} {what}" for at, who, what in sorted(near)]
    head = f"--- {broken.promise} broken at {_clock(broken.at)}: {broken.words}"
    return "\n".join([head, *told, f"--- again: {command}"])


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]
