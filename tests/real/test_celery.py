"""Real Celery workers under a real supervisord, oldest and newest release: replaced while they work."""

from __future__ import annotations

import shlex
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.broker import control_of
from tests.harness import OLD_WORKERS_PYTHON, PROGRAMS, WORKERS_PYTHON, interpreter
from tests.real.frameworks import LISTENER, FrameworkFleet, moment, replace_each_twice, running_fleet
from tests.real.rabbitmq import running_rabbitmq
from tests.real.redis_gate import RedisGate
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
STEADY = {"job_seconds": 0.5, "feed_every_seconds": 0.25, "bloat_seconds": 0.5}
"""More than one worker of two processes has to do, and less than two."""
SPARSE = {"job_seconds": 0.4, "feed_every_seconds": 0.5}
"""A solo worker answers between two tasks only, so that none is in hand at its quiet."""


def celery(python: str, name: str, words: str = "-c 2") -> str:
    """The command of a worker that is called so."""
    program = str(Path(python).parent / "celery")
    # supervisord takes %% for %
    return shlex.join([program, "-A", "celery_app", "worker", "-n", f"{name}@%%h", *words.split()])


def version(python: str) -> str:
    words = [python, "-c", "import celery, kombu; print(celery.__version__, 'kombu', kombu.__version__)"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def fleet_of(redis_server: RealRedis, python: str, commands: dict[str, str], **options: Any) -> Any:
    feed = shlex.join([python, str(PROGRAMS / "celery_app.py")])
    return running_fleet(redis_server, kind="celery", commands=commands, feed=feed, **options)


def two(python: str, words: str = "-c 2") -> dict[str, str]:
    return {name: celery(python, name, words) for name in ("one", "two")}


@pytest.mark.parametrize(
    ("variable", "words", "feed"),
    [
        pytest.param(WORKERS_PYTHON, "-c 2", STEADY, id="newest prefork"),
        pytest.param(WORKERS_PYTHON, "-c 2 -P threads", STEADY, id="newest threads"),
        pytest.param(WORKERS_PYTHON, "-P solo", SPARSE, id="newest solo"),
        pytest.param(OLD_WORKERS_PYTHON, "-c 2", STEADY, id="oldest prefork"),
    ],
)
def test_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis,
    variable: str,
    words: str,
    feed: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = interpreter(variable)
    with fleet_of(redis_server, python, two(python, words), **feed) as fleet:
        if feed is SPARSE:
            with fleet.feeding():
                fleet.listen()
                fleet.wait_until_each_replaced(2)
            fleet.wait_until_all_finished()
            fleet.assert_each_job_once()
        else:
            replace_each_twice(fleet)
        # A late answer leaves its queue behind. While nothing drains, none is on its way.
        fleet.wait_for(lambda: not fleet.drains())
        # The listener ends after its last question, and nothing of the questions is left.
        fleet.supervisord.stop_by_hand(LISTENER)
        fleet.wait_for(lambda: not [key for key in fleet.client.scan_iter() if "reply" in key])
        with capsys.disabled():
            print("\n" + fleet.row(f"Celery {words}, Redis", version(python)))


def test_on_rabbitmq_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    python = interpreter(WORKERS_PYTHON)
    with running_rabbitmq() as rabbitmq:
        options: dict[str, Any] = {
            **STEADY,
            "pool": {"broker": rabbitmq.url},
            "environment": {"APP_BROKER_URL": rabbitmq.url},
        }
        with fleet_of(redis_server, python, two(python), **options) as fleet:
            replace_each_twice(fleet)
            assert "guest:guest" not in fleet.log(), "a password is never shown"
            with capsys.disabled():
                print("\n" + fleet.row("Celery -c 2, RabbitMQ", version(python)))


def test_tasks_with_an_eta_are_given_back_by_the_stop_and_run_once(
    redis_server: RealRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker is stopped with some, in a moment in which none comes due."""
    python = interpreter(WORKERS_PYTHON)
    options: dict[str, Any] = {
        "job_seconds": 0.1,
        "feed_every_seconds": 2,
        "bloat_seconds": 5,
        "environment": {"APP_COUNTDOWN": "20"},
    }
    with fleet_of(redis_server, python, two(python, "-c 2 -l INFO"), **options) as fleet:
        with fleet.feeding():
            fleet.listen()
            fleet.wait_until_each_replaced(1)
        fleet.wait_until_all_finished()
        fleet.assert_each_job_once()
        logs = "".join(fleet.supervisord.log(f"{name}.log") for name in fleet.names)
        assert "Restoring" in logs, fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row("Celery -c 2, Redis, countdown=20", version(python)))


# --- what is refused


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        ({"stopasgroup": "true", "killasgroup": "true"}, "remove stopasgroup=true"),
        ({"stopsignal": "QUIT"}, "stopsignal=QUIT must be INT or TERM"),
    ],
    ids=["stopasgroup", "stopsignal"],
)
def test_settings_that_would_cut_jobs_are_refused_before_harm(
    redis_server: RealRedis, worker: dict[str, object], said: str
) -> None:
    python = interpreter(WORKERS_PYTHON)
    with fleet_of(redis_server, python, two(python, "-c 1"), worker=worker, bloat_seconds=0.1) as fleet:
        assert_held(fleet, said)


def test_two_workers_with_one_name_are_refused_before_harm(redis_server: RealRedis) -> None:
    """What one of them is told, both do."""
    python = interpreter(WORKERS_PYTHON)
    commands = {name: celery(python, "same", "-c 1") for name in ("one", "two")}
    with fleet_of(redis_server, python, commands, bloat_seconds=0.1) as fleet:
        assert_held(fleet, "more than one worker has the name same@")


def test_behind_a_shell_nothing_is_stopped_and_exec_is_named(redis_server: RealRedis) -> None:
    python = interpreter(WORKERS_PYTHON)
    wrapped = f"sh -c '{celery(python, 'wrapped', '-c 1')}; true'"
    commands = {"wrapped": wrapped, "one": celery(python, "one", "-c 1")}
    with fleet_of(redis_server, python, commands, bloat_seconds=0.1) as fleet:
        before = fleet.process("wrapped").pid
        fleet.listen()
        fleet.wait_for(lambda: fleet.events("worker.held", "start Celery with exec"))
        assert "worker=wrapped:wrapped" in fleet.events("worker.held", "start Celery with exec")[0]
        assert fleet.process("wrapped").pid == before


def assert_held(fleet: FrameworkFleet, said: str) -> None:
    """Both are over their limit, and neither is touched."""
    before = {name: fleet.process(name).pid for name in fleet.names}
    fleet.listen()
    fleet.wait_for(lambda: len(fleet.events("worker.held", said)) == 2)
    assert said in fleet.dry_run()
    assert fleet.leavings() == []
    assert {name: fleet.process(name).pid for name in fleet.names} == before


# --- a drain that meets trouble


def in_service(fleet: FrameworkFleet, name: str) -> bool:
    """By the word of its node, asked from outside."""
    return bool(queues_of(fleet, name))


def queues_of(fleet: FrameworkFleet, name: str) -> list[Any]:
    node = f"{name}@{socket.gethostname()}"
    broker = control_of({"broker": (fleet.redis.url,)}, tools())
    answers = broker.ask(["active_queues"], [node], 20.0)["active_queues"]  # as soon as it answers
    return [queue for _, queues in answers for queue in queues]


def test_after_a_timeout_a_worker_is_put_back_in_service_and_takes_jobs(redis_server: RealRedis) -> None:
    python = interpreter(WORKERS_PYTHON)
    pool = {"drain_timeout": "3s", "on_timeout": "resume", "cooldown": "1h"}
    # A TICK may be 5 s away: the job in hand must outlast that and the timeout.
    options: dict[str, Any] = {"job_seconds": 16, "feed_every_seconds": 1, "bloat_seconds": 0.1}
    with fleet_of(redis_server, python, two(python, "-c 1"), pool=pool, **options) as fleet:
        pids = {name: fleet.process(name).pid for name in fleet.names}
        with fleet.feeding():
            fleet.wait_for(lambda: len(fleet.runs()) == 2)
            fleet.listen()
            fleet.wait_for(lambda: fleet.events("drain.let_go", "cause=resumed"))
            (left,) = fleet.leavings()[:1]
            name = left.worker.partition(":")[0]
            assert in_service(fleet, name)
            resumed = moment(fleet.events("drain.let_go", "cause=resumed")[0])
            fleet.wait_for(
                lambda: any(run.started > resumed and left.pid in run.process for run in fleet.runs())
            )
        assert fleet.process(name).pid == pids[name], "it was never stopped"
        assert fleet.twice() == []


@pytest.mark.parametrize("place", ["quieting.saved", "quieting.acted"])
def test_killed_round_the_quiet_the_next_listener_finishes_the_drain(
    redis_server: RealRedis, place: str
) -> None:
    """Sent or not, and whatever the journal heard of it."""
    python = interpreter(WORKERS_PYTHON)
    with fleet_of(redis_server, python, two(python), **STEADY) as fleet:
        died = dying_at(fleet, place)
        with fleet.feeding():
            fleet.listen()
            fleet.wait_for(died.exists)
            fleet.wait_for(lambda: fleet.events("drain.taken_up"))
            fleet.wait_until_each_replaced(1)
        fleet.wait_until_all_finished()
        fleet.assert_each_job_once()


def test_killed_round_the_quiet_the_next_listener_can_resume(redis_server: RealRedis) -> None:
    """What a resume needs was journalled before the quiet."""
    python = interpreter(WORKERS_PYTHON)
    pool = {"drain_timeout": "4s", "on_timeout": "resume", "cooldown": "1h"}
    options: dict[str, Any] = {"job_seconds": 25, "feed_every_seconds": 2, "bloat_seconds": 0.1}
    with fleet_of(redis_server, python, two(python, "-c 1"), pool=pool, **options) as fleet:
        died = dying_at(fleet, "quieting.acted")
        with fleet.feeding():
            fleet.wait_for(lambda: len(fleet.runs()) == 2)
            fleet.listen()
            fleet.wait_for(died.exists)
            fleet.wait_for(lambda: fleet.events("drain.let_go", "cause=resumed"))
            name = fleet.leavings()[0].worker.partition(":")[0]
            assert in_service(fleet, name)


def dying_at(fleet: FrameworkFleet, place: str) -> Path:
    """The listener kills itself there, once; the file that says that it did."""
    died = fleet.directory / "died"
    command = f"-m supervisor_memkill --config {fleet.config}"
    dying = f"{PROGRAMS / 'dying_listener.py'} --config {fleet.config}"
    text = fleet.supervisord.config.read_text()
    assert command in text
    settings = f'environment = MEMKILL_TEST_DIE_AT="{place}",MEMKILL_TEST_DIED="{died}"'
    changed = text.replace(command, dying).replace("autostart = false", f"autostart = false\n{settings}")
    fleet.supervisord.config.write_text(changed)
    fleet.supervisord.ctl("update", "memkill")
    return died


def test_without_the_broker_a_drain_holds_and_goes_on_when_it_is_back(redis_server: RealRedis) -> None:
    """No answer is never taken for no task in hand."""
    python = interpreter(WORKERS_PYTHON)
    with RedisGate(redis_server) as gate:
        options: dict[str, Any] = {**STEADY, "job_seconds": 3, "feed_every_seconds": 0.8}
        pool = {"broker": gate.url}
        with fleet_of(redis_server, python, two(python), pool=pool, **options) as fleet:
            with fleet.feeding():
                fleet.listen()
                fleet.wait_for(lambda: fleet.events("drain.draining"))
                gate.refuse()
                worker = fleet.leavings()[0].worker
                fleet.wait_for(lambda: fleet.events("drain.busy", "broker:"))
                refused = gate.refusals
                fleet.wait_for(lambda: gate.refusals > refused + 10)
                assert not fleet.events("drain.stopping") and fleet.drains()[worker].state is State.DRAINING
                gate.open()
                fleet.wait_until_each_replaced(1)
            fleet.wait_until_all_finished()
            fleet.assert_each_job_once()
