"""What the tests of the kinds share whose stop is their drain: commands of a framework's own, and judges."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

from tests.harness import PROGRAMS
from tests.real.frameworks import FrameworkFleet, running_fleet
from tests.real_redis import RealRedis


def worker(python: str, program: str, words: str) -> str:
    """The command of a worker: a program beside the interpreter, with its arguments."""
    return shlex.join([str(Path(python).parent / program), *words.split()])


def version(python: str, package: str) -> str:
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def fleet_of(redis_server: RealRedis, python: str, kind: str, command: str, **options: Any) -> Any:
    """Two workers of one kind, by the same command unless `commands` says otherwise."""
    feed = shlex.join([python, str(PROGRAMS / f"{kind}_app.py")])
    commands = options.pop("commands", dict.fromkeys(["one", "two"], command))
    return running_fleet(redis_server, kind=kind, commands=commands, feed=feed, **options)


def assert_refused_before_harm(fleet: FrameworkFleet, said: str, event: str = "worker.held") -> None:
    """Both workers are over their limit; both are held with these words, and nothing is done to them."""
    before = {name: fleet.process(name).pid for name in fleet.names}
    fleet.listen()
    fleet.wait_for(lambda: len(fleet.events(event, said)) == len(fleet.names))
    assert said in " ".join(fleet.dry_run().split())  # its lines are broken anywhere
    assert fleet.leavings() == []
    assert {name: fleet.process(name).pid for name in fleet.names} == before
