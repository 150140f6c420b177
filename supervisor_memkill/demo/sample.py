"""Values for what can be seen of the demo from outside at one moment."""

from __future__ import annotations

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import ProcessState


@dataclass(frozen=True)
class Sight:
    """One worker."""

    worker: str
    """``group:name``."""
    state: ProcessState
    pid: int
    """0 while no process runs."""
    memory_bytes: int | None
    """None: unknown."""
    reported: str
    """What this process reports about itself: ``ready`` or ``quiet``; "" before its first report."""
    is_busy: bool = False

    @property
    def name(self) -> str:
        return self.worker.rpartition(":")[2]

    @property
    def is_in_service(self) -> bool:
        """supervisord reports that it runs, and it reports itself that it takes jobs."""
        return self.state is ProcessState.RUNNING and self.reported == "ready"


@dataclass(frozen=True)
class Sample:
    """All workers and jobs."""

    at: float
    """Seconds since the demo began."""
    workers: tuple[Sight, ...]
    waiting: int
    """Number of jobs that no worker has taken."""
    done: int
    """Number of finished jobs."""

    @property
    def out(self) -> tuple[str, ...]:
        """The workers that are out of service."""
        return tuple(one.worker for one in self.workers if not one.is_in_service)
