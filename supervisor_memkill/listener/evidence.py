"""Runs the command `before_stop` of each drain, in the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.rules.drain import Drain
from supervisor_memkill.rules.evidence import EvidenceSeen
from supervisor_memkill.workers.templates import fill
from supervisor_memkill.world.guarded_command import BackgroundCommand, Begin


@dataclass(frozen=True)
class _Running:
    """The command of one drain."""

    token: str
    command: BackgroundCommand


class EvidenceTaker:
    """Begins the commands, and knows what became of them. No call waits for a command."""

    def __init__(self, pools: Mapping[str, Pool], host: str, begin: Begin) -> None:
        self._pools = pools
        self._host = host
        self._begin = begin
        self._running: dict[str, _Running] = {}
        """By worker."""

    def begin(self, drain: Drain, process: ProcessInfo) -> None:
        """Run the command of the drain's pool for this process."""
        self.forget(drain.worker)
        pool = self._pools.get(drain.pool)
        words = pool.config.before_stop if pool is not None else ()
        if pool is not None and words:
            # Filled in after the splitting, so that a name with a space stays one word.
            filled = [fill(word, process, self._host, {"pool": pool.name}) for word in words]
            command = self._begin(filled, pool.config.before_stop_timeout_seconds)
            self._running[drain.worker] = _Running(drain.token, command)

    def look(self, drain: Drain) -> EvidenceSeen | None:
        """What is known of this drain's command; None: this listener did not begin it."""
        running = self._running.get(drain.worker)
        if running is None or running.token != drain.token:
            return None
        end = running.command.end()
        return EvidenceSeen() if end is None else EvidenceSeen(end.seconds, end.error)

    def forget(self, worker: str) -> None:
        """The drain does not wait for the command: end it if it runs."""
        running = self._running.pop(worker, None)
        if running is not None:
            running.command.give_up()
