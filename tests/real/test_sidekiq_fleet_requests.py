"""A deploy of three real Sidekiqs under two supervisords: restart --fleet --wait, under a steady feed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from supervisor_memkill.world.supervisord import Supervisord
from tests.harness import RealRedis
from tests.real.sidekiq_fleet import PATIENCE_SECONDS, Fleet, Sidekiq, feeding, running_fleet, sampling
from tests.real.test_fleet import share

pytestmark = pytest.mark.real

Fleets = tuple[Fleet, Fleet]


@pytest.fixture
def fleets(redis_server: RealRedis) -> Iterator[Fleets]:
    with (
        running_fleet(redis_server, Sidekiq("east"), Sidekiq("east2")) as east,
        running_fleet(redis_server, Sidekiq("west")) as west,
    ):
        for fleet in (east, west):
            share(fleet, redis_server)
            fleet.wait_until_in_service()
            fleet.listen()
        yield east, west


def restart(fleet: Fleet) -> subprocess.Popen[str]:
    options = ["--fleet", "--wait", "--timeout", "150s", "--config", str(fleet.config)]
    command = [sys.executable, "-m", "supervisor_memkill", "restart", "sidekiq", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pids(fleets: Fleets) -> Mapping[str, int]:
    return {name: fleet.process(name).pid for fleet in fleets for name in fleet.names}


@pytest.mark.parametrize("hindered", [False, True])
def test_each_sidekiq_is_replaced_once_and_every_job_runs_once(fleets: Fleets, hindered: bool) -> None:
    """Hindered: a listener is killed in between."""
    east, west = fleets
    before = pids(fleets)
    proxies = {fleet: Supervisord(fleet.supervisord.url, timeout_seconds=10) for fleet in fleets}

    def look() -> set[str]:
        return set().union(*(fleet.out_of_service(proxy) for fleet, proxy in proxies.items()))

    with feeding(east, 0.8, every_seconds=0.4), sampling(look) as samples, restart(west) as command:
        if hindered:
            east.wait_for_event("drain.stopping")
            east.supervisord.proxy.signal("memkill:memkill", "KILL")
        out, errors = command.communicate(timeout=PATIENCE_SECONDS)
    assert command.returncode == 0, out + errors
    assert out.endswith("replaced: all 3\n")
    after = pids(fleets)
    assert all(after[name] != pid for name, pid in before.items())
    assert sum(len(fleet.events("drain.done")) for fleet in fleets) == len(before), "each was replaced once"
    east.wait_until_finished()
    east.assert_each_job_once()
    assert {len(sample) for sample in samples} <= {0, 1}
