"""The messages to people: title and text, short enough for a telephone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.catalogue import CATALOGUE
from supervisor_memkill.notices.delivery import Delivery
from supervisor_memkill.notices.digest import Batch
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.notices.events import Back
from supervisor_memkill.notices.log import line_of

MAX_LINE_CHARACTERS = 500
_TYPES = {Level.ERROR: "failure", Level.WARNING: "warning"}


@dataclass(frozen=True)
class Message:
    """One message."""

    title: str
    body: str
    type: str = "info"
    """As apprise names it: info, success, warning or failure."""


SAMPLE = Message("supervisor-memkill: test", "This is a test message of supervisor-memkill on {host}.")


def sample_message(host: str) -> Message:
    return Message(SAMPLE.title, SAMPLE.body.format(host=host))


def lines_of(batch: Batch) -> list[str]:
    """One line per event that is shown."""
    return [_line(delivery) for delivery in batch.shown]


def message(batch: Batch, host: str, others: Sequence[str] = ()) -> Message:
    """The message about a batch; `others` are lines that other hosts left, with their name in front."""
    kind = CATALOGUE[batch.name]
    times = f" ({batch.count} times)" if batch.count > 1 else ""
    body = lines_of(batch)
    if batch.count > len(batch.shown):
        body.append(f"... and {batch.count - len(batch.shown)} more: see the log")
    where = host
    if others:
        body += ["", "On other hosts:", *others]
        where = f"{host} and {_hosts(others)}" if batch.count else _hosts(others)
    body += ["", *_what(kind)]
    return Message(
        f"supervisor-memkill: {batch.name}{times} on {where}", "\n".join(body).strip(), _type(kind)
    )


def _hosts(lines: Sequence[str]) -> str:
    count = len({line.partition(": ")[0] for line in lines})
    return "1 other host" if count == 1 else f"{count} other hosts"


def _what(kind: type[Event]) -> list[str]:
    meaning = " ".join((kind.__doc__ or "").partition("\n\n")[0].split()).replace("`", "")
    return [meaning, *([f"What to do: {kind.hint}."] if kind.hint else [])]


def _type(kind: type[Event]) -> str:
    return "success" if issubclass(kind, Back) else _TYPES.get(kind.level, "info")


def _line(delivery: Delivery) -> str:
    """Without the hint, which stands once in the message."""
    text = line_of(delivery.event)
    text = text.rpartition(" hint=")[0] if delivery.event.hint else text
    when = time.strftime("%H:%M:%S", time.localtime(delivery.at))
    return f"{when} {text.partition(' ')[2]}"[:MAX_LINE_CHARACTERS]
