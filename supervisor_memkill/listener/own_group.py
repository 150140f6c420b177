"""This listener as supervisord sees it, and the other processes of its event listener."""

from __future__ import annotations

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError

ALIVE = (ProcessState.STARTING, ProcessState.RUNNING)


@dataclass(frozen=True)
class Standing:
    """What supervisord says about this listener."""

    is_sent_events: bool
    """supervisord answers, and the listener is RUNNING: supervisord sends events to no other."""
    siblings: int
    """The number of other processes of the same event listener that run or start (`numprocs`).

    supervisord sends each event to one of them: to the first that is READY.
    """


class OwnGroup:
    """Asks supervisord about the listener's own process."""

    def __init__(self, supervisord: Supervisord, group: str, name: str) -> None:
        """`group` and `name` as supervisord gives them to its children; empty if unknown."""
        self._supervisord = supervisord
        self.group = group
        self.worker = f"{group}:{name}"

    def standing(self) -> Standing:
        """If supervisord does not answer, or is shutting down, no events are sent."""
        try:
            processes = self._supervisord.all_processes()
        except SupervisordError:
            return Standing(is_sent_events=False, siblings=0)
        states = {one.worker: one.state for one in processes if one.group == self.group}
        own = states.pop(self.worker, None)
        siblings = [state for state in states.values() if state in ALIVE]
        return Standing(
            is_sent_events=own in (None, ProcessState.RUNNING),
            siblings=len(siblings) if own is not None else 0,
        )
