"""Sidekiq 7 and 8 on Valkey 8 and 9, as later suites of Debian have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import words_for_root
from tests.real.debian import version_of
from tests.real.sidekiq_fleet import Sidekiq, bloated, observing, replace_each_among_bursts, running_fleet
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


@pytest.fixture(params=["trixie", "sid"])
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def valkey(suite: str, short_path: Path) -> Iterator[RealRedis]:
    """A running, empty Valkey of this suite."""
    server = RealRedis(short_path, program=[*words_for_root(suite), "valkey-server"])
    try:
        yield server.start()
    finally:
        server.stop()


def test_jobs_that_come_at_the_moment_of_the_quiet_are_run_once(
    valkey: RealRedis, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The jobs outlast Sidekiq's own wait, so that each stop on a stale busy count would run one twice."""
    sidekiqs = [bloated(f"sidekiq_{n}", concurrency=2, timeout_seconds=1, suite=suite) for n in range(3)]
    with running_fleet(valkey, *sidekiqs, pool={"max_draining": 2}) as fleet:
        replace_each_among_bursts(fleet)
        with capsys.disabled():
            sidekiq, server = version_of("ruby-sidekiq", suite), version_of("valkey-server", suite)
            jobs = len(fleet.jobs.finished())
            print(f"\nSidekiq {sidekiq} on Valkey {server}: {jobs} jobs, each once")


@pytest.mark.parametrize("suite", ["sid"], indirect=True)
def test_with_capsules_alone_in_the_record_a_worker_waits_for_one_that_serves_all_its_queues(
    valkey: RealRedis, suite: str
) -> None:
    """As Sidekiq 9 is to write it. Two may drain at once, but the third one does not take `mailers`."""
    both = [bloated(f"both_{n}", suite=suite, capsules=True) for n in (1, 2)]
    other = Sidekiq("other", suite=suite)
    with running_fleet(valkey, *both, other, pool={"max_draining": 2}) as fleet:
        before = fleet.wait_until_in_service()
        del before["other"]
        jobs = [fleet.push(0.2, queue=queue) for queue in ("default", "mailers") for _ in range(4)]
        with observing(fleet) as samples:
            fleet.listen()
            fleet.wait_until_replaced(before)
        fleet.wait_until_finished(*jobs)
        fleet.assert_each_job_once()
        assert samples and not [out for out in samples if {"both_1", "both_2"} <= out]
        assert fleet.events("worker.held", "0 others are in service")
