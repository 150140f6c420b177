"""The supervisord with many processes, and the listeners that are measured on it, one after another."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.former_looks import YOUNG_SECONDS
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.world.supervisord import Supervisord
from tests.benchmark.warm import Warm
from tests.harness import wait_for
from tests.real_redis import RealRedis
from tests.real_supervisord import RealSupervisord

TICK_SECONDS, MINUTE_SECONDS = 5.0, 60.0
FASTER = MINUTE_SECONDS / TICK_SECONDS
"""TICK_5 stands for TICK_60: an idle minute passes in 5 s, heartbeats included."""
MANY = 300
"""So many processes keep memmon busy for more than the time between two TICKs: it gets a TICK a minute."""
HEARTBEAT_SECONDS, SLOT_TTL_SECONDS = 10.0, 60.0

ALONE, SHARED, TICKS_ALONE, MEMMON = "memkill", "memkill_redis", "memkill_ticks", "memmon"
LISTENERS = (ALONE, SHARED, TICKS_ALONE, MEMMON)
TITLES = {
    ALONE: "supervisor-memkill",
    SHARED: "supervisor-memkill with Redis",
    TICKS_ALONE: "supervisor-memkill, TICKs alone",
    MEMMON: "memmon",
}

_SLEEPERS = """
[program:{name}]
command = {sleep} 86400
process_name = %(program_name)s_%(process_num)d
numprocs = {count}
autostart = false
startsecs = 0
stopwaitsecs = 1
redirect_stderr = true
stdout_logfile = NONE
"""
_PROGRAMS = """
[program:gap]
command = {sleep} 86400
process_name = %(program_name)s_%(process_num)d
numprocs = {gaps}
startsecs = 1
[program:held]
command = {sleep} 86400
startsecs = 0
"""
_LISTENER = """
[eventlistener:{name}]
command = {command}
events = {events}
buffer_size = 1000
stderr_logfile = {here}/{name}.log
"""
_MEMKILL = """
[memkill]
journal = %(here)s/own/{name}.journal
{redis}
heartbeat = {heartbeat_ms}ms
slot_ttl = {slot_ttl_ms}ms
{pools}
[memkill:gap]
max_rss = 1TB
min_uptime = 0s
settle = {settle}s
min_available = 0
[memkill:held]
max_rss = 1TB
min_uptime = 0s
settle = 1h
min_available = 0
"""
GAPS, SETTLE_SECONDS = 6, 1.0


class Stage:
    """One supervisord; at most one listener at a time."""

    def __init__(self, here: Path, count: int, pools: int = 1, warm: Warm | None = None) -> None:
        """`count` idle processes, in so many pools of the same size. Nothing runs before `start`.

        `warm`: keeps supervisord and the listeners warm; None: nothing does.
        """
        self.here = here
        self._warm = warm
        self._count = count
        self._pools = [f"sleepers_{number}" for number in range(pools)]
        self._size = count // pools
        self.redis = RealRedis(here)
        sleep = shutil.which("sleep")
        self._programs = _PROGRAMS.format(sleep=sleep, gaps=GAPS) + "".join(
            _SLEEPERS.format(name=name, sleep=sleep, count=self._size) for name in self._pools
        )
        self._listeners: dict[str, str] = {}
        for name in (ALONE, SHARED, TICKS_ALONE):
            events = "TICK_5,REMOTE_COMMUNICATION" + ("" if name == TICKS_ALONE else ",PROCESS_STATE")
            config = here / f"{name}.conf"
            config.write_text(
                _MEMKILL.format(
                    name=name,
                    redis=f"redis = {self.redis.url}" if name == SHARED else "",
                    heartbeat_ms=round(1000 * HEARTBEAT_SECONDS / FASTER),
                    slot_ttl_ms=round(1000 * SLOT_TTL_SECONDS / FASTER),
                    settle=f"{SETTLE_SECONDS:g}",
                    pools="\n".join(f"[memkill:{name}]\nmax_rss = 1TB" for name in self._pools),
                )
            )
            command = f"{sys.executable} -m supervisor_memkill --config {config}"
            self._listeners[name] = _LISTENER.format(name=name, command=command, events=events, here=here)
        command = f"{sys.executable} -c 'from superlance.memmon import main; main()' -a 1024GB"
        self.memmon_seconds = TICK_SECONDS if count < MANY else MINUTE_SECONDS
        """From one TICK of memmon to the next."""
        tick = f"TICK_{self.memmon_seconds:g}"
        self._listeners[MEMMON] = _LISTENER.format(name=MEMMON, command=command, events=tick, here=here)
        self.supervisord = RealSupervisord(here, self._programs, minfds=2 * count + 1024)
        self.proxy = Supervisord(self.supervisord.url, timeout_seconds=120)
        """More patient: an answer about thousands of processes takes long on a busy machine."""

    def start(self) -> None:
        """Start Redis, supervisord and all processes, and wait for them."""
        self.redis.start()
        self.supervisord.start()
        # By itself, supervisord would start all of them before it answers: minutes with thousands.
        for name in self._pools:
            for number in range(self._size):
                self.proxy.start(f"{name}:{name}_{number}")
        expected = self._count + GAPS + 1
        wait_for(lambda: self._running() >= expected, seconds=300, message="all processes running")
        self._running_since = time.monotonic()

    def wait_until_settled(self) -> None:
        """Until the processes are no young ones any more, which each look examines anew."""
        time.sleep(max(0.0, self._running_since + YOUNG_SECONDS + TICK_SECONDS - time.monotonic()))

    def _running(self) -> int:
        processes = self.proxy.all_processes()
        return sum(process.state is ProcessState.RUNNING for process in processes)

    @contextmanager
    def listening(self, name: str) -> Iterator[int]:
        """Run this listener; its pid. supervisord would keep events for a listener that is only stopped."""
        worker = f"{name}:{name}"
        self._update(self._listeners[name])
        pid = self.supervisord.wait_for_state(worker, ProcessState.RUNNING).pid
        with self.kept_warm(pid):
            yield pid
        self._update("")

    def kept_warm(self, pid: int) -> AbstractContextManager[None]:
        return nullcontext() if self._warm is None else self._warm.kept(pid)

    def _update(self, listener: str) -> None:
        self.supervisord.write_config(self._programs + listener)
        self.supervisord.ctl("update")

    def has_looked(self, name: str) -> bool:
        """The listener has made its first look: its start is over."""
        if name == MEMMON:
            return "RSS of" in self.supervisord.log(f"{name}.log")
        try:
            pools = state_file.read(state_file.path_beside(self.here / "own" / f"{name}.journal")).pools
        except state_file.StateError:
            return False
        return {*self._pools, "gap", "held"} <= {pool.name for pool in pools}

    def stop(self) -> None:
        self.supervisord.stop()
        self.redis.stop()


def sleep_until_between_ticks(ticks: int, tick_seconds: float = TICK_SECONDS) -> None:
    """Until so many TICKs have come, and the next one is half a period away."""
    wall = time.time()
    middle = wall - wall % tick_seconds + tick_seconds / 2
    if middle < wall:
        middle += tick_seconds
        ticks -= 1
    time.sleep(max(0.0, middle + ticks * tick_seconds - wall))
