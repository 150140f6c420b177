"""``worker = plain``: any process at all. It is stopped and started, as memmon does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.workers.contract import Advice, Note, Option, Reading, Target, Tools, Traits

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

TRAITS = Traits(quiets=False)


class Plain:
    """Knows nothing of what runs: neither a quiet nor a busy count; its graceful stop must do."""

    options: ClassVar[Mapping[str, Option]] = {}
    needs_redis: ClassVar[bool] = False
    traits = TRAITS

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None:
        pass

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return TRAITS

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        return {
            target.process.worker: Reading(
                recognised=True, in_service=True, quiet=None, busy=None, note=target.note or {}
            )
            for target in targets
        }

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        raise MemkillError("a plain worker cannot be quieted")

    def resume(self, target: Target, table: ProcessTable) -> None:
        raise MemkillError("a plain worker cannot be resumed")

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        pass

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Always: what a wrapper or a preforking parent holds itself says little."""
        return True

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        return ()
