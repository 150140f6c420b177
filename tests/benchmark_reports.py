"""The cost of hooks, notices and metrics, on and off: ``python -m tests.benchmark_reports``.

Memory is that of a listener's process after some checks of two workers. Time is that of one look at 500
workers, in the listener's thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from supervisor_memkill.commands.deliveries import attach
from supervisor_memkill.config.values import Config
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.pool_events import PoolLooked
from supervisor_memkill.units import format_size
from tests.harness import free_port
from tests.notices.test_gauges import SEEN
from tests.real.listener_process import AnsweringSupervisord, listener_under

CHECKS, LOOKS, WORKERS = 5, 20, 500
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


if __name__ == "__main__":
    main()
