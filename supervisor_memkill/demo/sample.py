"""What is seen of the demo from outside at one moment, as values."""

from __future__ import annotations

from dataclasses import dataclass

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
    said: str
    """What this very process says of itself: ``ready`` or ``quiet``; "" while it said nothing."""
    is_busy: bool = False

    @property
    def name(self) -> str:
        return self.worker.rpartition(":")[2]

    @property
    def is_in_service(self) -> bool:
        """It runs by supervisord's word, and takes jobs by its own."""
        return self.state is ProcessState.RUNNING and self.said == "ready"


@dataclass(frozen=True)
class Sample:
    """All of it."""

    at: float
    """Seconds since the demo began."""
    workers: tuple[Sight, ...]
    waiting: int
    """Jobs that no worker has taken."""
    done: int
    """Jobs that are finished."""

    @property
    def out(self) -> tuple[str, ...]:
        """The workers that are out of service."""
        return tuple(one.worker for one in self.workers if not one.is_in_service)
