"""The take-over: a new listener takes up what the last one left in the journal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from supervisor_memkill.clock import Clock
from supervisor_memkill.config.values import Config
from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.fresh import fresh_token
from supervisor_memkill.listener.drainer import Drainer
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.fleet import Fleet
from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.listener.slots import Slots
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.notices.drain_events import DryRunDrainLeft
from supervisor_memkill.notices.event import Notifier, Sink
from supervisor_memkill.notices.events import JournalDamaged, JournalOfAnotherBoot
from supervisor_memkill.notices.stream import StreamSink
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.shortage import Shortage
from supervisor_memkill.world.commands import Begin
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import Supervisord


class TakeOver:
    """Puts a listener in charge of the workers of its supervisord."""

    def __init__(
        self,
        config: Config,
        pools: Mapping[str, Pool],
        supervisord: Supervisord,
        surveyor: Surveyor,
        journal: Journal,
        coordinate: Callable[[Contents], Coordinator],
        ledger: Ledger,
        fleet: Fleet,
        outages: Mapping[str, Outage],
        notifier: Notifier,
        clock: Clock,
        *,
        process_table: Callable[[], ProcessTable],
        shortage: Callable[[], Shortage | None],
        begin_command: Begin,
        history: Sink | None,
        began_at: float | None,
    ) -> None:
        """`outages`: those of the journal and of coordination. The other arguments: see Listener."""
        self._config = config
        self._pools = pools
        self._supervisord = supervisord
        self._surveyor = surveyor
        self._journal = journal
        self._coordinate = coordinate
        self._ledger = ledger
        self._fleet = fleet
        self._outages = outages
        self._notifier = notifier
        self._clock = clock
        self._process_table = process_table
        self._shortage = shortage
        self._begin_command = begin_command
        self._history = history
        self._began_at = began_at

    def take_charge(self) -> tuple[Coordinator, Drainer]:
        """Lock the journal and take up the drains of the last listener.

        Raises JournalError and SupervisordError; it may then be called again.
        """
        drains_left = self._report_left() if self._config.dry_run else self._load()
        coordinator = self._coordinate(self._ledger.contents)
        if not self._config.dry_run:
            self._note_name(coordinator.name)
        drainer = self._drainer(coordinator)
        # Before anything that must not come twice: supervisord may not answer, and the next turn begins anew.
        owners = {one.worker: self._surveyor.pool_of(one.worker) for one in unfinished(drains_left)}
        self._notifier.attach(StreamSink(drainer.slots.record))
        if self._history is not None and not self._config.dry_run:
            self._notifier.attach(self._history)
        for drain in drains_left:
            drainer.take_up(drain, owners.get(drain.worker))
        return coordinator, drainer

    def _report_left(self) -> Sequence[Drain]:
        """Report what a listener that is no dry run would take up."""
        for drain in unfinished(self._journal.peek().drains.values()):
            self._notifier.report(DryRunDrainLeft(drain.worker, drain.pid, drain.state))
        return ()

    def _load(self) -> Sequence[Drain]:
        """Lock the journal and load it into the ledger; the drains in it. Raises JournalError.

        If the journal does not say which pools the listener saw, it may have seen any.
        """
        self._journal.lock()
        loaded, ledger = self._journal.load(), self._ledger
        self._outages["journal"].back()
        if loaded.damaged:
            self._notifier.report(JournalDamaged(loaded.damaged))
        if loaded.other_boot:
            self._notifier.report(JournalOfAnotherBoot(self._journal.path))
        ledger.contents = loaded.contents
        if loaded.contents.epochs is None:
            ledger.contents = dataclasses.replace(loaded.contents, epochs=dict.fromkeys(self._pools, ""))
        if not loaded.contents.instance:
            identified = dataclasses.replace(
                ledger.contents, instance=fresh_token(8), adopts=bool(loaded.damaged)
            )
            ledger.save(identified, must=False)
        return tuple(loaded.contents.drains.values())

    def _note_name(self, name: str) -> None:
        """Save the listener's name in coordination, and when it replaced another name."""
        contents = self._ledger.contents
        if name and name != contents.listener:
            since = self._clock() if contents.listener else contents.listener_since
            named = dataclasses.replace(contents, listener=name, listener_since=since)
            self._ledger.save(named, must=False)

    def _drainer(self, coordinator: Coordinator) -> Drainer:
        slots = Slots(
            self._config,
            coordinator,
            self._ledger,
            self._fleet,
            self._outages["coordination"],
            self._notifier,
            self._clock,
        )
        return Drainer(
            self._config,
            self._pools,
            self._supervisord,
            self._surveyor,
            slots,
            self._ledger,
            self._notifier,
            self._clock,
            process_table=self._process_table,
            shortage=self._shortage,
            begin_command=self._begin_command,
            began_at=self._began_at,
        )


def unfinished(drains: Iterable[Drain]) -> Iterator[Drain]:
    """The drains that may have done something to their workers."""
    return (drain for drain in drains if drain.state is not State.ASKING)
