"""The settings of each program as they are in force, as far as supervisord and its files tell them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.world.supervisord import Supervisord


class Programs:
    """Keeps what was learnt of a process for as long as that process lives.

    supervisord answers with its files as it read them last, and `reread` alone puts nothing in force. What is
    in force changes with `update`, which ends the process.
    """

    def __init__(self, supervisord: Supervisord, stop_as_group: Callable[[], Mapping[str, bool]]) -> None:
        """`stop_as_group`: the stopasgroup of each group for which it is known."""
        self._supervisord = supervisord
        self._stop_as_group = stop_as_group
        self._programs: dict[str, ProgramInfo] = {}
        self._lives: dict[str, tuple[int, int]] = {}
        """Pid and start of each process when its settings were learnt."""

    def of(self, worker: str) -> ProgramInfo | None:
        """The settings of this worker; None when supervisord did not give them."""
        return self._programs.get(worker)

    def are_of_other(self, processes: Sequence[ProcessInfo]) -> bool:
        """Processes came or went since they were learnt: `supervisorctl update` ran."""
        return {process.worker for process in processes} != self._programs.keys()

    def listener_groups(self) -> frozenset[str]:
        """The groups with the priority of an event listener: below 0, unless it was set."""
        return frozenset(program.group for program in self._programs.values() if program.group_priority < 0)

    def learn(self, processes: Sequence[ProcessInfo]) -> None:
        """Ask for all settings again. Raises SupervisordError."""
        known, lives = self._stop_as_group(), {one.worker: (one.pid, one.start) for one in processes}
        told = {program.worker: program for program in self._supervisord.programs()}
        fresh = {worker: _with_stop_as_group(program, known) for worker, program in told.items()}
        for worker, life in lives.items():
            former = self._programs.get(worker)
            lives_on = life[0] != 0 and life == self._lives.get(worker)
            if lives_on and worker in fresh and former is not None and former.stopasgroup is not None:
                fresh[worker] = former
        self._programs, self._lives = fresh, lives


def _with_stop_as_group(program: ProgramInfo, known: Mapping[str, bool]) -> ProgramInfo:
    """supervisord takes no stopasgroup=true beside killasgroup=false (supervisor/options.py)."""
    told = known.get(program.group, known.get(program.worker))
    stop_as_group = told if program.killasgroup else False
    return dataclasses.replace(program, stopasgroup=stop_as_group)
