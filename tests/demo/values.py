"""Samples for tests of the demo, each with sensible defaults."""

from __future__ import annotations

from typing import Any

from supervisor_memkill.demo.sample import Sample, Sight
from supervisor_memkill.processes import ProcessState

MB = 1024**2


def sight(name: str = "a", **values: Any) -> Sight:
    """A worker in service as process 100 with 20 MB, with these values instead where given."""
    defaults: dict[str, Any] = {
        "worker": f"jobs:{name}",
        "state": ProcessState.RUNNING,
        "pid": 100,
        "memory_bytes": 20 * MB,
        "reported": "ready",
    }
    return Sight(**{**defaults, **values})


def stopped(name: str = "a") -> Sight:
    return sight(name, state=ProcessState.STOPPED, pid=0, memory_bytes=None, reported="")


def sample(*workers: Sight, at: float = 0.0, waiting: int = 0, done: int = 0) -> Sample:
    """A sample of these workers; of a, b and c in service when none is given."""
    return Sample(at, workers or (sight("a"), sight("b"), sight("c")), waiting, done)
