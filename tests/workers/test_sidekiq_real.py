"""Real Sidekiq processes with a real Redis; os.kill stands in for supervisord."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.testing.fakes import process
from supervisor_memkill.workers.contract import Note, Reading, Target, Tools
from supervisor_memkill.workers.sidekiq.kind import Sidekiq
from supervisor_memkill.world.memory import ProcessTable
from tests.harness import PATIENCE_SECONDS, Offspring, wait_for
from tests.real_redis import RealRedis
from tests.workers.sidekiq_app import SidekiqJobs, sidekiq_command

pytestmark = pytest.mark.real

BOOT_SECONDS = PATIENCE_SECONDS
"""The longest that Sidekiq may take to boot and beat for the first time."""


class Supervised:
    """One process as supervisord would run it, and the kind that reads it."""

    def __init__(self, popen: subprocess.Popen[bytes], started: int, server: RealRedis) -> None:
        self.popen = popen
        self.info: ProcessInfo = process(popen.pid, start=started)
        self.sent: list[str] = []
        self.kind = Sidekiq(
            {},
            Tools(
                redis=lambda: redis.Redis.from_url(server.url, decode_responses=True, socket_timeout=2),
                signal=self._signal,
                clock=time.monotonic,
                host=socket.gethostname(),
            ),
        )

    def _signal(self, worker: str, name: str) -> None:
        self.sent.append(name)
        os.kill(self.popen.pid, signal.Signals[f"SIG{name}"])

    def read(self, note: Note | None = None) -> Reading:
        return self.kind.read([Target(self.info, note)], ProcessTable())[self.info.worker]

    def wait_until_in_service(self) -> None:
        wait_for(
            lambda: self.read().in_service, BOOT_SECONDS, lambda: f"in service: {self.read()}", every=0.2
        )

    def quiet(self) -> Note:
        return self.kind.quiet(Target(self.info, {}), ProcessTable())

    def before_stop(self, note: Note) -> None:
        self.kind.before_stop(Target(self.info, note), ProcessTable())


Start = Callable[..., Supervised]


@pytest.fixture
def start(redis_server: RealRedis, tmp_path: Path) -> Iterator[Start]:
    """Starts a command; whatever came from it is gone after the test."""
    offspring = Offspring()
    started: list[subprocess.Popen[bytes]] = []

    def run(command: str, **environment: str) -> Supervised:
        began = int(time.time())
        with (tmp_path / "output").open("ab") as output:
            popen = subprocess.Popen(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=offspring.environment({"REDIS_URL": redis_server.url, **environment}),
            )
        started.append(popen)
        return Supervised(popen, began, redis_server)

    try:
        yield run
    finally:
        offspring.end()
        for popen in started:
            popen.wait()


@pytest.fixture
def jobs(redis_server: RealRedis) -> SidekiqJobs:
    return SidekiqJobs(redis_server.client())


def follow_until_idle(worker: Supervised, note: Note, jobs: SidekiqJobs) -> list[Reading]:
    """Every reading until the idle one; none may say idle while a job runs."""
    readings: list[Reading] = []

    def is_idle() -> bool:
        reading = worker.read(readings[-1].note if readings else note)
        readings.append(reading)
        assert not (reading.idle and jobs.running())
        return reading.idle

    wait_for(is_idle, PATIENCE_SECONDS, lambda: f"idle: {readings[-1:]}", every=0.2)
    return readings


def test_a_quieted_sidekiq_finishes_its_job_before_it_is_called_idle(start: Start, jobs: SidekiqJobs) -> None:
    worker = start(sidekiq_command())
    worker.wait_until_in_service()
    assert worker.read().queues == {"default"}

    first = jobs.push(9)
    wait_for(lambda: first in jobs.running())
    note = worker.quiet()
    assert worker.sent == ["TSTP"]
    readings = follow_until_idle(worker, note, jobs)

    assert jobs.finished() == {first: 1}
    assert any(reading.busy == 1 and reading.jobs == ("SleepJob",) for reading in readings)
    quiet_beats = {reading.note["quiet_beat"] for reading in readings if reading.quiet}
    assert len(quiet_beats) == 1, "the first quiet beat is kept"
    assert sum(reading.quiet is True for reading in readings) > 1

    late = jobs.push(0)
    worker.popen.terminate()
    assert worker.popen.wait(PATIENCE_SECONDS) == 0
    assert late not in jobs.started(), "a quiet Sidekiq takes nothing new"


def test_a_booting_sidekiq_is_not_recognised_and_gets_no_signal(start: Start) -> None:
    worker = start(sidekiq_command(), APP_BOOT_SECONDS="4")
    wait_for(lambda: "sidekiq" in ProcessTable().title(worker.popen.pid))
    reading = worker.read()
    assert reading.recognised is False and "booting" in reading.why
    with pytest.raises(MemkillError):
        worker.quiet()
    assert worker.sent == []
    worker.wait_until_in_service()


def test_behind_a_wrapper_sidekiq_is_read_quieted_and_ended(start: Start, jobs: SidekiqJobs) -> None:
    worker = start(f"sh -c {shlex.quote(sidekiq_command() + '; true')}")
    worker.wait_until_in_service()
    (sidekiq,) = psutil.Process(worker.popen.pid).children()
    assert "without exec" in worker.read().remark
    assert worker.kind.memory_in_children(worker.info, ProcessTable())

    first = jobs.push(3)
    wait_for(lambda: first in jobs.running())
    readings = follow_until_idle(worker, worker.quiet(), jobs)
    assert worker.sent == [], "the wrapper itself must get no TSTP"
    assert jobs.finished() == {first: 1}

    worker.before_stop(readings[-1].note)
    worker.popen.terminate()
    wait_for(lambda: _has_ended(sidekiq), PATIENCE_SECONDS, "the Sidekiq behind the wrapper ends")


def _has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_without_redis_everything_is_unknown_until_sidekiq_beats_again(
    start: Start, redis_server: RealRedis
) -> None:
    worker = start(sidekiq_command())
    worker.wait_until_in_service()
    redis_server.stop()
    reading = worker.read()
    assert (reading.recognised, reading.in_service, reading.busy) == (None, None, None)
    assert reading.why.startswith("Redis: ")
    with pytest.raises(MemkillError):
        worker.quiet()
    redis_server.start()
    assert not worker.read().in_service, "an empty Redis says nothing yet"
    worker.wait_until_in_service()


def test_a_frozen_sidekiq_is_unknown_once_its_beat_is_stale(start: Start) -> None:
    worker = start(sidekiq_command())
    worker.wait_until_in_service()
    worker.popen.send_signal(signal.SIGSTOP)
    reading = wait_for(lambda: _unless_recognised(worker.read({})), PATIENCE_SECONDS, "unknown", every=0.2)
    assert reading is not None and reading.recognised is None and "no beat" in reading.why
    assert not reading.frozen, "that was not us"
    worker.popen.send_signal(signal.SIGCONT)
    worker.wait_until_in_service()


def _unless_recognised(reading: Reading) -> Reading | None:
    return None if reading.recognised else reading


def test_a_process_that_is_no_sidekiq_is_not_recognised(start: Start) -> None:
    worker = start(f"{shlex.quote(sys.executable)} -c 'import time; time.sleep(60)'")
    assert worker.read().recognised is False
    with pytest.raises(MemkillError):
        worker.quiet()
    assert worker.sent == [] and worker.popen.poll() is None
