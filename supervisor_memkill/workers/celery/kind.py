"""``worker = celery``: Celery drained by its remote control, or by its stop where that is not to be had."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.units import parse_choice
from supervisor_memkill.workers.base import BaseKind
from supervisor_memkill.workers.celery import nodes
from supervisor_memkill.workers.celery.advice import advise_on_child_limit
from supervisor_memkill.workers.celery.broker import BROKER_OPTIONS, problems_of
from supervisor_memkill.workers.celery.control import Control
from supervisor_memkill.workers.celery.remote import ByRemoteControl
from supervisor_memkill.workers.celery.stop import ByStop
from supervisor_memkill.workers.contract import (
    Advice,
    LeftBehind,
    Note,
    Option,
    Reading,
    Target,
    Tools,
    Traits,
)
from supervisor_memkill.workers.ownership import RECORD_HOSTS

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

REMOTE, STOP = "remote_control", "stop"
"""The values of `drain`."""


class Celery(BaseKind):
    """One of the two ways to drain, chosen by `drain`."""

    framework = "Celery"
    options: ClassVar[Mapping[str, Option]] = {
        "drain": Option(
            parse_choice(REMOTE, STOP),
            REMOTE,
            "how a worker is drained: by Celery's remote control (remote_control), or by its warm shutdown"
            " (stop), which needs no answer of the worker and no broker; remote_control or stop",
        ),
        **BROKER_OPTIONS,
        "record_hosts": RECORD_HOSTS,
        "command_has": ByStop.options["command_has"],
    }

    def __init__(
        self,
        values: Mapping[str, Any],
        tools: Tools,
        control: Control | None = None,
        hostname: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`control`, `hostname` and `wall` are for the remote control."""
        super().__init__(values, tools)
        self._way: BaseKind = (
            ByStop(values, tools)
            if values.get("drain") == STOP
            else ByRemoteControl(values, tools, control, hostname, wall)
        )

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return (ByStop if values.get("drain") == STOP else ByRemoteControl).traits

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        if values.get("drain") == STOP:
            given = [key for key, option in BROKER_OPTIONS.items() if values.get(key) != option.default]
            return [f"drain = stop does not use {key}: remove it" for key in given]
        if values.get("command_has") is not None:
            return ["command_has is for drain = stop: Celery's remote control finds a worker by its pid"]
        return problems_of(values)

    @classmethod
    def matches_command(cls, title: str) -> bool:
        return nodes.is_worker(title)

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        return self._way.read(targets, table)

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        return self._way.left_behind(supervised, table)

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        return self._way.find_others(targets, table)

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        return self._way.quiet(target, table)

    def resume(self, target: Target, table: ProcessTable) -> None:
        self._way.resume(target, table)

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        self._way.before_stop(target, table)

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        return self._way.memory_in_children(process, table)

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        way = self._way.advice(program, drain_timeout_seconds)
        return [*way, *advise_on_child_limit(program, self.tools.max_rss_bytes)]
