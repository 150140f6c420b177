"""Real RQ workers under a real supervisord, oldest and newest release: replaced while they work."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from supervisor_memkill.rules.drain import State
from tests.chaos.jobs import Evidence, JobsJudge, runs_of
from tests.harness import OLD_WORKERS_PYTHON, PROGRAMS, WORKERS_PYTHON, interpreter
from tests.programs.job_body import RECORD
from tests.real.frameworks import FrameworkFleet, moment, running_fleet
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
BOTH = pytest.mark.parametrize("variable", [WORKERS_PYTHON, OLD_WORKERS_PYTHON], ids=["newest", "oldest"])
QUEUE = "rq:queue:default"
INTERMEDIATE = f"{QUEUE}:intermediate"
"""Holds what a worker took off the queue and did not begin yet (rq/intermediate_queue.py)."""
FAILED = "rq:failed:default"
STEADY = {"job_seconds": 2.0, "feed_every_seconds": 1.0, "most_waiting": 6}
"""As many jobs as two workers can do."""
SATURATED = {"job_seconds": 2.0, "feed_every_seconds": 0.4, "most_waiting": 8}
"""More than four can: none is idle."""


def rq(python: str, words: str = "worker", settings: str = "rq_settings") -> str:
    """The command of a worker."""
    return shlex.join([str(Path(python).parent / "rq"), *words.split(), "-c", settings, "default"])


def version(python: str) -> str:
    words = [python, "-c", "import rq; print(rq.VERSION)"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def fleet_of(redis_server: RealRedis, python: str, commands: dict[str, str], **options: Any) -> Any:
    feed = shlex.join([python, str(PROGRAMS / "rq_app.py")])
    return running_fleet(redis_server, kind="rq", commands=commands, feed=feed, **options)


def dropped_by_rq(fleet: FrameworkFleet) -> set[str]:
    """Jobs that RQ's own stop dropped between the queue and their beginning (rq/rq issue 2236).

    A minute later a worker declares them failed.
    """
    stuck = fleet.client.lrange(INTERMEDIATE, 0, -1), fleet.client.zrange(FAILED, 0, -1)
    return {str(job) for jobs in stuck for job in jobs} - {run.job for run in fleet.runs()}


class Fact(NamedTuple):
    """What a job wrote down of itself."""

    word: str
    job: str
    at: float
    pid: int
    parent: int
    group: int


def job_facts(fleet: FrameworkFleet) -> list[Fact]:
    """All of them; a horse without its worker has another parent at its end than at its beginning."""
    return [Fact(*json.loads(line)) for line in fleet.client.lrange(RECORD, 0, -1)]


def last_jobs_of_pools(fleet: FrameworkFleet) -> list[str]:
    """Jobs that were in hand when a pool was told to stop, that were finished, and followed by no other.

    A pool is the parent of the worker that is the parent of the horse that runs the job.
    """
    facts = job_facts(fleet)
    finished = {fact.job: fact.at for fact in facts if fact.word == "finish"}
    starts = [fact for fact in facts if fact.word == "start"]
    return [
        one.job
        for left in fleet.leavings()
        for one in starts
        if one.at < left.at < finished.get(one.job, 0.0)
        and not any(other.parent == one.parent and other.at > left.at for other in starts)
    ]


def are_idle(fleet: FrameworkFleet) -> bool:
    keys = fleet.client.smembers("rq:workers")
    states = [fleet.client.hget(key, "state") for key in keys]
    return fleet.client.llen(QUEUE) == 0 and set(states) <= {"idle", None}


def assert_each_job_once(fleet: FrameworkFleet) -> None:
    """But for what RQ's own stops drop: at most one at each stop, and at few of them."""
    fleet.wait_for(lambda: set(fleet.lost()) <= dropped_by_rq(fleet) and are_idle(fleet))
    dropped = dropped_by_rq(fleet)
    assert set(fleet.lost()) == dropped, fleet.story()
    facts = [json.loads(line) for line in fleet.client.lrange(RECORD, 0, -1)]
    stops = [left.at for left in fleet.leavings()]
    evidence = Evidence(fleet.pushed(), runs_of(facts), taken=dropped, stops=stops)
    verdict = JobsJudge("rq", 1, evidence).verdict()
    assert (verdict.lost, verdict.twice, set(verdict.dropped)) == ((), (), dropped), fleet.story()
    assert not verdict.drops_too_many, fleet.story()


@pytest.mark.parametrize("words", ["worker", "worker -w rq.worker.SimpleWorker"], ids=["worker", "simple"])
@BOTH
def test_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, variable: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    python = interpreter(variable)
    commands = dict.fromkeys(["one", "two"], rq(python, words))
    with fleet_of(redis_server, python, commands, **STEADY) as fleet:
        with fleet.feeding():
            fleet.listen()
            fleet.wait_until_each_replaced_and_one_at_work()
        assert_each_job_once(fleet)
        with capsys.disabled():
            print("\n" + fleet.row(f"RQ {words}", version(python)))


