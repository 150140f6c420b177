"""Whose record is it, and does its source answer: real Sidekiqs, a real supervisord, a real Redis."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil
import pytest
import redis

from tests.harness import PATIENCE_SECONDS, free_port, short_directory, wait_for
from tests.real.repeating import repeating
from tests.real.sidekiq_fleet import Fleet, Sidekiq, bloated, running_fleet
from tests.real_redis import RealRedis
from tests.real_supervisord import RealSupervisord, program

pytestmark = pytest.mark.real
HOUR_SECONDS = 3600


class Stranger:
    """The record of a Sidekiq in another container, which has the host name and the pid of ours."""

    def __init__(self, fleet: Fleet, pid: int, database: int, **info: object) -> None:
        self.identity = f"{socket.gethostname()}:{pid}:0a1b2c3d4e5f"
        self._info = {"queues": ["default"], "started_at": time.time() - HOUR_SECONDS, **info}
        url = f"redis://127.0.0.1:{fleet.redis.port}/{database}"
        self._client = redis.Redis.from_url(url, socket_timeout=5)

    def beat(self) -> bool:
        """It is quiet and has no job: whoever believes it stops the process. Returns False."""
        record: dict[Any, Any] = {"info": json.dumps(self._info), "busy": 0, "quiet": "true"}
        record["beat"] = repr(time.time())
        self._client.sadd("processes", self.identity)
        self._client.hset(self.identity, mapping=record)
        return False


def test_a_strangers_record_of_the_same_host_and_pid_stops_no_worker(redis_server: RealRedis) -> None:
    """The pool's redis is not Sidekiq's own, and the record there began an hour before our process."""
    pool = {"redis": f"redis://127.0.0.1:{redis_server.port}/1"}
    with running_fleet(redis_server, bloated("fat"), Sidekiq("peer"), pool=pool) as fleet:
        before = fleet.wait_until_in_service()
        fleet.give_each(10)
        stranger = Stranger(fleet, before["fat"], database=1)
        # A record without a fresh beat counts for nothing: the stranger beats on while the listener starts.
        with repeating(stranger.beat, 1):
            fleet.listen()
            held = fleet.wait_for_event("worker.held", "same host name")
        assert stranger.identity in held and "before this process" in held
        fleet.wait_for(lambda: stranger.beat() or set(fleet.pushed) <= set(fleet.jobs.finished()))
        fleet.assert_each_job_once()
        assert (
            fleet.drains() == {} and not fleet.events("drain.quieting") and not fleet.events("drain.stopping")
        )
        assert fleet.process("fat").pid == before["fat"]


def test_a_sidekiq_that_another_name_hides_is_drained_once_the_name_is_set(redis_server: RealRedis) -> None:
    """DYNO in the worker's environment: its record stands under that name."""
    with running_fleet(redis_server, bloated("fat"), Sidekiq("peer")) as fleet:
        fleet.wait_until_in_service()
        fleet.config.with_name("fat.started").rmdir()  # the next process is bloated as well
        for name in fleet.names:
            script = fleet.config.with_name(f"{name}.sh")
            script.write_text(f"export DYNO=worker.{name}\n{script.read_text()}")
            fleet.supervisord.ctl("restart", f"{name}:{name}")
        before = {name: fleet.process(name).pid for name in fleet.names}
        fleet.wait_for(lambda: set(before.values()) <= set(fleet.beats()))
        fleet.listen()
        assert "set record_hosts = worker.fat" in fleet.wait_for_event("worker.held")
        fleet.config.write_text(fleet.config.read_text() + "record_hosts = worker.*\n")
        fleet.supervisord.ctl("restart", "memkill:memkill")
        assert fleet.wait_for_event("drain.done", "fat")


