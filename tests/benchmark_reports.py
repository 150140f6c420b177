"""The cost of hooks, notices, metrics and what else is on or off: ``python -m tests.benchmark_reports``.

Memory is that of a listener's process after some checks of two workers. Time is that of one look at 500
workers, in the listener's thread. Then: the job classes (``suspects``), the process beside a command of
``before_stop``, and the process of ``serve``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.commands.deliveries import attach
from supervisor_memkill.config.values import Config
from supervisor_memkill.listener.history_file import HistoryFile
from supervisor_memkill.listener.interval_file import IntervalFile
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import HistoryAway, HistoryBack
from supervisor_memkill.notices.history import HistorySink
from supervisor_memkill.notices.pool_events import PoolLooked, WorkerJobs
from supervisor_memkill.units import format_size
from supervisor_memkill.world.guarded_command import GuardedCommand
from tests.harness import free_port, wait_for
from tests.notices.test_gauges import SEEN
from tests.real.listener_process import AnsweringSupervisord, listener_under

CHECKS, LOOKS, WORKERS = 5, 20, 500
OUTAGE = Outage(HistoryAway, HistoryBack, Notifier([]), boot_clock)
NOW = itertools.count(0.0, 10.0)
"""Looks follow one another as with a heartbeat of 10 s."""
GONE = "json://127.0.0.1:1"


def settings(directory: Path) -> Mapping[str, str]:
    """What is switched on, by name."""
    return {
        "nothing": "",
        "hook": "hook = /bin/true\nhook_events = *",
        "notify": f"notify = {GONE}\nnotify_events = *",
        "metrics_textfile": f"metrics_textfile = {directory}/memkill.prom",
        "metrics_listen": f"metrics_listen = {free_port()}",
    }


def memory_bytes(text: str) -> tuple[int, int, int]:
    """RSS, USS and the number of threads."""
    supervisord = AnsweringSupervisord()
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            tempfile.TemporaryDirectory(prefix="mk-") as directory,
            listener_under(supervisord, Path(directory), text) as listener,
        ):
            for _ in range(CHECKS):
                listener.say()
                supervisord.is_checked_within(10)
            process = psutil.Process(listener.popen.pid)
            memory = process.memory_full_info()
            return memory.rss, memory.uss, process.num_threads()
    finally:
        supervisord.close()


def look_seconds(config: Config) -> float:
    """The median time in which the sinks take one look."""
    notifier = Notifier([])
    deliveries = attach(config, notifier)
    seen = [dataclasses.replace(SEEN, worker=f"jobs:{number}") for number in range(WORKERS)]
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        for event in seen:
            notifier.report(event)
        notifier.report(PoolLooked("jobs", WORKERS, readings_up=True, failure=None))
        times.append(time.perf_counter() - began)
    deliveries.close()
    return statistics.median(times)


def history_costs(directory: Path, jobs: Sequence[str]) -> tuple[float, int]:
    """The median seconds of one look at 500 workers by the history, and its bytes of memory.

    `jobs`: what each of them runs; empty: the kind names no jobs.
    """
    store = HistoryFile(directory / f"history-{len(jobs)}", OUTAGE)
    sink = HistorySink(
        store, "here", intervals=lambda: IntervalFile(directory / "jobs", OUTAGE), ticks=lambda: next(NOW)
    )
    seen = [dataclasses.replace(SEEN, worker=f"jobs:{number}") for number in range(WORKERS)]
    times, before = [], psutil.Process().memory_full_info().uss
    for look in range(LOOKS):
        up, memory = 60.0 + 10 * look, 2**27 + look * 2**20
        begun = [
            WorkerJobs(one.worker, "jobs", 100 + number, 1, memory, up, tuple(jobs))
            for number, one in enumerate(seen if jobs else ())
        ]
        began = time.perf_counter()
        for event in (*seen, *begun):
            sink.take(event)
        sink.take(PoolLooked("jobs", WORKERS, readings_up=True, failure=None))
        times.append(time.perf_counter() - began)
    return statistics.median(times), psutil.Process().memory_full_info().uss - before


def guard_bytes() -> tuple[int, int]:
    """RSS and USS of the process that guards a command of before_stop."""
    guard = GuardedCommand(["/bin/sleep", "60"], 60.0)
    try:
        (process,) = wait_for(psutil.Process().children)
        wait_for(process.children)  # The command runs: the guard is complete.
        memory = process.memory_full_info()
        return memory.rss, memory.uss
    finally:
        guard.give_up()


def page_costs(directory: Path) -> tuple[int, int, float]:
    """RSS and USS of ``serve`` after some pages, and the median seconds for one page that is made anew.

    There is no listener and no supervisord: the page says so.
    """
    port, config = free_port(), directory / "memkill.conf"
    config.write_text("[memkill:jobs]\nmax_rss = 1GB\n")
    words = [sys.executable, "-m", "supervisor_memkill", "serve", "--config", str(config)]
    words += ["--listen", str(port), "--serverurl", f"unix://{directory}/nobody.sock"]
    times = []
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as served:
        try:
            wait_for(lambda: _is_open(port))
            for _ in range(CHECKS):
                began = time.perf_counter()
                urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
                times.append(time.perf_counter() - began)
                time.sleep(1.1)  # A page is kept for a second.
            memory = psutil.Process(served.pid).memory_full_info()
        finally:
            served.terminate()
    return memory.rss, memory.uss, statistics.median(times)


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mk-") as name:
        directory = Path(name)
        configs = {
            "nothing": Config("here"),
            "hook": Config("here", hook=("/bin/true",), hook_events=("*",)),
            "notify": Config("here", notify=(GONE,), notify_events=("*",)),
            "metrics_textfile": Config("here", metrics_textfile=directory / "look.prom"),
            "metrics_listen": Config("here", metrics_listen=("127.0.0.1", free_port())),
        }
        print("what is on           own rss   own uss  threads   a look at 500 workers")
        for what, text in settings(directory).items():
            rss, uss, threads = memory_bytes(text)
            milliseconds = look_seconds(configs[what]) * 1000
            print(
                f"{what:18} {format_size(rss):>9} {format_size(uss):>9} {threads:8} {milliseconds:20.2f} ms"
            )
        print("history                    own memory            a look at 500 workers")
        for what, jobs in (("no kind names jobs", ()), ("with job classes", ("Mail", "Report", "Sync"))):
            seconds, more = history_costs(directory, jobs)
            print(f"{what:24} {format_size(max(0, more)):>12} {seconds * 1000:30.2f} ms")
        rss, uss = guard_bytes()
        print(f"while a before_stop command runs: rss {format_size(rss)}, uss {format_size(uss)}")
        rss, uss, seconds = page_costs(directory)
        print(f"serve: rss {format_size(rss)}, uss {format_size(uss)}; a page {seconds * 1000:.0f} ms")


if __name__ == "__main__":
    main()
