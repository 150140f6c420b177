"""A supervisord with many pools, as the listener sees it: their workers are all this process."""

from __future__ import annotations

import os
import time
from typing import Any

from tests.real.listener_process import START, AnsweringSupervisord


class SupervisordOfMany(AnsweringSupervisord):
    """So many groups with so many workers each; it counts what it is asked."""

    def __init__(self, groups: int, workers_each: int) -> None:
        self._names = [f"g{group}:w{number}" for group in range(groups) for number in range(workers_each)]
        super().__init__()

    def getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802 - the names are supervisord's
        self.checks += 1
        self._checked.set()
        now = int(time.time())
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


def sections(groups: int, worker: str = "plain", more: str = "") -> str:
    """One pool for each group; nothing is ever over the limit."""
    return "\n".join(
        f"[memkill:g{group}]\nprograms = g{group}\nworker = {worker}\nmax_rss = 1TB\n{more}"
        for group in range(groups)
    )
