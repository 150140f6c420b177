"""What the README says of memmon is what superlance's memmon does."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from xmlrpc.client import Fault

import pytest
from superlance.memmon import Memmon

MB = 1024**2
TICK = "ver:3.0 server:supervisor serial:1 pool:memmon poolserial:1 eventname:TICK_60 len:0\n"


class Supervisord:
    """The calls that memmon makes, in their order."""

    def __init__(self, workers: Sequence[str], *, starts: bool = True) -> None:
        self.supervisor = self
        self.calls: list[str] = []
        self._workers = workers
        self._starts = starts

    def getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802 - supervisord's name
        return [{"group": "jobs", "name": name, "pid": 1} for name in self._workers]

    def getProcessInfo(self, name: str) -> dict[str, Any]:  # noqa: N802
        return {"now": 100, "start": 0}

    def stopProcess(self, name: str) -> None:  # noqa: N802
        self.calls.append(f"stop {name}")

    def startProcess(self, name: str) -> None:  # noqa: N802
        self.calls.append(f"start {name}")
        if not self._starts:
            raise Fault(50, "SPAWN_ERROR")


def memmon(supervisord: Supervisord) -> Memmon:
    """One that finds every worker far over its limit."""
    found = Memmon(
        cumulative=False,
        programs={},
        groups={"jobs": MB},
        any=None,
        sendmail="",
        email=None,
        email_uptime_limit=0,
        name=None,
        rpc=supervisord,
    )
    found.stdin, found.stdout, found.stderr = io.StringIO(TICK), io.StringIO(), io.StringIO()
    found.pscommand = "echo 999999 # %s"
    return found


def test_it_restarts_every_worker_over_its_limit_in_one_check() -> None:
    """Whatever they do, and whether others are in service: it asks supervisord for nothing else."""
    supervisord = Supervisord(["a", "b", "c"])
    memmon(supervisord).runforever(test=True)
    assert supervisord.calls == [f"{verb} jobs:{name}" for name in "abc" for verb in ("stop", "start")]


def test_it_ends_when_a_start_fails() -> None:
    """The worker stays as it is, and the workers after it are not checked."""
    supervisord = Supervisord(["a", "b"], starts=False)
    with pytest.raises(Fault):
        memmon(supervisord).runforever(test=True)
    assert supervisord.calls == ["stop jobs:a", "start jobs:a"]


def test_it_restarts_a_worker_at_every_check_while_its_limit_is_too_low() -> None:
    supervisord = Supervisord(["a"])
    for _ in range(3):
        memmon(supervisord).runforever(test=True)
    assert supervisord.calls == ["stop jobs:a", "start jobs:a"] * 3
