"""Runs the command `before_stop` of each drain, in the background."""

from __future__ import annotations

from collections.abc import Mapping

from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.rules.drain import Drain
from supervisor_memkill.rules.evidence import EvidenceSeen
from supervisor_memkill.workers.templates import fill
from supervisor_memkill.world.commands import BackgroundCommand, Begin


class EvidenceTaker:
    """Begins the commands, and knows what became of them. No call waits for a command."""

    def __init__(self, pools: Mapping[str, Pool], host: str, begin: Begin) -> None:
        self._pools = pools
        self._host = host
        self._begin = begin
        self._commands: dict[str, BackgroundCommand] = {}
        """By worker: the command of its drain, until the drain has its end."""

    def begin(self, drain: Drain, process: ProcessInfo) -> None:
        """Run the command of the drain's pool for this process."""
        config = self._pools[drain.pool].config
        # Filled in after the splitting, so that a name with a space stays one word.
        words = [fill(word, process, self._host, {"pool": config.name}) for word in config.before_stop]
        self._commands[drain.worker] = self._begin(words, config.before_stop_timeout_seconds)

    def look(self, drain: Drain) -> EvidenceSeen | None:
        """What is known of this drain's command; None: this listener did not begin it."""
        command = self._commands.get(drain.worker)
        if command is None:
            return None
        end = command.end()
        return EvidenceSeen() if end is None else EvidenceSeen(end.seconds, end.error)

    def forget(self, worker: str) -> None:
        """The drain does not wait for the command: end it if it runs."""
        command = self._commands.pop(worker, None)
        if command is not None:
            command.give_up()
