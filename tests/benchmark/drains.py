"""What a drain costs while it lasts, and how long its worker is away without need."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime

from tests.benchmark.idle import run
from tests.benchmark.stage import GAPS, SETTLE_SECONDS, Stage, sleep_until_between_ticks
from tests.benchmark.usage import median_usage
from tests.harness import wait_for

LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Gaps:
    """Medians of some restarts, in ms."""

    listener: str
    stopped_to_start_ms: float
    """From the end of the old process to the start of the new one, by supervisord's log."""
    running_to_done_ms: float
    """From RUNNING to the end of the drain, without `settle`."""


@dataclass(frozen=True)
class UnderWay:
    """A drain that waits, by the second."""

    listener: str
    own_cpu_ms: float
    supervisord_ms: float


def measure_gaps(stage: Stage, name: str) -> Gaps:
    """Restart each worker of one pool by request."""
    with stage.listening(name):
        _request(stage, name, "gap")
        own_log = f"{name}.log"
        wait_for(
            lambda: stage.supervisord.log(own_log).count("drain.done") >= GAPS,
            seconds=120,
            message=lambda: stage.supervisord.log(own_log),
        )
    times = _times(stage.supervisord.log())
    done = [(at, text.split()) for at, text in _times(stage.supervisord.log(own_log)) if "drain.done" in text]
    gaps, ends = [], []
    for number in range(GAPS):
        worker = f"gap_{number}"
        stopped = max(at for at, text in times if text.startswith(f"stopped: {worker} "))
        spawned = max(at for at, text in times if text.startswith(f"spawned: '{worker}' "))
        running = max(at for at, text in times if text.startswith(f"success: {worker} "))
        over = max(at for at, words in done if f"worker=gap:{worker}" in words)
        gaps.append((spawned - stopped) * 1000)
        ends.append((over - running - SETTLE_SECONDS) * 1000)
    return Gaps(name, statistics.median(gaps), statistics.median(ends))


def measure_under_way(stage: Stage, name: str, runs: int) -> UnderWay:
    """A drain whose worker settles for long: the listener looks at it each second."""
    seconds = 5.0
    with stage.listening(name) as pid:
        sleep_until_between_ticks(1)
        idle = [run(stage.supervisord.pid, pid) for _ in range(runs)]
        _request(stage, name, "held")
        wait_for(
            lambda: (
                stage.supervisord.log(f"{name}.log").count("drain.settling") >= 1
                or "state=settling" in stage.supervisord.log(f"{name}.log")
            ),
            seconds=60,
            message=lambda: stage.supervisord.log(f"{name}.log"),
        )
        sleep_until_between_ticks(1)
        parts = [run(stage.supervisord.pid, pid) for _ in range(runs)]
    theirs, own = (
        (
            median_usage([part[index] for part in parts]).cpu_seconds
            - median_usage([part[index] for part in idle]).cpu_seconds
        )
        * 1000
        / seconds
        for index in (0, 1)
    )
    return UnderWay(name, max(0.0, own), max(0.0, theirs))


def _request(stage: Stage, name: str, pool: str) -> None:
    time.sleep(0.5)
    words = [sys.executable, "-m", "supervisor_memkill", "restart", pool]
    words += ["--config", str(stage.here / f"{name}.conf"), "--serverurl", stage.supervisord.url]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _times(log: str) -> list[tuple[float, str]]:
    found = LINE.findall(log)
    return [(datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").timestamp(), text) for at, text in found]
