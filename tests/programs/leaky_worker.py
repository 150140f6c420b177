"""A job worker for tests: holds memory, works a spool directory, and drains when it is told to.

A job is a file NAME.job in the spool; its content is how many seconds it takes (else --job-seconds).
SIGUSR1: take no new job. SIGUSR2: take jobs again. SIGTERM: finish the running job, then exit 0.
The record gets one line per fact: "start NAME PID", "finish NAME PID", "up PID", "quiet PID",
"resume PID", "term PID".
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

POLL_SECONDS = 0.05


class Worker:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.quiet = False
        self.ending = False
        self.ballast = bytearray(b"x" * (options.megabytes * 1024 * 1024))
        self.record_fd = os.open(options.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def run(self) -> None:
        self.write_busy(0)
        signal.signal(signal.SIGUSR1, self.on_quiet)
        signal.signal(signal.SIGUSR2, self.on_resume)
        signal.signal(signal.SIGTERM, self.on_term)
        self.record("up")
        if self.options.print_pid:
            print(os.getpid(), flush=True)
        while not self.ending:
            if not self.work_one_job():
                time.sleep(POLL_SECONDS)

    def work_one_job(self) -> bool:
        waiting = sorted(self.options.spool.glob("*.job"))
        if self.quiet or not waiting:
            return False
        # Busy is raised before the job is taken: nobody may read 0 while it is in hand.
        self.write_busy(1)
        worked = any(self.take_and_work(job) for job in waiting)
        self.write_busy(0)
        return worked

    def take_and_work(self, job: Path) -> bool:
        if self.quiet or self.ending:
            return False
        taken = job.with_suffix(f".taken-{os.getpid()}")
        try:
            job.rename(taken)
        except FileNotFoundError:
            return False
        self.record("start", job.stem)
        self.ballast.extend(b"x" * (self.options.leak_megabytes * 1024 * 1024))
        self.work(float(taken.read_text().strip() or self.options.job_seconds))
        self.record("finish", job.stem)
        taken.rename(job.with_suffix(".done"))
        return True

    def work(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        hold: Path | None = self.options.hold
        while time.monotonic() < end or (hold is not None and hold.exists()):
            time.sleep(POLL_SECONDS)

    def write_busy(self, count: int) -> None:
        file: Path | None = self.options.busy_file
        if file is None:
            return
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_text(f"{count}\n")
        fresh.replace(file)

    def record(self, *words: str) -> None:
        os.write(self.record_fd, (" ".join([*words, str(os.getpid())]) + "\n").encode())

    def on_quiet(self, _number: int, _frame: FrameType | None) -> None:
        self.quiet = True
        self.record("quiet")

    def on_resume(self, _number: int, _frame: FrameType | None) -> None:
        self.quiet = False
        self.record("resume")

    def on_term(self, _number: int, _frame: FrameType | None) -> None:
        self.record("term")
        if not self.options.ignore_term:
            self.ending = True


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spool", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True, help="the file that gets the facts")
    parser.add_argument("--busy-file", type=Path, help="holds 0 or 1, the jobs in hand")
    parser.add_argument("--megabytes", type=int, default=1, help="held from the start")
    parser.add_argument("--leak-megabytes", type=int, default=0, help="kept from each job")
    parser.add_argument("--job-seconds", type=float, default=0.0)
    parser.add_argument("--hold", type=Path, help="no job finishes while this file exists")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--print-pid", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    Worker(parse(sys.argv[1:])).run()
