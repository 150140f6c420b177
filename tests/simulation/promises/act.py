"""One action on a process, as the judges see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Drain
from supervisor_memkill.rules.shortage import Yields
from tests.simulation.process import Process
from tests.simulation.shape import HARD_LIMIT
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


@dataclass(frozen=True)
class Act:
    """One action on a process, with the drain that the journal on disk holds."""

    what: str
    """``quiet``, ``stop``, ``resume`` or ``thaw``."""
    machine: Machine
    worker: Worker
    process: Process
    drain: Drain

    @property
    def config(self) -> PoolConfig:
        return self.machine.pools[self.worker.pool]

    @property
    def attempts(self) -> int:
        """How many quiets and stops of this worker are in the journal."""
        return self.drain.quiet_attempts + self.drain.stop.attempts

    @property
    def is_hard(self) -> bool:
        """It waits neither for a slot nor for running jobs."""
        is_over = self.config.hard_max_rss is not None and self.process.memory > HARD_LIMIT
        return is_over or self.is_last_resort

    @property
    def is_last_resort(self) -> bool:
        """The machine had hardly any memory left. Such a stop is repeated, however much is left by then."""
        cause = self.drain.stop.cause
        return self.drain.reason is Reason.MIN_FREE_NOW or cause is StepCause.MACHINE_IS_SHORT

    @property
    def needs_no_peers(self) -> bool:
        return self.is_last_resort and self.config.yields is Yields.ALWAYS
