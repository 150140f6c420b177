"""A deploy of three real Sidekiqs under two supervisords: restart --fleet --wait, under a steady feed."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

from supervisor_memkill.world.supervisord import Supervisord
from tests.harness import PATIENCE_SECONDS
from tests.real.redis_gate import RedisGate
from tests.real.sidekiq_fleet import (
    LISTENER,
    Fleet,
    Sidekiq,
    feeding,
    running_fleet,
    sampling,
)
from tests.real.test_fleet import share
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

Fleets = tuple[Fleet, Fleet]


@pytest.fixture
def gate(redis_server: RealRedis) -> Iterator[RedisGate]:
    """The listeners' way to the Redis through which they coordinate; the Sidekiqs have their own."""
    with RedisGate(redis_server) as gate:
        yield gate


@pytest.fixture
def fleets(redis_server: RealRedis, gate: RedisGate) -> Iterator[Fleets]:
    with (
        running_fleet(redis_server, Sidekiq("east"), Sidekiq("east2")) as east,
        running_fleet(redis_server, Sidekiq("west")) as west,
    ):
        for fleet in (east, west):
            share(fleet, gate.url)
            fleet.wait_until_in_service()
            fleet.listen()
        for fleet in (east, west):  # A request reaches only workers that are known to Redis.
            fleet.wait_for(lambda fleet=fleet: is_known(fleet))  # type: ignore[misc]
        yield east, west


def is_known(fleet: Fleet) -> bool:
    """Its listener has reported its workers."""
    return bool(fleet.client.hexists("memkill:{sidekiq}", f"l:{fleet.names[0]}/supervisor"))


@contextlib.contextmanager
def restart(fleet: Fleet) -> Iterator[subprocess.Popen[str]]:
    options = ["--fleet", "--wait", "--timeout", "150s", "--config", str(fleet.config)]
    command = [sys.executable, "-m", "supervisor_memkill", "restart", "sidekiq", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def pids(*fleets: Fleet) -> Mapping[str, int]:
    return {name: fleet.process(name).pid for fleet in fleets for name in fleet.names}


def replaced(fleets: Fleets, before: Mapping[str, int]) -> set[str]:
    after = pids(*fleets)
    return {name for name, pid in before.items() if after[name] != pid}


def drains_done(fleets: Fleets) -> int:
    return sum(len(fleet.events("drain.done")) for fleet in fleets)


def die_in_a_drain(fleets: Fleets, gate: RedisGate) -> None:
    east, _ = fleets
    east.wait_for_event("drain.stopping")
    east.supervisord.proxy.signal("memkill:memkill", "KILL")


def lose_redis_for_a_while(fleets: Fleets, gate: RedisGate) -> None:
    east, west = fleets
    east.wait_for(lambda: east.events("drain.quieting") or west.events("drain.quieting"))
    gate.refuse()
    for fleet in fleets:
        fleet.wait_for_event("coordination.away")
    gate.open()


def leave_alone(fleets: Fleets, gate: RedisGate) -> None:
    pass


@pytest.mark.parametrize("hinder", [leave_alone, die_in_a_drain, lose_redis_for_a_while])
def test_each_sidekiq_is_replaced_once_and_every_job_runs_once(
    fleets: Fleets, gate: RedisGate, hinder: Callable[[Fleets, RedisGate], None]
) -> None:
    east, west = fleets
    before = pids(*fleets)
    proxies = {fleet: Supervisord(fleet.supervisord.url, timeout_seconds=10) for fleet in fleets}

    def look() -> set[str]:
        return set().union(*(fleet.out_of_service(proxy) for fleet, proxy in proxies.items()))

    with feeding(east, 0.8, every_seconds=0.4), sampling(look) as samples, restart(west) as command:
        hinder(fleets, gate)
        out, errors = command.communicate(timeout=PATIENCE_SECONDS)
    assert command.returncode == 0, out + errors
    assert out.endswith("replaced: all 3\n")
    assert replaced(fleets, before) == set(before)
    east.wait_for(lambda: drains_done(fleets) == len(before))
    east.wait_until_finished()
    east.assert_each_job_once()
    assert {len(sample) for sample in samples} <= {0, 1}


def test_host_that_was_off_replaces_its_sidekiq_when_it_comes(fleets: Fleets) -> None:
    east, west = fleets
    before = pids(*fleets)
    west.supervisord.ctl("stop", LISTENER, check=True)
    with feeding(east, 0.8, every_seconds=0.4), restart(east) as command:
        east.wait_until_replaced({name: before[name] for name in east.names})
        assert command.poll() is None
        assert west.process("west").pid == before["west"]
        west.supervisord.ctl("start", LISTENER, check=True)
        out, errors = command.communicate(timeout=PATIENCE_SECONDS)
    assert command.returncode == 0, out + errors
    assert replaced(fleets, before) == set(before)
    east.wait_for(lambda: drains_done(fleets) == len(before))
    east.wait_until_finished()
    east.assert_each_job_once()


def test_broken_release_costs_one_sidekiq_and_the_rest_follows_its_mend(fleets: Fleets) -> None:
    """The new release ends at once; the others go on with the old one, and lose no job."""
    east, west = fleets
    before = pids(*fleets)
    broken = east.supervisord.directory / "broken"
    for fleet in fleets:
        for name in fleet.names:
            script = fleet.supervisord.directory / f"{name}.sh"
            script.write_text(f"if [ -e {broken} ]; then exit 1; fi\n{script.read_text()}")
    broken.touch()
    with feeding(east, 0.8, every_seconds=0.4):
        with restart(west) as command:
            out, errors = command.communicate(timeout=PATIENCE_SECONDS)
        assert command.returncode == 1, out + errors
        (lost,) = replaced(fleets, before)
        assert re.search(rf"not replaced: .*/{lost}:{lost}: failed \(", errors), errors
        broken.unlink()
        east.wait_for(lambda: replaced(fleets, before) == set(before))
        for fleet in fleets:
            fleet.wait_until_replaced({name: before[name] for name in fleet.names})
    east.wait_until_finished()
    east.assert_each_job_once()
