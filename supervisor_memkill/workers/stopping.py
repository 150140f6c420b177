"""What the kinds have in common whose own graceful stop is their only way of draining.

supervisord sends the stopsignal once and waits for stopwaitsecs: nothing else may signal them meanwhile,
because a second graceful signal makes most of them drop the jobs in hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.workers.contract import Advice, Note, Option, Reading, Target, Tools, Traits, unknown
from supervisor_memkill.workers.settings import why_between

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable


def parse_text(text: str) -> str:
    """The text without white space around it, when there is any."""
    if not text.strip():
        raise ValueError("a text that is not empty")
    return text.strip()


class StopThenWait:
    """A worker that is known by its command line, has no quiet, and tells no busy count."""

    framework: ClassVar[str]
    """As its own documentation writes it."""
    program: ClassVar[str]
    """What the command line of its worker holds, whichever way it is started."""
    options: ClassVar[Mapping[str, Option]] = {
        "command_has": Option(
            parse_text, None, "a text in the worker's command line, where that does not name the framework"
        ),
    }
    needs_redis: ClassVar[bool] = False
    traits = Traits(quiets=False)

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None:
        self._values = values
        self._tools = tools

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return cls.traits

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        return {target.process.worker: self.recognise(target, table) for target in targets}

    def recognise(self, target: Target, table: ProcessTable) -> Reading:
        """What its command line alone tells."""
        title = table.title(target.process.pid)
        if not title:
            return unknown("its command line cannot be read", target.note)
        why = self._strangeness(title)
        known = not why
        return Reading(
            recognised=known, in_service=known, quiet=None, busy=None, why=why, note=target.note or {}
        )

    def _strangeness(self, title: str) -> str:
        """Why a process with this command line is not recognised; empty when it is."""
        between = why_between(title, self.framework)
        if between:
            return between
        wanted = self._values["command_has"] or self.program
        if wanted not in title:
            return f"{title[:60]!r} does not name {wanted}: set command_has to a text that it holds"
        return ""

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        raise MemkillError(f"{self.framework} cannot be quieted: its stop is its drain")

    def resume(self, target: Target, table: ProcessTable) -> None:
        raise MemkillError(f"{self.framework} cannot be resumed")

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        pass

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Yes: the jobs run in its worker processes."""
        return True

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        raise NotImplementedError
