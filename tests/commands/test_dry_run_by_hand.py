"""The dry run by hand, at a real supervisord."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from supervisor_memkill.commands.dry_run_report import NO_LIMIT
from supervisor_memkill.rules.drain import State
from tests.command_line import run
from tests.real.conftest import StartPool, start_pool

__all__ = ["start_pool"]


def by_worker(output: str) -> Mapping[str, Any]:
    return {worker["worker"]: worker for worker in json.loads(output)["workers"]}


@pytest.mark.real
def test_by_hand_it_shows_all_and_touches_nothing(start_pool: StartPool) -> None:
    pool = start_pool("custom", listener=shlex.join([sys.executable, "-c", "import time; time.sleep(600)"]))
    bloated = pool.bloat("first")
    config = str(pool.directory / "memkill.conf")
    # settle, by supervisord's whole seconds
    pool.wait_for(lambda: all(pool.process(worker).uptime_seconds > 1 for worker in pool.workers))
    table = run(pool.directory, "--dry-run", "--config", config)
    assert table.returncode == 0, table
    heading, *rows, files = table.stdout.splitlines()
    assert heading.split() == ["POOL", "WORKER", "PID", "MEMORY", "LIMIT", "BUSY", "PEERS", "VERDICT"]
    assert [line.split()[1] for line in rows] == pool.workers
    assert files == f"configuration: {config}"
    (line,) = [line for line in rows if "would be drained now" in line]
    assert line.split()[:3] == ["job", bloated, str(pool.process(bloated).pid)]

    workers = by_worker(run(pool.directory, "--dry-run", "--config", config, "--json").stdout)
    assert set(workers) == set(pool.workers)
    assert workers[bloated]["would_drain"]
    assert workers[bloated]["memory_bytes"] > workers[bloated]["limit_bytes"] == 40 * 1024 * 1024
    assert workers[bloated]["peers_in_service"] == 1

    assert not pool.told()
    assert not pool.journal.parent.exists()
    assert pool.ups() == 2


@pytest.mark.real
def test_by_hand_without_any_limit_it_shows_every_workers_memory(start_pool: StartPool) -> None:
    pool = start_pool("custom")
    (pool.directory / "memkill.conf").unlink()
    table = run(pool.directory, "--dry-run")
    assert table.returncode == 0, table
    assert NO_LIMIT in table.stdout
    workers = by_worker(run(pool.directory, "--dry-run", "--json").stdout)
    assert set(workers) == set(pool.workers), "and no event listener"
    assert all(worker["memory_bytes"] > 0 for worker in workers.values())
    assert {worker["verdict"] for worker in workers.values()} == {"no limit is set"}


@pytest.mark.real
def test_by_hand_it_shows_the_drain_under_way(start_pool: StartPool) -> None:
    pool = start_pool("custom")
    pool.hold()
    worker = pool.give("first")
    assert pool.wait_for_drain(State.DRAINING) == worker
    workers = by_worker(
        run(pool.directory, "--dry-run", "--config", str(pool.directory / "memkill.conf"), "--json").stdout
    )
    assert workers[worker]["verdict"].startswith("its drain is under way (draining)")
    assert pool.wait_for_drain(State.DRAINING) == worker
