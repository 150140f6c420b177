"""What every judge knows: the world, and what the journals first stated, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from tests.simulation.promises.act import Act
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

LOOK_LASTS_SECONDS = 30.0
"""From a look to the action or report that is based on it, as drainer.py bounds it."""
TURN_SECONDS = 60.0
"""From a look to the step that uses it; supervisord may hang in between."""


class BrokenPromise(BaseException):
    """The listener's code must not catch it."""


@dataclass
class Times:
    """What the journals of one world first stated, and when."""

    began: dict[str, float] = field(default_factory=dict)
    """When each drain's token was first journalled."""
    quieted: dict[str, float] = field(default_factory=dict)
    """When the wait for running jobs of each token began at the earliest."""
    taken_at: dict[tuple[str, int, str], float] = field(default_factory=dict)
    """When each request was first journalled, by machine, its boot and id: no journal outlives a boot."""
    lost_from: dict[str, float] = field(default_factory=dict)
    """Since when the pool of each token must wait for its worker, which does not come back."""
    stopping: dict[str, float] = field(default_factory=dict)
    """When the stop of each token was first journalled."""
    was_read: dict[str, bool] = field(default_factory=dict)
    """Whether the last reading of the worker had succeeded when its stop was first journalled."""


class Judge:
    """One judge of one world."""

    def __init__(self, world: World, times: Times) -> None:
        self.world = world
        self.times = times

    def broken(self, promise: str, machine: Machine, text: str) -> NoReturn:
        self.world.trace.say(machine.name, f"BROKEN {promise}: {text}")
        raise BrokenPromise(f"{promise}: {machine.name}: {text}")

    def _looked_at(self, machine: Machine, worker: Worker) -> float:
        return machine.served.get(worker.name, -1e9)

    def _is_timed_out(self, act: Act) -> bool:
        now = self.world.engine.now
        return now - self.times.quieted.get(act.drain.token, now) >= act.config.idle_within_seconds
