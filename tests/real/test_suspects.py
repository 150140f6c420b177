"""Real workers leak, and the suspects are the classes of the jobs that do it."""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.commands.suspects_of import PoolSuspects, Unit, Verdict, suspects_of
from supervisor_memkill.listener import interval_file
from tests.harness import OLD_WORKERS_PYTHON, PROGRAMS, WORKERS_PYTHON, interpreter
from tests.real.frameworks import FrameworkFleet
from tests.real.frameworks import running_fleet as running_framework
from tests.real.repeating import repeating
from tests.real.sidekiq_fleet import Fleet, Sidekiq, running_fleet
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

BOTH = pytest.mark.parametrize("variable", [WORKERS_PYTHON, OLD_WORKERS_PYTHON], ids=["newest", "oldest"])
MB = 1024 * 1024
CLASSES = ("MailJob", "ReportJob", "ImportJob", "SyncJob", "ThumbnailJob")
LEAKS = {"one": ("ReportJob",), "two": ("ImportJob", "ThumbnailJob"), "none": ()}
"""By pool: the classes that leave 1 MB behind at each run."""
WORKERS = 3
RUN_SECONDS = 1.0
"""On average; so 1 MB per run is 60 MB per minute of running."""
MIX_SECONDS = 4
FOUND_SECONDS = 900
"""How long a busy machine may take for the runs that are needed; an idle one takes less than one minute."""


def workers() -> list[Sidekiq]:
    return [
        Sidekiq(
            f"{pool}_{number}",
            concurrency=5,
            queue=pool,
            environment={"APP_LEAKS": " ".join(leaking), "APP_BEAT_SECONDS": "0.5"},
        )
        for pool, leaking in LEAKS.items()
        for number in range(WORKERS)
    ]


class Feed:
    """Keeps each pool's queue filled, with a mix of jobs that changes."""

    def __init__(self, fleet: Fleet, run_seconds: float, mix_seconds: float) -> None:
        self._fleet = fleet
        self._run_seconds = run_seconds
        self._mix_turns = int(mix_seconds / 0.1)
        self._chance = random.Random(1)
        self._turn = 0
        self._weights: dict[str, list[float]] = {}

    def top_up(self) -> None:
        """Called every tenth of a second."""
        for pool in LEAKS:
            if self._turn % self._mix_turns == 0:
                self._weights[pool] = [self._chance.choice((0.2, 1.0, 4.0)) for _ in CLASSES]
            missing = 2 * WORKERS - int(self._fleet.client.llen(f"queue:{pool}"))
            for name in self._chance.choices(CLASSES, self._weights[pool], k=max(0, missing)):
                seconds = self._run_seconds * self._chance.uniform(0.5, 1.5)
                self._fleet.jobs.push(seconds, name, pool)
        self._turn += 1


@contextmanager
def leaking_fleet(redis_server: RealRedis, run_seconds: float, mix_seconds: float) -> Iterator[Fleet]:
    pools: dict[str, dict[str, object]] = {
        pool: {"programs": f"{pool}_*", "max_rss": "9GB"} for pool in LEAKS
    }
    main = {"redis": redis_server.url, "heartbeat": "500ms"}
    with running_fleet(redis_server, *workers(), pools=pools, main=main) as fleet:
        fleet.wait_until_in_service()
        with repeating(Feed(fleet, run_seconds, mix_seconds).top_up, 0.1):
            fleet.listen()
            yield fleet


def seen(fleet: Fleet) -> dict[str, PoolSuspects]:
    return {one.pool: one for one in suspects_of(interval_file.read(fleet.journal).intervals)}


def named(found: dict[str, PoolSuspects], pool: str) -> list[str]:
    return sorted(one.job_class for one in found[pool].suspects) if pool in found else []


def test_classes_that_leak_are_named_with_their_figures_and_none_where_none_leaks(
    redis_server: RealRedis,
) -> None:
    with leaking_fleet(redis_server, RUN_SECONDS, MIX_SECONDS) as fleet:

        def found() -> dict[str, PoolSuspects]:
            now = seen(fleet)
            is_whole = all(named(now, pool) == sorted(leaking) for pool, leaking in LEAKS.items())
            return now if is_whole and now["none"].intervals >= 20 else {}

        result = fleet.wait_for(found, FOUND_SECONDS)
        for pool in ("one", "two"):
            for suspect in result[pool].suspects:
                assert 30 * MB < suspect.bytes_per_unit < 120 * MB, result[pool]
        assert result["none"].verdict is not Verdict.FOUND
        by_command = command(fleet, "one")
    assert [one["job_class"] for one in by_command["pools"][0]["suspects"]][:1] == ["ReportJob"]


@BOTH
def test_tasks_of_celery_are_counted_by_name(redis_server: RealRedis, variable: str) -> None:
    python = interpreter(variable)
    words = [str(Path(python).parent / "celery"), *["-A", "celery_app", "worker", "-n", "one@%%h", "-c", "2"]]
    with observed(redis_server, python, "celery", shlex.join(words)) as fleet:

        def counted() -> int:
            runs = [one.runs or {} for one in interval_file.read(fleet.journal).intervals]
            return sum(one.get("work", 0) for one in runs)

        fleet.wait_for(lambda: counted() >= 3)
        assert counted() <= len(fleet.runs()), "a task that waits is none that runs"
        (pool,) = suspects_of(interval_file.read(fleet.journal).intervals)
    assert pool.unit is Unit.RUN and [one.job_class for one in pool.classes] == ["work"]


@BOTH
def test_jobs_of_rq_are_named_by_their_function(redis_server: RealRedis, variable: str) -> None:
    python = interpreter(variable)
    words = [str(Path(python).parent / "rq"), *["worker", "-c", "rq_settings", "default"]]
    with observed(redis_server, python, "rq", shlex.join(words)) as fleet:
        fleet.wait_for(lambda: fleet.events("worker.jobs", "jobs=rq_app.work"))


@contextmanager
def observed(redis_server: RealRedis, python: str, kind: str, command: str) -> Iterator[FrameworkFleet]:
    """One worker under a steady feed, and a listener that looks at it each second and logs what it sees."""
    with running_framework(
        redis_server,
        kind=kind,
        commands={"one": command},
        feed=shlex.join([python, str(PROGRAMS / f"{kind}_app.py")]),
        pool={"max_rss": "9GB"},
        main={"redis": redis_server.url, "log_level": "debug"},
        job_seconds=0.8,
        feed_every_seconds=0.5,
    ) as fleet:
        fleet.listen()
        with fleet.feeding():
            yield fleet


def command(fleet: Fleet, pool: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "supervisor_memkill", "--config", str(fleet.config), "suspects", pool),
            *("--json", "--serverurl", fleet.supervisord.url),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    read: dict[str, Any] = json.loads(done.stdout)
    return read
