"""The events of hooks, notices and metrics themselves.

No hook and no notice gets one of them: it could cause the next one.
"""

from __future__ import annotations

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.event import Event, Level


@dataclass(frozen=True)
class DeliveryEvent(Event):
    """An event about the delivery of events."""

    level = Level.WARNING


@dataclass(frozen=True)
class HookMissing(DeliveryEvent):
    """The command of `hook` cannot be executed. The listener still tries it for each event."""

    name = "hook.missing"
    hint = "correct hook in [memkill]: the path, or the file's mode"
    command: str


@dataclass(frozen=True)
class HookFailed(DeliveryEvent):
    """The hook failed, or was ended at `hook_timeout`. Logged again for another error, or after a success."""

    name = "hook.failed"
    hint = "run the command by hand with an event on its standard input"
    once_per = ()
    compared = ("error",)
    event: str
    error: str


@dataclass(frozen=True)
class HookDropped(DeliveryEvent):
    """The hook was too slow: it did not get this number of events. They are in the log."""

    name = "hook.dropped"
    hint = "make the hook faster, or choose fewer events with hook_events"
    dropped: int


@dataclass(frozen=True)
class NoticeFailed(DeliveryEvent):
    """A message could not be sent to this URL of `notify`. It is sent again up to 3 times in 21 minutes."""

    name = "notify.failed"
    hint = "run supervisor-memkill notify --test, and correct this URL of notify"
    once_per = ("url",)
    compared = ("error",)
    url: str
    """Without its secrets."""
    error: str


@dataclass(frozen=True)
class NoticesDropped(DeliveryEvent):
    """Too many events waited: this number of them is in no message. They are in the log."""

    name = "notify.dropped"
    hint = "choose fewer events with notify_events, or look for the server that does not answer"
    dropped: int


@dataclass(frozen=True)
class MetricsFailed(DeliveryEvent):
    """The metrics cannot be written, or the address is not free. The listener tries again at each look."""

    name = "metrics.failed"
    hint = "correct metrics_textfile or metrics_listen in [memkill]"
    once_per = ("option",)
    compared = ("error",)
    option: str
    error: str
