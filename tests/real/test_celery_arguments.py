"""A real Celery worker answers which tasks it runs, whatever their arguments are."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.broker import connection_makers
from supervisor_memkill.workers.celery.control import Broker
from supervisor_memkill.workers.celery.nodes import QUESTIONS, state_of
from tests.harness import OLD_WORKERS_PYTHON, PROGRAMS, WORKERS_PYTHON, interpreter, wait_for
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
NODE = "one@here"


@pytest.mark.parametrize("variable", [WORKERS_PYTHON, OLD_WORKERS_PYTHON], ids=["newest", "oldest"])
def test_a_running_task_with_an_object_that_json_cannot_hold_is_named(
    redis_server: RealRedis, tmp_path: Path, variable: str
) -> None:
    """Otherwise nothing was known of such a worker while it worked, and it was never drained."""
    python = interpreter(variable)
    environment = {**os.environ, "APP_REDIS_URL": redis_server.url, "PYTHONPATH": str(PROGRAMS)}
    environment["C_FORCE_ROOT"] = "1"  # as root, Celery refuses to start a worker that takes pickles
    (connect,) = connection_makers({"broker": (redis_server.url,)}, tools())
    words = [python, "-m", "celery", "-A", "celery_objects_app", "worker", "-P", "threads", "-c", "1"]
    log = tmp_path / "worker.log"
    with (
        log.open("wb") as output,
        connect() as connection,
        contextlib.closing(redis_server.client()) as client,
        subprocess.Popen(
            [*words, "-n", NODE], env=environment, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT
        ) as worker,
    ):
        broker = Broker([lambda: connection])
        try:
            wait_for(lambda: broker.ask(["stats"], [NODE], 0.5)["stats"], message=log.read_text)
            sender = [python, str(PROGRAMS / "celery_objects_app.py")]
            subprocess.run(sender, env=environment, cwd=tmp_path, check=True)
            wait_for(lambda: client.exists("begun"), message=log.read_text)
            state = state_of(NODE, broker.ask(QUESTIONS, [NODE], 5.0))
            assert state.jobs == ("hold",) and state.runs == {"hold": 1}
        finally:
            worker.kill()
