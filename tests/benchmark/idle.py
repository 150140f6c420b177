"""The cost of an idle listener: of itself, of supervisord, and of Redis."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from supervisor_memkill.listener.known_processes import ALL_AGAIN_SECONDS, SHARE_OF_SUPERVISORD
from tests.benchmark.stage import (
    FASTER,
    LISTENERS,
    MEMMON,
    SHARED,
    TICK_SECONDS,
    Stage,
    sleep_until_between_ticks,
)
from tests.benchmark.usage import Usage, median_usage, private_bytes, usage
from tests.harness import wait_for

OUR_COMMANDS = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_fcall", "cmdstat_xadd")
"""What the listener itself sends; what its scripts call within Redis is not counted."""


@dataclass(frozen=True)
class Idle:
    """One listener at one number of processes, by the minute."""

    listener: str
    processes: int
    own_cpu_ms: float
    supervisord_ms: float
    """CPU of supervisord above its own idle: it does nothing else in that time."""
    wake_ups: int
    private_bytes: int
    redis_calls: float = 0.0
    redis_bytes: float = 0.0
    spread: tuple[float, ...] = field(default=())
    """Own CPU and supervisord's of each run, in ms."""

    @property
    def cpu_seconds_an_hour(self) -> float:
        return (self.own_cpu_ms + self.supervisord_ms) * 60 / 1000


def measure(stage: Stage, count: int, runs: int) -> list[Idle]:
    """All listeners, one after another, each `runs` times for a minute that takes 5 s."""
    resting = median_usage([run(stage.supervisord.pid)[0] for _ in range(runs)])
    question_ms = _question_ms(stage)
    return [_measure(stage, name, count, runs, resting, question_ms) for name in LISTENERS]


def _question_ms(stage: Stage) -> float:
    """What one question for all processes costs supervisord."""
    spent = []
    for _ in range(3):
        before = usage(stage.supervisord.pid)
        stage.proxy.all_processes()
        spent.append(usage(stage.supervisord.pid).since(before))
    return median_usage(spent).cpu_seconds * 1000


def _measure(stage: Stage, name: str, count: int, runs: int, resting: Usage, question_ms: float) -> Idle:
    with stage.listening(name) as pid:
        wait_for(lambda: stage.has_looked(name), seconds=300, message=f"{name} has looked")
        stage.wait_until_settled()
        seconds = stage.memmon_seconds if name == MEMMON else TICK_SECONDS
        if seconds > TICK_SECONDS:
            runs = 1  # A whole minute.
        sleep_until_between_ticks(2 if runs > 1 else 0, seconds)
        client = stage.redis.client()
        client.config_resetstat()
        parts = [run(stage.supervisord.pid, pid, seconds=seconds) for _ in range(runs)]
        received = client.info("stats")["total_net_input_bytes"]
        calls = sum(
            one["calls"] for command, one in client.info("commandstats").items() if command in OUR_COMMANDS
        )
        private = private_bytes(pid)
    own = median_usage([part[1] for part in parts])
    theirs = median_usage([part[0] for part in parts])
    above = max(0.0, theirs.cpu_seconds - resting.cpu_seconds * seconds / TICK_SECONDS) * 1000
    if name in LISTENERS[:2]:
        # Such a question is rarer than a whole run.
        every = max(ALL_AGAIN_SECONDS, question_ms / 1000 / SHARE_OF_SUPERVISORD)
        above += question_ms * 60 / min(every, 3600)
    return Idle(
        name,
        count,
        own.cpu_seconds * 1000,
        above,
        own.wake_ups,
        private,
        calls / runs if name == SHARED else 0.0,
        received / runs if name == SHARED else 0.0,
        tuple(round(part[index].cpu_seconds * 1000, 2) for part in parts for index in (1, 0)),
    )


def run(*pids: int, seconds: float = TICK_SECONDS) -> list[Usage]:
    """What each process used in this time."""
    before = [usage(pid) for pid in pids]
    time.sleep(seconds)
    return [usage(pid).since(then) for pid, then in zip(pids, before, strict=True)]


assert FASTER * TICK_SECONDS == 60
