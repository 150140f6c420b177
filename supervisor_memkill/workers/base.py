"""The base class of kinds: a default for everything that most kinds do not need."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.workers.contract import (
    Advice,
    LeftBehind,
    Note,
    Option,
    Reading,
    Target,
    Tools,
    Traits,
    unknown,
)

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable


class BaseKind:
    """Keeps the values and the tools. A kind defines `read` or `read_one`, and what differs from here."""

    framework: ClassVar[str] = "the worker"
    """The framework's name in messages."""
    options: ClassVar[Mapping[str, Option]] = {}
    needs_redis: ClassVar[bool] = False
    traits: Traits = Traits(quiets=False)

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None:
        self.values = values
        self.tools = tools
        self.traits = self.traits_for(values)

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        """The class's `traits`: they do not depend on the values."""
        return cls.traits

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        """None: every combination of values is allowed."""
        return ()

    @classmethod
    def matches_command(cls, title: str) -> bool:
        """No: nothing is known about command lines."""
        return False

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        """Reads the workers one by one. A kind that asks Redis overrides this, to ask once for all."""
        return {target.process.worker: self.read_one(target, table) for target in targets}

    def read_one(self, target: Target, table: ProcessTable) -> Reading:
        """The reading of one worker. Never raises for failures of the outside world."""
        raise NotImplementedError

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        """None: the framework keeps no record that would show them."""
        return ()

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        raise NotSent(f"{self.framework} cannot be quieted")

    def resume(self, target: Target, table: ProcessTable) -> None:
        raise MemkillError(f"{self.framework} cannot be resumed")

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        """Nothing: supervisord's stop signal reaches the worker."""

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """No: the memory of the supervised process alone counts."""
        return False

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        """None: nothing is known about supervisord settings that could lose jobs."""
        return ()

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        """Nothing: it is not known where else to look for workers."""
        return ""


def all_unknown(targets: Iterable[Target], error: MemkillError) -> dict[str, Reading]:
    """The readings while the source of the readings does not answer, such as Redis."""
    return {target.process.worker: source_away(error, target.note) for target in targets}


def source_away(error: MemkillError, note: Note | None = None) -> Reading:
    """The reading of one worker while its source, such as Redis or a command, does not answer."""
    return replace(unknown(str(error), note), source_away=str(error))


def tree_pids(process: ProcessInfo, table: ProcessTable) -> tuple[int, ...]:
    """The supervised pid, then the pids of its descendants; empty if the process cannot be read."""
    try:
        return tuple(found.pid for found in table.tree(process.pid))
    except Unknown:
        return ()
