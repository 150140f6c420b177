"""The demo's job queue: one file per job, moved by atomic renames, and a record of all starts and finishes.

The workers import it, and their memory is on show: it uses the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from supervisor_memkill.dataclass import dataclass


@dataclass(frozen=True)
class Job:
    """One job."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Fact:
    """One line of the record."""

    what: str
    """``start`` or ``finish``."""
    job: str
    worker: str
    pid: int


class Spool:
    """The directories that the file of a job moves through, and the files beside them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting = directory / "waiting"
        self._taken = directory / "taken"
        self._done = directory / "done"
        self._record = directory / "record"

    def create(self) -> None:
        for directory in (self._waiting, self._taken, self._done):
            directory.mkdir()
        self._record.touch()

    def hand_out(self, job: Job) -> None:
        """Put the job where the workers look, in one step."""
        _write(self._waiting / job.name, str(job.seconds))

    def waiting(self) -> Sequence[str]:
        """The jobs that no worker has taken, oldest first."""
        return sorted(path.name for path in self._waiting.iterdir() if not path.name.startswith("."))

    def take(self, worker: str) -> Job | None:
        """Take the oldest job that no other worker takes at the same time; None when there is none."""
        for name in self.waiting():
            with contextlib.suppress(FileNotFoundError):
                (self._waiting / name).rename(self._taken / name)
                self._note("start", name, worker)
                return Job(name, float((self._taken / name).read_text()))
        return None

    def finish(self, job: Job, worker: str) -> None:
        self._note("finish", job.name, worker)
        (self._taken / job.name).rename(self._done / job.name)

    def facts(self) -> Sequence[Fact]:
        """The record so far, oldest first."""
        lines = [line.split() for line in self._record.read_text().splitlines()]
        return [Fact(what, job, worker, int(pid)) for what, job, worker, pid in lines]

    def report(self, worker: str, word: str) -> None:
        """Let this process report that it is ``ready`` or ``quiet``."""
        _write(self._directory / f"{worker}.report", f"{os.getpid()} {word}")

    def reported(self, worker: str, pid: int) -> str:
        """The last report of process `pid`; "" when it has not reported."""
        with contextlib.suppress(FileNotFoundError):
            reporter, word = (self._directory / f"{worker}.report").read_text().split()
            return word if int(reporter) == pid else ""
        return ""

    def count_busy(self, worker: str, count: int) -> None:
        """Write the number of running jobs, which ``busy_command`` of the demo's configuration reads."""
        _write(self._directory / f"{worker}.busy", f"{count}\n")

    def _note(self, what: str, job: str, worker: str) -> None:
        # One write in append mode: lines of several workers cannot mix.
        line = f"{what} {job} {worker} {os.getpid()}\n"
        record = os.open(self._record, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(record, line.encode())
        finally:
            os.close(record)


def _write(path: Path, text: str) -> None:
    """Replace the file in one step: no reader sees an incomplete file."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)
