"""One job worker of the demo, with a leak: ``python -m supervisor_memkill.demo.worker NAME ...``.

It works through the spool in the current directory. SIGUSR1: it takes no new job, and finishes the
running one. SIGTERM: it finishes the running job, and exits. It uses the standard library alone,
because its memory is on show.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from supervisor_memkill.demo.spool import Job, Spool

TURN_SECONDS = 0.1


class Worker:
    """Takes one job after the other, and leaks memory during each second of work."""

    def __init__(self, name: str, leak_bytes_per_second: int, max_bytes: int, owner: int) -> None:
        """It leaks at most `max_bytes`, and ends when process `owner`, the demo, has ended."""
        self._name = name
        self._leak_bytes = int(leak_bytes_per_second * TURN_SECONDS)
        self._leaks_left = max_bytes // self._leak_bytes
        self._owner = owner
        self._supervisord = os.getppid()
        self._spool = Spool(Path())
        self._leaked: list[bytes] = []
        self._reported = ""
        self._quiet = False
        self._ending = False

    def run(self) -> None:
        signal.signal(signal.SIGUSR1, self._on_quiet)
        signal.signal(signal.SIGTERM, self._on_end)
        self._spool.count_busy(self._name, 0)
        while not self._ending:
            self._turn()
            if not self._quiet and self._spool.waiting():
                self._work_one()

    def _work_one(self) -> None:
        # Counted before the job is taken, so that a reader who finds 0 after the quiet may rely on it.
        self._spool.count_busy(self._name, 1)
        job = None if self._quiet or self._ending else self._spool.take(self._name)
        if job is not None:
            self._work(job)
            self._spool.finish(job, self._name)
        self._spool.count_busy(self._name, 0)

    def _work(self, job: Job) -> None:
        end = time.monotonic() + job.seconds
        while time.monotonic() < end:
            self._leak()
            self._turn()

    def _leak(self) -> None:
        if self._leaks_left > 0:
            self._leaks_left -= 1
            self._leaked.append(b"x" * self._leak_bytes)

    def _turn(self) -> None:
        self._report("quiet" if self._quiet or self._ending else "ready")
        self._end_with_the_demo()
        time.sleep(TURN_SECONDS)

    def _report(self, word: str) -> None:
        if word != self._reported:
            self._spool.report(self._name, word)
            self._reported = word

    def _end_with_the_demo(self) -> None:
        """A demo that is killed cannot stop its supervisord and its workers."""
        if os.getppid() != self._supervisord:
            self._ending = True
        elif not _lives(self._owner):
            os.kill(self._supervisord, signal.SIGTERM)

    def _on_quiet(self, _number: int, _frame: FrameType | None) -> None:
        self._quiet = True

    def _on_end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--leak", type=int, required=True, help="bytes leaked in each second of work")
    parser.add_argument("--max", type=int, required=True, help="bytes leaked in all")
    parser.add_argument("--owner", type=int, required=True, help="pid of the demo")
    given = parser.parse_args(arguments)
    Worker(given.name, given.leak, given.max, given.owner).run()


if __name__ == "__main__":
    main()
