"""The settings in force of each program, as far as supervisord and its files show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.world.supervisord import Supervisord


class Programs:
    """Keeps the settings of a process while that process lives.

    supervisord reports its files as it read them last, but `reread` alone puts nothing in force. The settings
    in force change with `update`, which ends the process.
    """

    def __init__(self, supervisord: Supervisord, stop_as_group: Callable[[], Mapping[str, bool]]) -> None:
        """`stop_as_group` gives the stopasgroup of each group for which it is known."""
        self._supervisord = supervisord
        self._stop_as_group = stop_as_group
        self._programs: dict[str, ProgramInfo] = {}
        self._lives: dict[str, tuple[int, int]] = {}
        """Pid and start of each process when its settings were learnt."""

    def of(self, worker: str) -> ProgramInfo | None:
        """The settings of this worker; None if supervisord did not report them."""
        return self._programs.get(worker)

    def are_of_other(self, processes: Sequence[ProcessInfo]) -> bool:
        """supervisord has other processes than when the settings were learnt: `supervisorctl update` ran."""
        return {process.worker for process in processes} != self._programs.keys()

    def listener_groups(self) -> frozenset[str]:
        """The groups with a priority below 0, the default of event listeners."""
        return frozenset(program.group for program in self._programs.values() if program.group_priority < 0)

    def learn(self, processes: Sequence[ProcessInfo]) -> None:
        """Ask supervisord for all settings again. Raises SupervisordError."""
        known, lives = self._stop_as_group(), {one.worker: (one.pid, one.start) for one in processes}
        reported = {program.worker: program for program in self._supervisord.programs()}
        learnt = {worker: _with_stop_as_group(program, known) for worker, program in reported.items()}
        for worker, life in lives.items():
            former = self._programs.get(worker)
            lives_on = life[0] != 0 and life == self._lives.get(worker)
            if lives_on and worker in learnt and former is not None:
                as_group = learnt[worker].stopasgroup if former.stopasgroup is None else former.stopasgroup
                learnt[worker] = dataclasses.replace(former, stopasgroup=as_group)
        self._programs, self._lives = learnt, lives


def _with_stop_as_group(program: ProgramInfo, known: Mapping[str, bool]) -> ProgramInfo:
    """supervisord rejects stopasgroup=true with killasgroup=false (supervisor/options.py)."""
    configured = known.get(program.group, known.get(program.worker))
    stop_as_group = configured if program.killasgroup else False
    return dataclasses.replace(program, stopasgroup=stop_as_group)
