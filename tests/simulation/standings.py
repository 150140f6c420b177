"""The true state of each worker, as far as the promises need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State, StopAnswer
from tests.simulation.process import Process
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

WHOLE_SECONDS = 2
"""supervisord's times are whole seconds on both sides of a difference."""


@dataclass
class Standing:
    """The true state of one worker."""

    taken: bool = False
    """Out of service because of a drain: an action of ours took it out, and it is not back."""
    told: Process | None = None
    """The process that the last such action was for."""
    owed: bool = False
    """We sent it an action: it must come back."""
    served_until: float = -1e9
    """When it was last in service, while it is not."""
    hidden_at: float = -2e9
    """When it left service in a way that only its own records show: it hangs, or the operator quieted it."""


@dataclass
class Standings:
    """The true states of all workers of one world."""

    world: World
    known: dict[str, Standing] = field(default_factory=dict)

    def of(self, worker: Worker) -> Standing:
        return self.known.setdefault(worker.id, Standing())

    # --- what is ----------------------------------------------------------------------------------

    def takes_jobs(self, worker: Worker) -> bool:
        process = worker.process
        return (
            not worker.removed
            and worker.state is ProcessState.RUNNING
            and process is not None
            and process.takes_jobs(self.world.engine.now)
        )

    def in_service(self, worker: Worker) -> bool:
        """RUNNING, past `settle`, not quiet, and its kind can find nothing wrong."""
        process, now = worker.process, self.world.engine.now
        if worker.removed or worker.state is not ProcessState.RUNNING or process is None:
            return False
        machine = self.world.machine(worker.host)
        settle = machine.pools[worker.pool].settle_seconds - WHOLE_SECONDS
        is_settled = now - worker.spawned_at >= settle or machine.wall_set_at > worker.spawned_at
        is_hung = process.hung_at is not None and worker.habits.kind in ("sidekiq", "celery")
        return is_settled and process.is_booted(now) and process.quiet_at is None and not is_hung

    def stand_ins(self, worker: Worker) -> list[Worker]:
        """The other workers of its pool that serve its queues, in service or not."""
        return [one for one in self.world.peers(worker) if one.habits.queues >= worker.habits.queues]

    def is_taken(self, worker: Worker) -> bool:
        return self.of(worker).taken and not self.takes_jobs(worker)

    def is_owed(self, worker: Worker) -> bool:
        return self.of(worker).owed and not self.takes_jobs(worker) and not worker.removed

    # --- what happens -----------------------------------------------------------------------------

    def changes(self, worker: Worker) -> None:
        """Its state is about to change."""
        standing = self.of(worker)
        if self.in_service(worker):
            standing.served_until = self.world.engine.now
        process = worker.process
        if process is not None and process.takes_jobs(self.world.engine.now):
            standing.taken = standing.owed = False  # It is back, though supervisord may call it STARTING.

    def hides(self, worker: Worker) -> None:
        """It leaves service now, unknown to supervisord."""
        standing = self.of(worker)
        seems_fine = self.in_service(worker)
        if worker.state is ProcessState.RUNNING and worker.process is not None:
            # It may have told of itself already, and not be past `settle` yet.
            seems_fine = seems_fine or worker.process.takes_jobs(self.world.engine.now)
        self.changes(worker)
        if seems_fine:
            standing.hidden_at = standing.served_until = self.world.engine.now
        if worker.process is not standing.told:
            standing.taken = False  # A fresh process hangs, booting still: that is none of our doing.

    def arrived(self, act: str, worker: Worker, *, took_jobs: bool) -> None:
        """An action of a listener had its effect; `took_jobs`: the worker took jobs before."""
        if act == "resume":
            self.operator_took(worker)  # It is as it was, though it may hang.
        if act in ("quiet", "stop") and worker.process is not None:
            standing = self.of(worker)
            standing.taken = standing.taken or took_jobs
            standing.told = worker.process
            standing.owed = not self._is_another_by_the_clock(worker)

    def turns_quiet(self, worker: Worker) -> None:
        """A quiet of a listener takes effect late: only its own records show it, and we must put it back."""
        self.hides(worker)
        standing = self.of(worker)
        standing.told, standing.owed = worker.process, True

    def _is_another_by_the_clock(self, worker: Worker) -> bool:
        """The clock was set between the last look and the action, so supervisord reports another start."""
        machine = self.world.machine(worker.host)
        drain = machine.disk.drains.get(worker.name)
        return drain is not None and drain.start != worker.start and machine.wall_set_at > worker.spawned_at

    def operator_took(self, worker: Worker) -> None:
        """From now on, only the operator is responsible for it."""
        standing = self.of(worker)
        standing.taken = standing.owed = False

    def clock_is_set(self, machine: Machine) -> None:
        """A stop without an answer cannot be recognised by its time any more (see docs/promises.rst)."""
        for name, drain in machine.disk.drains.items():
            worker = machine.supervisord.workers.get(name)
            is_unanswered = drain.state is State.STOPPING and drain.stop.answer is StopAnswer.NONE
            if worker is not None and is_unanswered and drain.stop.attempts:
                self.of(worker).owed = False

    def supervisord_took(self, machine: Machine) -> None:
        """supervisord restarts all its workers."""
        for worker in machine.supervisord.workers.values():
            self.operator_took(worker)
