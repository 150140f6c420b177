"""Which processes a drain waits for."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.listener.drain_observer import DrainObserver
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.processes import ProcessId
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.step import Seen
from supervisor_memkill.testing import FakeProcesses, process
from supervisor_memkill.world.memory import ProcessTable
from tests.builders import PID, START, drain

LOOKED_AT, NOW = 1000.0, 1010.0
"""The listener asked supervisord, was frozen, and reads the process table."""


class Born(FakeProcesses):
    """The worker and a child, and when each began."""

    def __init__(self, **born: float) -> None:
        super().__init__({PID: "worker", PID + 1: "child"}, children={PID + 1: PID})
        self.born = {PID: born["worker"], PID + 1: born["child"]}

    def created(self, pid: int) -> float:
        return self.born[pid]


def tree_of(processes: FakeProcesses, known: tuple[ProcessId, ...] = ()) -> tuple[ProcessId, ...]:
    nothing: Any = None
    observer = DrainObserver(
        {},
        nothing,
        Notifier([]),
        lambda: NOW,
        lambda: ProcessTable(processes, clock=lambda: NOW),
        nothing,
    )
    seen = Seen(process(PID, start=START), looked_at=LOOKED_AT)
    return observer.with_tree(drain(State.STOPPING, tree=known), seen).tree


def test_the_drain_waits_for_the_worker_and_what_it_has_started() -> None:
    """A job may have started the child after the look."""
    assert tree_of(Born(worker=5.0, child=1005.0)) == (ProcessId(PID, 5.0), ProcessId(PID + 1, 1005.0))


@pytest.mark.parametrize("known", [(), (ProcessId(PID, 5.0),)])
def test_the_drain_does_not_wait_for_a_later_process_with_the_same_pid(known: tuple[ProcessId, ...]) -> None:
    """The worker ended while the listener was frozen, and another worker got its pid."""
    assert tree_of(Born(worker=1005.0, child=1006.0), known) == ()
