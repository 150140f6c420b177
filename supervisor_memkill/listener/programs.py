"""The settings in force of each program, as far as supervisord and its files show them."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Collection, Mapping, Sequence

from supervisor_memkill.config import program_files
from supervisor_memkill.config.program_files import ProgramFiles
from supervisor_memkill.config.supervisord_sections import StopAsGroup
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.world.supervisord import CallFailed, Supervisord


class Programs:
    """Keeps the settings of a process while that process lives.

    supervisord reports its files as it read them last, but `reread` alone puts nothing in force. The settings
    in force change with `update`, which ends the process.

    supervisord reports the settings of all programs together or not at all. If it cannot, the files count.
    """

    def __init__(
        self,
        supervisord: Supervisord,
        stop_as_group: Callable[[], StopAsGroup],
        in_files: Callable[[], ProgramFiles] = lambda: program_files.NOTHING,
    ) -> None:
        """`stop_as_group` and `in_files` read supervisord's files."""
        self._supervisord = supervisord
        self._stop_as_group = stop_as_group
        self._in_files = in_files
        self._programs: dict[str, ProgramInfo] = {}
        self._processes: Sequence[ProcessInfo] = ()
        """The settings were learnt when these processes lived."""
        self._settings_are_theirs = False
        """`_processes` were judged: the settings are surely theirs."""
        self._listener_groups: frozenset[str] = frozenset()
        self.alerts: tuple[str, ...] = ()
        """Why supervisord does not report its settings, and what that means; empty if it does."""

    def of(self, worker: str) -> ProgramInfo | None:
        """The settings of this worker; None if they are unknown."""
        return self._programs.get(worker)

    def all(self) -> Collection[ProgramInfo]:
        """All settings that are known."""
        return self._programs.values()

    @property
    def by_worker(self) -> Mapping[str, ProgramInfo]:
        """The same by worker: another object as soon as they are learnt again."""
        return self._programs

    def are_of_other(self, processes: Sequence[ProcessInfo]) -> bool:
        """supervisord has other processes than when the settings were learnt: perhaps `update` ran.

        What supervisord did not report is asked for again, unless it reports nothing at all.
        """
        is_same_number = len(processes) == len(self._processes)
        if (
            self._settings_are_theirs
            and is_same_number
            and all(map(operator.is_, processes, self._processes))
        ):
            return False
        self._settings_are_theirs = not self._are_of_other(processes)
        if self._settings_are_theirs:
            self._processes = tuple(processes)
        return not self._settings_are_theirs

    def _are_of_other(self, processes: Sequence[ProcessInfo]) -> bool:
        is_known = bool(self.alerts) or {one.worker for one in processes} == self._programs.keys()
        return not is_known or _lives_of(processes) != _lives_of(self._processes)

    def listener_groups(self) -> frozenset[str]:
        """The groups with a priority below 0, which event listeners have, unless the files name a program."""
        return self._listener_groups

    def learn(self, processes: Sequence[ProcessInfo]) -> None:
        """Ask supervisord for all settings again. Raises SupervisordError if it is away."""
        self._settings_are_theirs = False
        before, lives = _lives_of(self._processes), _lives_of(processes)
        names = {worker: worker for worker in lives}  # The same texts as keys: there may be thousands.
        learnt = {names.get(one.worker, one.worker): one for one in self._reported(processes)}
        for worker, life in lives.items():
            former, now = self._programs.get(worker), learnt.get(worker)
            lives_on = life[0] != 0 and life == before.get(worker)
            if lives_on and former is not None and (now is not None or self.alerts):
                learnt[worker] = _in_force(former, now)
        self._programs, self._processes = learnt, tuple(processes)
        self._listener_groups = _listener_groups(learnt.values(), self._in_files)

    def _reported(self, processes: Sequence[ProcessInfo]) -> Sequence[ProgramInfo]:
        try:
            reported = self._supervisord.programs()
        except CallFailed as error:
            files = self._in_files()
            self.alerts = tuple(_alerts(error, files))
            present = {process.worker for process in processes}
            return [program for program in files.programs if program.worker in present]
        self.alerts = ()
        known = self._stop_as_group()
        return [_with_stop_as_group(program, known) for program in reported]


def _in_force(former: ProgramInfo, now: ProgramInfo | None) -> ProgramInfo:
    """The settings that the process was started with; `now`: those that are reported now, None: none are."""
    if now is None or former.stopasgroup is not None:
        return former
    return dataclasses.replace(former, stopasgroup=now.stopasgroup)


def _listener_groups(
    programs: Collection[ProgramInfo], in_files: Callable[[], ProgramFiles]
) -> frozenset[str]:
    low = {(program.group, program.group_priority) for program in programs if program.group_priority < 0}
    # A program with a priority below 0 is rare. It counts as one only if the files show this very priority.
    files = in_files()
    named = {(one.group, one.group_priority) for one in files.programs if one.group not in files.events}
    return frozenset(group for group, _ in low - named)


def _lives_of(processes: Sequence[ProcessInfo]) -> dict[str, tuple[int, int]]:
    return {one.worker: (one.pid, one.start) for one in processes}


def _alerts(error: CallFailed, files: ProgramFiles) -> list[str]:
    failed = f"supervisord does not report the settings of its programs ({error}); "
    if not files.programs:
        return [
            f"{failed}its configuration files cannot be read either: a worker with unknown settings is not"
            " drained",
            *files.not_understood,
        ]
    used = "those in its configuration files are used"
    if not files.too_large:
        return [f"{failed}{used}: see supervisord's own log for the cause", *files.not_understood]
    return [
        *(f"supervisord can report no setting because of this one: {one}; {used}" for one in files.too_large),
        *files.not_understood,
    ]


def _with_stop_as_group(program: ProgramInfo, known: StopAsGroup) -> ProgramInfo:
    """supervisord rejects stopasgroup=true with killasgroup=false (supervisor/options.py)."""
    configured = known(program.group, program.name)
    stop_as_group = configured if program.killasgroup else False
    return dataclasses.replace(program, stopasgroup=stop_as_group)