def test_a_sidekiq_that_outlives_its_shell_is_named_once_and_left_alone(redis_server: RealRedis) -> None:
    """supervisord stops the shell, and Sidekiq behind it goes on taking jobs."""
    with running_fleet(redis_server, Sidekiq("wrapped", wrapped=True), Sidekiq("peer")) as fleet:
        fleet.wait_until_in_service("peer")
        (orphan,) = fleet.wait_for(psutil.Process(fleet.process("wrapped").pid).children)
        fleet.wait_for(lambda: orphan.pid in fleet.beats())
        fleet.supervisord.ctl("restart", "wrapped:wrapped")
        try:
            fleet.listen()
            line = fleet.wait_for_event("worker.left_behind")
            assert f"pid={orphan.pid}" in line and "queues=default" in line and "killasgroup=true" in line
            report = dry_run(fleet)
            assert f"nobody supervises process {orphan.pid}" in report.stdout and report.returncode == 0
            assert len(fleet.events("worker.left_behind")) == 1
            assert orphan.is_running() and not fleet.beats()[orphan.pid].quiet
        finally:
            os.kill(orphan.pid, signal.SIGKILL)


def dry_run(fleet: Fleet) -> subprocess.CompletedProcess[str]:
    return _dry_run(str(fleet.config), fleet.supervisord.url)


def _dry_run(config: str, url: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "supervisor_memkill",
        "--config",
        config,
        "--dry-run",
        "--serverurl",
        url,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)


SOURCES: Mapping[str, Mapping[str, str]] = {
    "sidekiq": {"worker": "sidekiq", "redis": "{redis}"},
    "resque": {"worker": "resque", "redis": "{redis}"},
    "rq": {"worker": "rq", "redis": "{redis}"},
    "celery": {"worker": "celery", "broker": "{redis}"},
    "rabbit": {"worker": "celery", "broker": "amqp://127.0.0.1:{port}//"},
    "custom": {
        "worker": "custom",
        "redis": "{redis}",
        "quiet_signal": "USR1",
        "busy_key": "busy:%(pid)s",
    },
    "arq": {
        "worker": "arq",
        "redis": "{redis}",
        "command_has": "sleep",
        "job_completion_wait": "10s",
        "health_check_key": "arq:%(name)s",
    },
}


def test_a_source_of_readings_that_is_away_is_said_for_each_kind(redis_server: RealRedis) -> None:
    """While no worker is over its limit: in the log when it goes and when it comes back, and by a dry run."""
    with short_directory() as directory:
        values = {"redis": redis_server.url, "port": str(free_port())}
        lines = ["[memkill]", f"journal = {directory}/own/memkill.journal", "heartbeat = 1s"]
        for pool, settings in SOURCES.items():
            lines += [f"[memkill:{pool}]", f"programs = {pool}", "max_rss = 8GB"]
            lines += [
                f"{key} = {value.replace('{redis}', values['redis'])}" for key, value in settings.items()
            ]
        config = directory / "memkill.conf"
        config.write_text("\n".join(lines).replace("{port}", values["port"]) + "\n")
        sections = [program(pool, "sleep 1000") for pool in SOURCES]
        command = shlex.join([sys.executable, "-m", "supervisor_memkill", "--config", str(config)])
        log = "%(here)s/memkill.log"
        sections += [program("memkill", command, "eventlistener", events="TICK_5", stderr_logfile=log)]
        supervisord = RealSupervisord(directory, "\n".join(sections))

        def pools_in(event: str) -> set[str]:
            found = [line for line in supervisord.log("memkill.log").splitlines() if f" {event} " in line]
            assert len(found) == len(set(found)), "each is said once"
            return {pool for pool in SOURCES for line in found if f" pool={pool}" in line}

        redis_server.stop()
        try:
            supervisord.start()
            wait_for(lambda: pools_in("readings.away") == set(SOURCES), message=supervisord.output)
            report = _dry_run(str(config), supervisord.url)
            assert report.returncode == 1, report
            for pool in SOURCES:
                assert f"note: [memkill:{pool}] no worker is drained until this is solved: " in report.stdout
            redis_server.start()
            wait_for(
                lambda: pools_in("readings.back") == set(SOURCES) - {"rabbit"}, message=supervisord.output
            )
        finally:
            supervisord.stop(seconds=5)