@BOTH
def test_a_pool_of_workers_is_replaced_as_one(
    redis_server: RealRedis, variable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    python = interpreter(variable)
    commands = dict.fromkeys(["one", "two"], rq(python, "worker-pool -n 2"))
    with fleet_of(redis_server, python, commands, pool={"measure": "pss"}, **SATURATED) as fleet:
        with fleet.feeding():
            fleet.listen()
            fleet.wait_until_each_replaced(2)
        assert_each_job_once(fleet)
        assert last_jobs_of_pools(fleet), f"no job was in hand at any drain\n{fleet.story()}"
        with capsys.disabled():
            print("\n" + fleet.row("RQ worker-pool", version(python)))


def test_below_3_0_an_idle_pool_is_held_until_it_works(redis_server: RealRedis) -> None:
    """It would take a job off its queue while it stops, and drop it."""
    python = interpreter(OLD_WORKERS_PYTHON)
    commands = dict.fromkeys(["one", "two"], rq(python, "worker-pool -n 1"))
    with fleet_of(redis_server, python, commands, bloat_seconds=0.5, **SATURATED) as fleet:
        fleet.listen()
        fleet.wait_for(lambda: fleet.events("worker.held", "with its scheduler"))
        with fleet.feeding():
            fleet.wait_until_each_replaced(1)
        assert_each_job_once(fleet)


@BOTH
def test_a_work_horse_that_outlives_its_worker_is_waited_for(redis_server: RealRedis, variable: str) -> None:
    """supervisord's SIGKILL reaches the worker alone: its drain is not over while the horse holds memory."""
    python = interpreter(variable)
    commands = dict.fromkeys(["one", "two"], rq(python))
    short: dict[str, Any] = {
        "worker": {"stopwaitsecs": 2, "killasgroup": "true"},
        "pool": {"drain_timeout": "2s"},
    }
    with fleet_of(redis_server, python, commands, job_seconds=40, feed_every_seconds=0.5, **short) as fleet:
        with fleet.feeding():
            fleet.wait_for(lambda: len(fleet.runs()) == 2)
        fleet.listen()
        fleet.wait_for(lambda: fleet.events("drain.old_processes_live"))
        (left, *_) = fleet.leavings()
        facts = job_facts(fleet)
        (job,) = {fact.job for fact in facts if fact.word == "start" and left.pid == fact.parent}
        assert not [fact for fact in facts if (fact.word, fact.job) == ("finish", job)]
        assert fleet.drains()[left.worker].state is State.SETTLING
        fleet.wait_for(lambda: fleet.events("drain.killed", left.worker))
        begun, finished = (fact for fact in job_facts(fleet) if fact.job == job)
        assert (begun.word, finished.word) == ("start", "finish"), "its job was finished without its worker"
        assert moment(fleet.events("drain.killed", left.worker)[0]) >= finished.at


@pytest.mark.parametrize(
    ("words", "worker", "said"),
    [
        ("worker", {"stopwaitsecs": 10}, "stopwaitsecs=10 is below drain_timeout=1m00s"),
        ("worker", {"stopsignal": "QUIT"}, "stopsignal=QUIT must be INT or TERM"),
        ("worker -w rq.worker.HerokuWorker", {}, "HerokuWorker cuts the running job"),
    ],
    ids=["stopwaitsecs", "stopsignal", "heroku"],
)
def test_settings_that_would_cut_jobs_are_refused_before_harm(
    redis_server: RealRedis, words: str, worker: dict[str, object], said: str
) -> None:
    python = interpreter(WORKERS_PYTHON)
    commands = dict.fromkeys(["one", "two"], rq(python, words))
    with fleet_of(redis_server, python, commands, worker=worker, bloat_seconds=0.1) as fleet:
        before = {name: fleet.process(name).pid for name in fleet.names}
        fleet.listen()
        fleet.wait_for(lambda: len(fleet.events("worker.held", said)) == 2)
        assert said in fleet.dry_run()
        assert fleet.leavings() == []
        assert {name: fleet.process(name).pid for name in fleet.names} == before


def test_behind_a_shell_nothing_is_stopped_and_exec_is_named(redis_server: RealRedis) -> None:
    python = interpreter(WORKERS_PYTHON)
    wrapped = f"sh -c '{rq(python)}; true'"
    commands = {"wrapped": wrapped, "one": rq(python)}
    with fleet_of(redis_server, python, commands, bloat_seconds=0.1) as fleet:
        before = fleet.process("wrapped").pid
        fleet.listen()
        fleet.wait_for(lambda: fleet.events("worker.held", "start it with exec"))
        assert "worker=wrapped:wrapped" in fleet.events("worker.held", "start it with exec")[0]
        assert fleet.process("wrapped").pid == before
