"""The processes of a machine, as psutil would report them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import psutil

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure
from supervisor_memkill.world.memory import Gone, Resident, Unmeasurable
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class Processes:
    """The back end of a ProcessTable."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def parents(self) -> Mapping[int, int]:
        found = {}
        for process in self._machine.living():
            found[process.pid] = 1
            if process.child:
                found[process.child] = process.pid
        return found

    def created(self, pid: int) -> float:
        found = self._machine.process(pid) or self._machine.orphan(pid) or self._parent(pid)
        if found is None:
            raise Gone(f"there is no process {pid}")
        return self._machine.clock_at(found.created)

    def _parent(self, pid: int) -> Process | None:
        return next((one for one in self._machine.living() if one.child == pid), None)

    def generations(self) -> Mapping[int, int]:
        return {one.pid: round(one.created * 1e6) for one in self._machine.living()}

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        machine = self._machine
        process = machine.process(pid)
        if process is None:
            if self._parent(pid) is not None or machine.orphan(pid) is not None:
                return 1
            raise Gone(f"there is no process {pid}")
        if machine.world.weather.memory_unknown(machine):
            raise Unknown("access is denied")
        if machine.hides_measure:
            raise Unmeasurable("it needs the capability SYS_PTRACE")
        machine.measured[pid] = (machine.engine.now, process.memory)
        return process.memory

    def resident(self, pid: int) -> Resident:
        process = self._machine.process(pid)
        if process is None:
            return Resident(rss=self.memory_bytes(pid, "rss"))
        shown = self._machine.shown_memory(process)
        self._machine.measured[pid] = (self._machine.engine.now, shown)
        return Resident(rss=shown, anonymous=process.memory * 9 // 10, peak=shown)

    def status(self, pid: int) -> str:
        process = self._machine.process(pid)
        frozen = process is not None and (process.frozen_at is not None or process.held_at is not None)
        return str(psutil.STATUS_STOPPED if frozen else psutil.STATUS_SLEEPING)

    def directory(self, pid: int) -> str:
        raise Unknown("access is denied")

    def environment(self, pid: int) -> Mapping[str, str]:
        raise Unknown("access is denied")

    def command_line(self, pid: int) -> Sequence[str]:
        process = self._machine.process(pid)
        if (
            process is None
            or process.habits.kind != "sidekiq"
            or not process.is_booted(self._machine.engine.now)
        ):
            return ("worker",)
        last = self._machine.last_beat(process)
        is_quiet = last is not None and process.quiet_at is not None and process.quiet_at < last
        return ("sidekiq", "6.4.1", "app", "[0", "of", "1", "busy]", *(["stopping"] if is_quiet else []))

    def caught_signals(self, pid: int) -> int:
        raise Unknown("this system does not show them")

    def blocked_signals(self, pid: int) -> int:
        raise Unknown("this system does not show them")

    def group(self, pid: int) -> int:
        return pid

    def control_group(self, pid: int) -> str:
        return ""
