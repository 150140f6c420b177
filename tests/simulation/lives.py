"""The listener of one machine, life after life: the code that ships, with simulated parts plugged in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from supervisor_memkill.config.values import Config
from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.known_processes import KnownProcesses
from supervisor_memkill.listener.listener import Listener
from supervisor_memkill.listener.serve import run_turns
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.history import HistorySink
from supervisor_memkill.notices.log import LogSink
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Tools
from supervisor_memkill.world.event_protocol import Ticks
from supervisor_memkill.world.memory import ProcessTable
from tests.places import Places
from tests.simulation.gateway import Gateway
from tests.simulation.inbox import Inbox
from tests.simulation.journals import DiskJournal, MemoryJournal
from tests.simulation.kinds import Records, make_kind
from tests.simulation.machine import Killed, Machine
from tests.simulation.servers import PREFIX, RedisClient
from tests.simulation.table import Processes
from tests.simulation.trace import Counted, LogLines, ReadableHistory, TrueIntervals

OWN_WORKER = "memkill:memkill"
"""The listener itself, as supervisord names it."""


class Known(KnownProcesses):
    """Notes how much the listener can know when it looks without asking for all processes."""

    def __init__(self, machine: Machine, *parts: Any, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        self._machine = machine

    def all(self, table: ProcessTable | None = None, *, may_lag: bool = False) -> Sequence[ProcessInfo]:
        asked = self._machine.times_reported
        found = super().all(table, may_lag=may_lag)
        if self._machine.times_reported == asked:
            self._machine.world.trace.count("look by events")
            self._machine.looked_at = self._machine.events.known_until()
        return found


class Lives:
    """The lives of one machine's listener."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def live(self) -> None:
        """Its supervisord starts the listener again whenever it ends."""
        while not self._machine.is_gone:
            try:
                self._wait_for_its_start()
                self._live_once()
            except Killed:
                self._machine.actor.doom = None

    def _wait_for_its_start(self) -> None:
        """A supervisord that hangs starts nothing; then it does so at once."""
        machine = self._machine
        seconds, has_hung = machine.world.weather.restart_seconds(machine), machine.server.hangs()
        machine.breathe(0.0 if has_hung else seconds)
        while machine.supervisord.is_down or machine.supervisord.is_shutting_down or machine.server.hangs():
            machine.breathe(0.5)

    def _live_once(self) -> None:
        machine = self._machine
        machine.begins_life()
        machine.world.requests.begins_life(machine)
        machine.world.trace.say(machine.name, f"the listener starts, life {machine.lives}")
        own_start = machine.events.rng.uniform(0.2, 1.5)
        machine.engine.after(own_start, lambda: machine.events.happen(OWN_WORKER, ProcessState.RUNNING))
        journal = self._journal()
        try:
            listener = self._listener(journal)
            inbox: Any = Inbox(machine)
            if run_turns(listener, inbox, Ticks(), machine.wall, machine.ears.hearing()):
                machine.ears.judge_end()
        finally:
            machine.ears.life_ended()
            machine.commands.listener_died()
            journal.unlock()

    def _journal(self) -> Any:
        machine = self._machine
        if not machine.shape.on_disk:
            return MemoryJournal(machine)
        return DiskJournal(machine, machine.world.directory / f"{machine.name}.journal")

    def _listener(self, journal: Any) -> Listener:
        machine = self._machine
        gateway: Any = Gateway(machine)
        stream: Any = LogLines(machine.world.trace, machine.name, f"{journal.path.parent}/")
        notifier = Notifier(
            [LogSink(stream, "info", lambda: 0.0), Places(machine.point), Counted(machine.world.trace)]
        )
        kinds = {pool.config.name: pool.habits.kind for pool in machine.shape.pools}
        pools = [
            Pool(config, make_kind(kinds[name], machine, self._tools(name, gateway)))
            for name, config in machine.pools.items()
        ]
        config = Config(
            host=machine.name,
            heartbeat_seconds=machine.shape.heartbeat,
            slot_ttl_seconds=machine.shape.slot_ttl,
            min_free=Size(exact_bytes=machine.shape.min_free) if machine.shape.min_free else None,
            pools=tuple(machine.pools.values()),
        )
        process_table = self._table
        surveyor = Surveyor(
            gateway,
            pools,
            machine.clock,
            own_group="memkill",
            known=self._known(gateway),
            process_table=process_table,
            machine_bytes=lambda: 10**6,
            local_time=lambda: datetime.fromtimestamp(machine.wall(), timezone.utc).replace(tzinfo=None),
        )
        return Listener(
            config,
            pools,
            gateway,
            surveyor,
            journal,
            lambda contents: self._coordinator(config, gateway, contents),
            notifier,
            machine.clock,
            process_table=process_table,
            history=HistorySink(
                ReadableHistory(machine.world.trace),
                machine.name,
                machine.wall,
                intervals=lambda: TrueIntervals(machine.world.trace, machine.clock),
                ticks=machine.clock,
            ),
            machine=machine,
            begin_command=machine.commands.begin,
        )

    def _known(self, gateway: Any) -> KnownProcesses:
        return Known(
            self._machine,
            gateway,
            self._table,
            self._machine.clock,
            wall=self._machine.wall,
            own_worker=OWN_WORKER,
            is_subscribed=self._machine.events.is_subscribed,
        )

    def _tools(self, pool: str, gateway: Any) -> Tools:
        machine = self._machine
        records = Records(machine, pool)
        return Tools(redis=lambda: records, signal=gateway.signal, clock=machine.clock, host=machine.name)

    def _coordinator(self, config: Config, gateway: Gateway, contents: Contents) -> Coordinator:
        machine = self._machine
        if not machine.shape.shares:
            return InProcessCoordinator(machine.clock, contents.drain_ended_at)
        client = RedisClient(machine, machine.world.redis)
        return RedisCoordinator(
            lambda: client,
            f"{machine.name}/{gateway.identification()}",
            contents.instance,
            prefix=PREFIX,
            heartbeat_seconds=config.heartbeat_seconds,
            slot_ttl_seconds=config.slot_ttl_seconds,
            epochs=contents.epochs,
        )

    def _table(self) -> ProcessTable:
        return ProcessTable(Processes(self._machine), self._machine.clock)
