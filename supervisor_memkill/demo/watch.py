"""Watches the demo from outside: supervisord, the workers' reports, the spool, but not the listener."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from supervisor_memkill.demo.sample import Sample, Sight
from supervisor_memkill.demo.spool import Spool
from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import Supervisord


class Watcher:
    """Takes samples of the workers of one group."""

    def __init__(self, supervisord: Supervisord, spool: Spool, group: str) -> None:
        self._supervisord = supervisord
        self._spool = spool
        self._group = group

    def look(self, at: float) -> Sample:
        """Take one sample.

        Raises SupervisordError when supervisord does not answer, and another MemkillError when one of
        its programs does not start.
        """
        processes = self._supervisord.all_processes()
        for one in processes:
            if one.state is ProcessState.FATAL:
                raise MemkillError(f"the demo's supervisord cannot start {one.worker}: {one.spawnerr}")
        facts = self._spool.facts()
        finished = Counter(fact.job for fact in facts if fact.what == "finish")
        running = {fact.pid for fact in facts if fact.what == "start" and not finished[fact.job]}
        workers = sorted((one for one in processes if one.group == self._group), key=lambda one: one.name)
        return Sample(
            at,
            tuple(self._sight(one, running) for one in workers),
            waiting=len(self._spool.waiting()),
            done=len(finished),
        )

    def _sight(self, process: ProcessInfo, running: set[int]) -> Sight:
        return Sight(
            process.worker,
            process.state,
            process.pid,
            _memory(process.pid),
            self._spool.reported(process.name, process.pid),
            process.pid in running,
        )


class Tail:
    """Reads the lines that are appended to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> Sequence[str]:
        """The complete lines that were appended since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole + newline)
        return whole.decode(errors="replace").splitlines()


def _memory(pid: int) -> int | None:
    try:
        return ProcessTable().memory(pid) if pid else None
    except Unknown:
        return None
