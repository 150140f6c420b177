"""The cost of one check beside superlance's memmon, in the same run on the same machine.

``python -m tests.benchmark [PROCESSES ...]``; by default 100 and 500. Figures are medians of runs that
take turns, so that a noisy machine is noisy for both.
"""

from __future__ import annotations

import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from superlance.memmon import Memmon
from supervisor import childutils

from supervisor_memkill.commands.context import build_pools, build_surveyor
from supervisor_memkill.config.options import Config, PoolConfig
from supervisor_memkill.config.supervisord_sections import unknown_stop_as_group
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.units import format_size, parse_size
from tests.harness import RealSupervisord, wait_for

ROUNDS = 5
HUGE = parse_size("1TB")
LISTENERS = """
[supervisord]
minfds = 8192
[program:sleepers]
command = {sleep} 86400
process_name = %(program_name)s_%(process_num)d
numprocs = {count}
startsecs = 0
stopwaitsecs = 1
[eventlistener:memkill]
command = {python} -m supervisor_memkill --config {here}/memkill.conf
events = TICK_5
stderr_logfile = {here}/memkill.log
[eventlistener:memmon]
command = {python} -c 'from superlance.memmon import main; main()' -a 1024GB
events = TICK_5
stderr_logfile = {here}/memmon.log
"""
MEMKILL = """
[memkill]
journal = %(here)s/own/benchmark.journal
log_level = debug
[memkill:sleepers]
max_rss = 1TB
"""


def main(counts: list[int]) -> None:
    for count in counts:
        here = Path(tempfile.mkdtemp(prefix="mk"))
        try:
            measure(here, count)
        finally:
            shutil.rmtree(here)
    report_imports()


def measure(here: Path, count: int) -> None:
    (here / "memkill.conf").write_text(MEMKILL)
    sleep = shutil.which("sleep")
    sections = LISTENERS.format(count=count, here=here, python=sys.executable, sleep=sleep)
    supervisord = RealSupervisord(here, sections).start()
    try:
        wait_for(lambda: running(supervisord) >= count + 2, seconds=120, message="all processes running")
        report_checks(supervisord, count)
        report_memory(supervisord, here, count)
    finally:
        supervisord.stop()


def running(supervisord: RealSupervisord) -> int:
    processes = supervisord.proxy.all_processes()
    return sum(process.state is ProcessState.RUNNING for process in processes)


def report_checks(supervisord: RealSupervisord, count: int) -> None:
    ways: dict[str, Callable[[], object]] = {
        "supervisord's answer alone": supervisord.proxy.all_processes,
        "supervisor-memkill": memkill_check(supervisord, children=False),
        "memmon": memmon_check(supervisord, cumulative=False),
        "supervisor-memkill, with children": memkill_check(supervisord, children=True),
        "memmon -c, with children": memmon_check(supervisord, cumulative=True),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - began)
    ours = statistics.median(times["supervisor-memkill"])
    print(f"one check of {count} processes, median of {ROUNDS}:")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"  {name:36} {median * 1000:9.1f} ms   {median / ours:6.2f} x ours")


def memkill_check(supervisord: RealSupervisord, *, children: bool) -> Callable[[], object]:
    pool = PoolConfig("sleepers", ("*",), max_rss=HUGE, children=children)
    config = Config(host="here", pools=(pool,))
    pools = build_pools(config, supervisord.proxy)
    surveyor = build_surveyor(
        pools,
        supervisord.proxy,
        own_group="memkill",
        eventlistener_groups=(),
        stop_as_group=lambda: unknown_stop_as_group,
    )
    return lambda: surveyor.check(Contents())


def memmon_check(supervisord: RealSupervisord, *, cumulative: bool) -> Callable[[], object]:
    rpc: Any = childutils.getRPCInterface({"SUPERVISOR_SERVER_URL": supervisord.url})

    def check() -> None:
        memmon = Memmon(cumulative, {}, {}, HUGE.exact_bytes, None, None, None, None, rpc)
        memmon.stdin = io.StringIO("eventname:TICK_60 len:0\n")
        memmon.stdout = memmon.stderr = io.StringIO()
        memmon.runforever(test=True)

    return check


def report_memory(supervisord: RealSupervisord, here: Path, count: int) -> None:
    for name in ("memkill", "memmon"):
        wait_for((here / f"{name}.log").exists, seconds=60, message=f"{name} has checked")
    wait_for(lambda: "RSS of" in (here / "memmon.log").read_text(), seconds=60, message="memmon has checked")
    print(f"own memory after a check of {count} processes:")
    for name in ("memkill", "memmon"):
        process = supervisord.proxy.process(f"{name}:{name}")
        assert process is not None
        memory = psutil.Process(process.pid).memory_full_info()
        print(f"  {name:36} rss {format_size(memory.rss):>8}   uss {format_size(memory.uss):>8}")


def report_imports() -> None:
    programs = {
        "python alone": "pass",
        "supervisor-memkill, as a listener": (
            "import supervisor_memkill.cli, supervisor_memkill.commands.context,"
            " supervisor_memkill.listener.listener, supervisor_memkill.listener.serve"
        ),
        "the same with Redis": (
            "import supervisor_memkill.cli, supervisor_memkill.commands.context,"
            " supervisor_memkill.listener.listener, supervisor_memkill.listener.serve, redis"
        ),
        "memmon": "import superlance.memmon",
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(2 * ROUNDS):
        for name, program in programs.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            times[name].append(time.perf_counter() - began)
    print(f"start and import, median of {2 * ROUNDS}:")
    for name, taken in times.items():
        print(f"  {name:36} {statistics.median(taken) * 1000:9.1f} ms")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 500])
