"""The pool and the worker of contrib/: what they are copied for is the moment in which others lose or repeat.

Each test makes that moment as long as it needs: a process that SIGSTOP holds has a job and does not begin it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from tests.harness import (
    OLD_WORKERS_PYTHON,
    PATIENCE_SECONDS,
    PROGRAMS,
    WORKERS_PYTHON,
    interpreter,
    wait_for,
)
from tests.programs.job_body import RECORD
from tests.real.test_rq import INTERMEDIATE, QUEUE, rq
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
NEWEST = pytest.mark.parametrize("variable", [WORKERS_PYTHON], ids=["newest"])
CONTRIB = [str(PROGRAMS.parents[1] / "contrib" / name) for name in ("celery", "rq")]
CELERY_TASK = "import celery_app; celery_app.work.apply_async(({!r}, 0.0))"
RQ_JOB = """
import os, redis, rq
queue = rq.Queue("default", connection=redis.Redis.from_url(os.environ["APP_REDIS_URL"]))
queue.enqueue("rq_app.work", "only", 0.0)
"""


class Jobs:
    """Sends jobs of one framework, and reads what they wrote down."""

    def __init__(self, server: RealRedis, python: str, directory: Path) -> None:
        self.server = server
        self.client = server.client()
        self.python = python
        self.directory = directory
        self.environment = {
            **os.environ,
            "APP_REDIS_URL": server.url,
            "APP_BLOAT_SECONDS": "86400",
            "APP_BLOAT_MEGABYTES": "1",
            "SUPERVISOR_PROCESS_NAME": "one",
            "PYTHONPATH": os.pathsep.join([str(PROGRAMS), *CONTRIB]),
        }

    @contextlib.contextmanager
    def worker(self, command: str, more: Mapping[str, str] | None = None) -> Iterator[psutil.Process]:
        """A worker, until the block ends; its children end with it."""
        with (self.directory / "worker.log").open("ab") as log:
            started = subprocess.Popen(
                shlex.split(command),
                cwd=self.directory,
                env={**self.environment, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        process = psutil.Process(started.pid)
        children: list[psutil.Process] = []
        try:
            yield process
            children = process.children(recursive=True) if started.poll() is None else []
        finally:
            for one in [*children, process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            started.wait(PATIENCE_SECONDS)

    def send(self, code: str) -> None:
        subprocess.run([self.python, "-c", code], env=self.environment, cwd=self.directory, check=True)

    def count(self, word: str) -> Counter[str]:
        facts = [json.loads(line) for line in self.client.lrange(RECORD, 0, -1)]
        return Counter(job for found, job, *_ in facts if found == word)

    def log(self) -> str:
        return (self.directory / "worker.log").read_text()

    def wait_for(self, condition: Callable[[], object]) -> None:
        wait_for(condition, PATIENCE_SECONDS, self.log, every=0.05)


@pytest.fixture
def jobs(request: pytest.FixtureRequest, redis_server: RealRedis, tmp_path: Path) -> Iterator[Jobs]:
    found = Jobs(redis_server, interpreter(request.getfixturevalue("variable")), tmp_path)
    yield found
    found.client.close()


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# --- Celery


def runs_of_a_task_that_begins_at_the_stop(jobs: Jobs, pool: str, more: Mapping[str, str]) -> int:
    """A process of the pool is held, gets a task, and goes on when the main process has begun to stop."""
    words = f"-A celery_app worker -c 1 -n one@%h --pool {pool} -l DEBUG --without-gossip --without-mingle"
    command = shlex.join([str(Path(jobs.python).parent / "celery"), *words.split()])
    more = {"CELERY_CUSTOM_WORKER_POOL": "memkill_pool:Prefork", **more}
    with jobs.worker(command, more) as worker:
        jobs.send(CELERY_TASK.format("first"))
        jobs.wait_for(lambda: jobs.count("finish")["first"] and not jobs.client.hlen("unacked"))
        (child,) = worker.children()
        child.suspend()
        jobs.send(CELERY_TASK.format("second"))
        jobs.wait_for(lambda: jobs.client.hlen("unacked") == 1)
        # Between two of these the main process writes the task to the process of its pool.
        calls = brpop_calls(jobs)
        jobs.wait_for(lambda: brpop_calls(jobs) > calls + 1)
        worker.send_signal(signal.SIGTERM)
        jobs.wait_for(lambda: "Worker: Stopping Pool" in jobs.log())
        child.resume()
        jobs.wait_for(lambda: has_ended(worker))
    with jobs.worker(command, more):
        jobs.send(CELERY_TASK.format("third"))
        jobs.wait_for(lambda: jobs.count("finish")["third"])
    assert jobs.count("start") == jobs.count("finish")
    return jobs.count("finish")["second"]


def brpop_calls(jobs: Jobs) -> int:
    return int(jobs.client.info("commandstats").get("cmdstat_brpop", {}).get("calls", 0))


@pytest.mark.parametrize(
    ("variable", "more"),
    [(WORKERS_PYTHON, {}), (WORKERS_PYTHON, {"APP_ACKS_LATE": "1"}), (OLD_WORKERS_PYTHON, {})],
    ids=["newest", "newest, late", "oldest"],
)
def test_task_that_begins_at_the_stop_runs_once_in_the_pool_for_it(
    jobs: Jobs, variable: str, more: dict[str, str]
) -> None:
    assert runs_of_a_task_that_begins_at_the_stop(jobs, "custom", more) == 1


@NEWEST
def test_task_that_begins_at_the_stop_runs_twice_in_a_pool_of_celerys_own(jobs: Jobs, variable: str) -> None:
    """As docs/frameworks/celery.rst says. Once Celery mends this, the docs must say so.

    Celery waits 30 s at such a stop.
    """
    assert runs_of_a_task_that_begins_at_the_stop(jobs, "prefork", {}) == 2


# --- RQ


def runs_of_a_job_that_is_taken_at_the_stop(jobs: Jobs, words: str) -> int:
    """The worker is held while it waits for a job, and told to stop when Redis has given it one."""
    jobs.send(RQ_JOB)
    jobs.client.rename(QUEUE, "kept")
    with jobs.worker(rq(jobs.python, words), {"APP_JOB_SECONDS": "0"}) as worker:
        jobs.wait_for(lambda: takes_a_job_while_held(jobs, worker))
        worker.send_signal(signal.SIGTERM)
        worker.resume()
        jobs.wait_for(lambda: has_ended(worker))
    assert jobs.count("start") == jobs.count("finish")
    return jobs.count("finish")["only"]


def is_waiting_for_jobs(jobs: Jobs) -> bool:
    return any(one["cmd"] == "blmove" and "b" in one["flags"] for one in jobs.client.client_list())


def takes_a_job_while_held(jobs: Jobs, worker: psutil.Process) -> bool:
    """It goes on, and keeps no job, if it was not waiting for one at that moment: it waits 5 s at a time."""
    if not is_waiting_for_jobs(jobs):
        return False
    worker.suspend()
    jobs.client.lmove("kept", QUEUE)
    if jobs.client.llen(INTERMEDIATE) == 1:
        return True
    jobs.client.lmove(QUEUE, "kept")
    worker.resume()
    return False


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        (WORKERS_PYTHON, "FinishingWorker"),
        (WORKERS_PYTHON, "FinishingSimpleWorker"),
        (OLD_WORKERS_PYTHON, "FinishingWorker"),
    ],
)
def test_job_that_is_taken_at_the_stop_runs_in_the_worker_for_it(
    jobs: Jobs, variable: str, name: str
) -> None:
    assert runs_of_a_job_that_is_taken_at_the_stop(jobs, f"worker -w memkill_worker.{name}") == 1


@NEWEST
def test_job_that_is_taken_at_the_stop_is_lost_in_a_worker_of_rqs_own(jobs: Jobs, variable: str) -> None:
    """As docs/frameworks/rq.rst says. Once RQ mends this, the docs must say so."""
    assert runs_of_a_job_that_is_taken_at_the_stop(jobs, "worker") == 0


@NEWEST
def test_idle_worker_stops_within_seconds(jobs: Jobs, variable: str) -> None:
    with jobs.worker(rq(jobs.python, "worker -w memkill_worker.FinishingWorker")) as worker:
        jobs.wait_for(lambda: is_waiting_for_jobs(jobs))
        worker.send_signal(signal.SIGTERM)
        jobs.wait_for(lambda: has_ended(worker))
