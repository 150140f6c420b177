"""Attaches what delivers events to people. What is not configured is not imported, and has no thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from supervisor_memkill.config.values import Config
    from supervisor_memkill.notices.delivery import DeliverySink
    from supervisor_memkill.notices.event import Notifier
    from supervisor_memkill.notices.exposition import Metrics
    from supervisor_memkill.notices.fleet import Fleet


class _Ends(Protocol):
    """A sink with a thread."""

    def end(self) -> None: ...

    def close(self, seconds: float) -> None: ...


class Deliveries:
    """The sinks that must be ended with the listener."""

    def __init__(self, sinks: Sequence[_Ends] = ()) -> None:
        self._sinks = sinks

    def close(self) -> None:
        """End all of them within the time that one has."""
        if not self._sinks:
            return
        from supervisor_memkill.notices.delivery import END_SECONDS

        end = time.monotonic() + END_SECONDS
        for sink in self._sinks:
            sink.end()
        for sink in self._sinks:
            sink.close(max(0.0, end - time.monotonic()))


def attach(config: Config, notifier: Notifier) -> Deliveries:
    """Attach what the configuration asks for. A dry run delivers nothing."""
    if config.dry_run:
        return Deliveries()
    sinks: list[DeliverySink | Metrics] = []
    if config.hook:
        sinks.append(_hooks(config, notifier))
    if config.notify:
        sinks.append(_notices(config, notifier))
    if config.metrics_textfile or config.metrics_listen:
        sinks.append(_metrics(config, notifier))
    for sink in sinks:
        notifier.attach(sink)
    return Deliveries(sinks)


def _hooks(config: Config, notifier: Notifier) -> DeliverySink:
    import queue

    from supervisor_memkill.notices.choice import chooser
    from supervisor_memkill.notices.delivery import DeliverySink, Outcomes
    from supervisor_memkill.notices.delivery_events import HookDropped, HookMissing
    from supervisor_memkill.notices.hooks import HookWorker
    from supervisor_memkill.world.commands import is_missing

    if is_missing(config.hook[0]):
        notifier.report(HookMissing(config.hook[0]))
    outcomes: Outcomes = queue.SimpleQueue()
    worker = HookWorker(config.hook, config.hook_timeout_seconds, config.host, outcomes)
    return DeliverySink("hook", chooser(config.hook_events), worker, outcomes, HookDropped, notifier)


def _notices(config: Config, notifier: Notifier) -> DeliverySink:
    import queue

    from supervisor_memkill.notices.choice import chooser
    from supervisor_memkill.notices.delivery import DeliverySink, Outcomes
    from supervisor_memkill.notices.delivery_events import NoticesDropped
    from supervisor_memkill.notices.notify import NoticeWorker

    outcomes: Outcomes = queue.SimpleQueue()
    worker = NoticeWorker(config.notify, config.host, outcomes, fleet=_fleet(config))
    sink = DeliverySink("notify", chooser(config.notify_events), worker, outcomes, NoticesDropped, notifier)
    sink.begin()
    return sink


def _fleet(config: Config) -> Fleet | None:
    """The hosts that share the Redis and have the same URLs; None: this host alone."""
    url = config.redis
    if url is None:
        return None
    import hashlib

    from supervisor_memkill.notices.fleet import RedisFleet
    from supervisor_memkill.world.redis_client import connect

    group = hashlib.sha256(" ".join(sorted(config.notify)).encode()).hexdigest()[:8]
    return RedisFleet(lambda: connect(url, "supervisor-memkill"), config.key_prefix, config.host, group)


def _metrics(config: Config, notifier: Notifier) -> Metrics:
    from supervisor_memkill import __version__
    from supervisor_memkill.notices.exposition import Metrics

    return Metrics(__version__, config.host, config.metrics_textfile, config.metrics_listen, notifier)
