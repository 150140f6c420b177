"""The event listener, as supervisord runs it. It imports only what it needs for as long as it lives."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill import __version__
from supervisor_memkill.world.event_protocol import private_stdout

if TYPE_CHECKING:
    from supervisor_memkill.commands.context import Context
    from supervisor_memkill.commands.prepared import Prepared
    from supervisor_memkill.config.loaded import Loaded
    from supervisor_memkill.listener.hearing import Hearing
    from supervisor_memkill.listener.listener import Listener
    from supervisor_memkill.listener.own_group import OwnGroup
    from supervisor_memkill.listener.state_values import Origin
    from supervisor_memkill.notices.event import Notifier, Sink
    from supervisor_memkill.notices.history import IntervalStore
    from supervisor_memkill.world.supervisord import Supervisord


def listen(prepared: Prepared, environ: Mapping[str, str], sinks: Sequence[Sink] = ()) -> int:
    """Listen until supervisord or a signal ends it; `sinks` take the events beside the log."""
    protocol_fd = private_stdout()
    from supervisor_memkill.commands.context import put_together
    from supervisor_memkill.commands.deliveries import attach
    from supervisor_memkill.listener.own_group import OwnGroup
    from supervisor_memkill.listener.serve import serve
    from supervisor_memkill.notices.event import Notifier
    from supervisor_memkill.notices.events import ListenerEnded, SupervisordAlert
    from supervisor_memkill.notices.log import LogSink
    from supervisor_memkill.world.own_supervisord import OwnSupervisord
    from supervisor_memkill.world.supervisord import address_from_environment

    settled, above = prepared.settled, prepared.above
    notifier = Notifier([LogSink(sys.stderr, settled.config.log_level), *sinks])
    for problem in prepared.unread:
        notifier.report(SupervisordAlert(f"{problem}: its sections are not known"))
    for problem in prepared.misplaced:
        notifier.report(SupervisordAlert(problem))
    supervisord = OwnSupervisord(*address_from_environment(environ), starter=above)
    _check_access(supervisord, notifier)
    own_group, own_name = (_name(environ, part) for part in ("GROUP", "PROCESS"))
    context = put_together(settled, supervisord, environ, own_group=own_group, own_name=own_name)
    own = OwnGroup(supervisord, own_group, own_name)
    origin = _origin(context, own, above.pid, prepared.loaded)
    listener = _listener(context, notifier, own, origin)
    # Not before: each start that fails would begin what has to be ended again.
    deliveries = attach(settled.config, notifier)
    _report_start(context, notifier)
    hearing = _hearing(context, notifier, own, own_group)
    gc.collect()
    gc.freeze()  # What is there by now stays: no later collection looks at it again.
    ended_by = serve(listener, stdin_fd=0, stdout_fd=protocol_fd, hearing=hearing)
    listener.report_left()
    notifier.report(ListenerEnded())
    deliveries.close()
    if ended_by is not None:
        _die_of(ended_by)
    return 0


def _name(environ: Mapping[str, str], part: str) -> str:
    """The listener's name as XML-RPC reports it: supervisord writes UTF-8, whatever the locale is."""
    return os.fsencode(environ.get(f"SUPERVISOR_{part}_NAME", "")).decode(errors="replace")


def _check_access(supervisord: Supervisord, notifier: Notifier) -> None:
    """Raises Refused, which the operator has to correct; every other problem may pass by itself."""
    from supervisor_memkill.notices.events import SupervisordAway
    from supervisor_memkill.world.supervisord import Refused, SupervisordError

    try:
        supervisord.pid()
    except Refused:
        raise
    except SupervisordError as error:
        notifier.report(SupervisordAway(str(error)))


def _hearing(context: Context, notifier: Notifier, own: OwnGroup, own_group: str) -> Hearing:
    from time import monotonic

    from supervisor_memkill.listener.deaf_record import DeafRecord, record_path
    from supervisor_memkill.listener.hearing import Hearing, shortest_period

    period = shortest_period(context.in_files().events.get(own_group))
    record = None if context.config.dry_run else DeafRecord(record_path(context.journal.path, own.worker))
    # Not the boot clock: the time in which the machine sleeps is no silence.
    return Hearing(period, own.standing, record, notifier, monotonic)


def _origin(context: Context, own: OwnGroup, supervisord_pid: int, configuration: Loaded) -> Origin:
    from supervisor_memkill.listener.hearing import shortest_period
    from supervisor_memkill.listener.state_values import Origin

    events = context.in_files().events.get(own.group)
    return Origin(
        name=own.worker,
        supervisord_pid=supervisord_pid,
        events=None if events is None else tuple(sorted(events)),
        tick_seconds=shortest_period(events),
        configuration=configuration,
    )


def _listener(context: Context, notifier: Notifier, own: OwnGroup, origin: Origin) -> Listener:
    from supervisor_memkill.clock import boot_clock
    from supervisor_memkill.listener.journal import Journal
    from supervisor_memkill.listener.listener import Listener
    from supervisor_memkill.listener.state import StateKeeper

    return Listener(
        context.config,
        context.pools,
        context.supervisord,
        context.surveyor,
        Journal(context.journal.path, former=context.journal.former),
        context.coordinator,
        notifier,
        boot_clock,
        process_table=context.process_table,
        state=StateKeeper(context.journal.path, context.config, boot_clock, origin),
        history=_history(context, notifier),
        siblings=lambda: own.standing().siblings,
        began_at=_began_at(context),
        turn_begins=context.redis.turn_begins,
    )


def _began_at(context: Context) -> float | None:
    """When this process began, on the boot clock; None: unknown."""
    from supervisor_memkill.clock import boot_clock
    from supervisor_memkill.errors import Unknown

    try:
        return boot_clock() - context.process_table().age_seconds(os.getpid())
    except Unknown:
        return None


def _history(context: Context, notifier: Notifier) -> Sink:
    from supervisor_memkill.clock import boot_clock
    from supervisor_memkill.listener.history_file import HistoryFile
    from supervisor_memkill.listener.outage import Outage
    from supervisor_memkill.notices.events import HistoryAway, HistoryBack
    from supervisor_memkill.notices.history import HistorySink

    outage = Outage(HistoryAway, HistoryBack, notifier, boot_clock)
    path = context.journal.path

    def intervals() -> IntervalStore:
        from supervisor_memkill.listener.interval_file import IntervalFile

        return IntervalFile(path, outage)

    return HistorySink(HistoryFile(path, outage), context.config.host, intervals=intervals)


def _report_start(context: Context, notifier: Notifier) -> None:
    from supervisor_memkill.notices.events import ListenerStarted

    config = context.config
    notifier.report(
        ListenerStarted(
            version=__version__,
            pools=tuple(pool.name for pool in context.pools),
            host=config.host,
            files=context.files,
            journal=context.journal.path,
            dry_run=config.dry_run,
            coordination="through Redis" if config.redis else "in process: this supervisord alone",
        )
    )


def _die_of(number: int) -> None:
    """End by the signal itself, so that supervisord restarts a listener that it did not stop itself.

    With status 0 supervisord would take the end as expected (autorestart=unexpected) and leave it EXITED.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
