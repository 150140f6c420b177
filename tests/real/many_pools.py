"""A listener with many pools, before a supervisord that the test plays: each worker's process is this one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.coordination.lossy_proxy import LossyProxy
from tests.harness import wait_for
from tests.real.listener_process import START, AnsweringSupervisord, ListenerProcess, listener_under
from tests.real_redis import RealRedis

HEARTBEAT_SECONDS = 1


@dataclass(frozen=True)
class Traffic:
    """What passed between the listener and Redis so far, when a look began."""

    at: float
    round_trips: int
    request_bytes: int
    reply_bytes: int
    unanswered: int

    def since(self, earlier: Traffic) -> Traffic:
        return Traffic(
            self.at - earlier.at,
            self.round_trips - earlier.round_trips,
            self.request_bytes - earlier.request_bytes,
            self.reply_bytes - earlier.reply_bytes,
            self.unanswered - earlier.unanswered,
        )


class SupervisordOfMany(AnsweringSupervisord):
    """So many groups with so many workers each. It sends no PROCESS_STATE: each look asks for all workers."""

    def __init__(self, proxy: LossyProxy, groups: int, workers_each: int) -> None:
        self._names = [f"g{group}:w{number}" for group in range(groups) for number in range(workers_each)]
        self._proxy = proxy
        self.looks: list[Traffic] = []
        super().__init__()

    def look_after_next(self, seconds: float = 60.0) -> Traffic:
        """The traffic of the next whole look."""
        first = len(self.looks)
        wait_for(lambda: len(self.looks) > first + 1, seconds=seconds, message="two more looks")
        return self.looks[first + 1].since(self.looks[first])

    def getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802 - the names are supervisord's
        proxy, now = self._proxy, int(time.time())
        self.looks.append(
            Traffic(
                time.monotonic(),
                proxy.round_trips,
                proxy.request_bytes,
                proxy.reply_bytes,
                proxy.unanswered,
            )
        )
        return [
            {"group": name.split(":")[0], "name": name.split(":")[1], "state": 20, "pid": os.getpid()}
            | {"start": START, "stop": 0, "now": now}
            for name in self._names
        ]

    def getAllConfigInfo(self) -> list[dict[str, Any]]:  # noqa: N802
        numbers = {"stopsignal": 15, "stopwaitsecs": 10, "startsecs": 1, "group_prio": 999}
        return [
            {"group": name.split(":")[0], "name": name.split(":")[1], "command": "job"}
            | {"killasgroup": False, **numbers}
            for name in self._names
        ]


def _sections(groups: int, worker: str) -> str:
    """One pool for each group; nothing is over its limit."""
    return "\n".join(
        f"[memkill:g{group}]\nprograms = g{group}\nworker = {worker}\nmax_rss = 1TB"
        for group in range(groups)
    )


@dataclass(frozen=True)
class Scene:
    """What one test needs."""

    supervisord: SupervisordOfMany
    proxy: LossyProxy
    listener: ListenerProcess


@contextlib.contextmanager
def many_pools(
    directory: Path, groups: int, workers_each: int = 4, *, worker: str = "plain", settings: str = ""
) -> Iterator[Scene]:
    """A listener that has looked at so many pools, with a Redis behind a proxy."""
    server = RealRedis(directory).start()
    try:
        with LossyProxy(server.port) as proxy:
            supervisord = SupervisordOfMany(proxy, groups, workers_each)
            main = f"redis = {proxy.url}\nheartbeat = {HEARTBEAT_SECONDS}s\nslot_ttl = 10s\n{settings}"
            try:
                with listener_under(supervisord, directory, main, _sections(groups, worker)) as listener:
                    wait_for(lambda: len(supervisord.looks) >= 3)
                    yield Scene(supervisord, proxy, listener)
            finally:
                supervisord.close()
    finally:
        server.stop()
