"""restart, pause and unpause with --fleet: two or three supervisords that share one Redis."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import PATIENCE_SECONDS, short_directory
from tests.real.fleet import KEY, SLIM, Fleet, running_fleet
from tests.real.host import Host
from tests.real.redis_gate import RedisGate
from tests.real.test_fleet import most_drains_at_once
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

HOSTS = {"a": [SLIM, SLIM], "b": [SLIM]}


def words(host: Host, *arguments: str) -> list[str]:
    # No supervisord is asked: the address leads nowhere.
    options = ("--config", str(host.config), "--serverurl", f"unix://{host.directory}/nobody.sock")
    return [sys.executable, "-m", "supervisor_memkill", *arguments, "--fleet", *options]


def run(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(host, *arguments), capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )


@contextlib.contextmanager
def begin(host: Host, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        words(host, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        try:
            yield command
        finally:
            command.kill()


def end(command: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, errors = command.communicate(timeout=PATIENCE_SECONDS)
    return command.returncode, out, errors


def replaced(fleet: Fleet, before: dict[str, int]) -> list[str]:
    now = fleet.pids()
    return [worker for worker, pid in before.items() if now[worker] != pid]


def spawns(fleet: Fleet) -> int:
    return len(fleet.leaky.facts("up"))


def wait_until_open(fleet: Fleet) -> None:
    fleet.wait_for(lambda: fleet.client.hget(KEY, "requests"))


def open_requests(fleet: Fleet) -> list[list[Any]]:
    """Each with its id, when it was made, until when it is open, and its place."""
    entries: list[list[Any]] = json.loads(str(fleet.client.hget(KEY, "requests")))
    return entries


def assert_each_replaced_once(fleet: Fleet, before: dict[str, int]) -> None:
    assert replaced(fleet, before) == list(before), fleet.story()
    assert spawns(fleet) == 2 * len(before), "each was replaced once"
    assert fleet.most_out() == 1
    assert most_drains_at_once(fleet) == 1


# --- restart --------------------------------------------------------------------------------------------


def test_each_worker_of_all_hosts_is_replaced_once_and_one_at_a_time(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, HOSTS, "a", "b") as fleet:
        before = fleet.pids()
        with fleet.feeding(0.3, every_seconds=0.2):
            done = run(fleet["a"], "restart", "job", "--wait", "--timeout", "100s")
        assert done.returncode == 0, done.stdout + done.stderr + fleet.story()
        assert done.stdout.endswith("replaced: all 3\n")
        assert re.search(r"\n[ab]/supervisor/\w+:\w+: draining \(", done.stdout)
        assert_each_replaced_once(fleet, before)
        fleet.assert_each_job_once()
        second = fleet.pids("a")["a_1:a_1"]
        again = run(fleet["b"], "restart", "a_1:*")
        assert (again.returncode, again.stdout.splitlines()[-1]) == (
            0,
            "1 to be replaced, one after another",
        )
        fleet.wait_until_replaced({"a_1:a_1": second})
        assert spawns(fleet) == 2 * len(before) + 1


@pytest.mark.parametrize("state", ["asking", "quieting", "draining", "stopping", "starting", "settling"])
def test_restart_survives_the_death_of_a_listener_in_each_state(redis_server: RealRedis, state: str) -> None:
    """It stops itself as soon as the state is saved, and is killed there; another host's command watches."""
    main = {"slot_ttl": "300s"}  # Longer than the listener is away: its slot is nobody else's meanwhile.
    pause_at = {"a": f"{state}.saved"}
    with running_fleet(redis_server, HOSTS, "a", "b", pause_at=pause_at, main=main) as fleet:
        before = fleet.pids()
        with begin(fleet["b"], "restart", "job", "--wait", "--timeout", "100s") as watching:
            fleet.wait_for_pause("a")
            fleet["a"].kill_listener()
            status, out, errors = end(watching)
        assert status == 0, out + errors + fleet.story()
        assert_each_replaced_once(fleet, before)


def test_restart_goes_on_after_redis_was_away(redis_server: RealRedis) -> None:
    with (
        RedisGate(redis_server) as gate,
        running_fleet(redis_server, HOSTS, "a", "b", main={"redis": gate.url}) as fleet,
    ):
        before = fleet.pids()
        fleet.keep_busy()
        with begin(fleet["a"], "restart", "job", "--wait", "--timeout", "100s") as watching:
            fleet.wait_for(lambda: any(host.drains() for host in fleet.hosts.values()))
            gate.refuse()
            for name in HOSTS:
                fleet.wait_for_event(name, "coordination.away")
            fleet.release()
            gate.open()
            status, out, errors = end(watching)
        assert status == 0, out + errors + fleet.story()
        assert_each_replaced_once(fleet, before)
        fleet.assert_each_job_once()


def test_host_that_was_off_takes_the_request_when_it_comes(redis_server: RealRedis) -> None:
    """And one that is new since then has nothing to replace."""
    with running_fleet(redis_server, {**HOSTS, "c": [SLIM]}, "a", "b") as fleet:
        before = fleet.pids("a", "b")
        fleet.wait_for_heartbeats("b", 1)
        fleet["b"].stop_listener()
        with begin(fleet["a"], "restart", "job", "--wait", "--timeout", "100s") as watching:
            fleet.wait_until_replaced({worker: before[worker] for worker in fleet["a"].workers})
            assert watching.poll() is None
            fleet["b"].start_listener()
            fleet.start("c")
            status, out, errors = end(watching)
        assert status == 0, out + errors + fleet.story()
        assert "b/supervisor: waiting (its listener is silent, and takes the request when it comes)" in out
        fleet.wait_for_event("c", "request.taken")
        fleet.wait_for_heartbeats("c")
        assert replaced(fleet, {**before, **fleet.pids("c")}) == list(before)
        assert spawns(fleet) == 2 * len(before) + 1


def test_silent_host_is_named_when_the_time_is_over(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, HOSTS, "a", "b") as fleet:
        fleet.wait_for_heartbeats("b", 1)
        fleet["b"].die()
        before = fleet.pids("a")
        fleet.wait_for_heartbeats("a", 6)
        done = run(fleet["a"], "restart", "job", "--wait", "--timeout", "20s")
        assert done.returncode == 1
        assert done.stderr.startswith("supervisor-memkill: not all were replaced in time: b/supervisor: wait")
        assert "min_available" not in done.stderr
        assert all(fleet["a"].process(worker).pid != pid for worker, pid in before.items())


def test_broken_release_costs_one_worker_of_the_fleet_and_is_named(redis_server: RealRedis) -> None:
    """After the mend the rest is replaced, without a second request."""
    with running_fleet(redis_server, HOSTS, "a", "b") as fleet:
        broken = fleet.leaky.directory / "broken"
        for host in fleet.hosts.values():
            for script in host.directory.glob("*.sh"):
                script.write_text(f"if [ -e {broken} ]; then exit 1; fi\n{script.read_text()}")
        before = fleet.pids()
        broken.touch()
        done = run(fleet["b"], "restart", "job", "--wait", "--timeout", "100s")
        assert done.returncode == 1, done.stdout
        (out,) = replaced(fleet, before)
        assert re.search(rf"not replaced: .*/{out}: failed \(its start failed", done.stderr), done.stderr
        for name in HOSTS:
            fleet.wait_for_heartbeats(name)
        assert replaced(fleet, before) == [out]
        broken.unlink()
        fleet.wait_until_replaced(before)


def test_cancel_withdraws_what_has_not_begun_on_any_host(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, HOSTS, "a", "b") as fleet:
        before = fleet.pids()
        fleet.keep_busy()
        lasts = ("--timeout", "100s", "--expires", "9d")
        with begin(fleet["a"], "restart", "job", "--wait", *lasts) as watching:
            fleet.wait_for(lambda: any(host.drains() for host in fleet.hosts.values()))
            done = run(fleet["b"], "restart", "job", "--cancel")
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("withdrawn")
            ends = {place.split()[0]: till for _, _, till, place in open_requests(fleet)}
            assert ends["cancel"] > ends["restart"], "a host that comes in a week finds both"
            fleet.release()
            status, _, errors = end(watching)
        assert status == 1
        assert errors.count("withdrawn (") == 2
        for name in HOSTS:
            fleet.wait_for_heartbeats(name)
        assert len(replaced(fleet, before)) == 1


def test_request_that_redis_lost_is_named_by_the_command_that_waits(redis_server: RealRedis) -> None:
    """What was taken goes on, and a second request serves the rest."""
    with running_fleet(redis_server, HOSTS, "a", "b") as fleet:
        before = fleet.pids()
        fleet.wait_for_heartbeats("b", 1)
        fleet["b"].stop_listener()
        fleet.keep_busy()
        with begin(fleet["a"], "restart", "job", "--wait") as watching:
            fleet.wait_for(fleet["a"].drains)
            fleet.wait_for_heartbeats("a")
            fleet.client.flushall()
            status, _, errors = end(watching)
        assert status == 1
        assert "Redis lost the request to job. a/supervisor goes on with it" in errors
        fleet["b"].start_listener()
        fleet.release()
        fleet.wait_until_replaced({name: pid for name, pid in before.items() if name.startswith("a_")})
        assert replaced(fleet, before) == ["a_0:a_0", "a_1:a_1"]
        done = run(fleet["a"], "restart", "b_0", "--wait", "--timeout", "100s")
        assert done.returncode == 0, done.stderr + fleet.story()
        assert spawns(fleet) == 2 * len(before)


# --- pause ------------------------------------------------------------------------------------------------


def test_pause_during_a_drain_holds_all_hosts_also_one_that_comes_later(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, {**HOSTS, "c": [SLIM]}, "a", "b") as fleet:
        before = fleet.pids("a", "b")
        fleet.keep_busy()
        assert run(fleet["a"], "restart", "job").returncode == 0
        fleet.wait_for(lambda: any(host.drains() for host in fleet.hosts.values()))
        with begin(fleet["b"], "pause", "job", "--wait") as waiting:
            assert waiting.stdout is not None
            assert waiting.stdout.readline().startswith("paused on all hosts until unpause: job")
            fleet.start("c")
            assert waiting.poll() is None
            fleet.release()
            status, out, errors = end(waiting)
        assert (status, out) == (0, "no drain is under way\n"), errors
        done = run(fleet["a"], "restart", "c_*")
        assert "1 to be replaced" in done.stdout, done.stderr
        fleet.wait_for_event("c", "worker.held", "cause=paused")
        every = {**before, **fleet.pids("c")}
        assert len(replaced(fleet, before)) == 1
        assert run(fleet["c"], "unpause", "job").returncode == 0
        fleet.wait_until_replaced(every)
        assert spawns(fleet) == 2 * len(every)


# --- what is wrong ------------------------------------------------------------------------------------------


def test_wrong_request_is_one_line(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, {"a": [SLIM]}, "a") as fleet:
        fleet.wait_for_heartbeats("a", 1)
        host = fleet["a"]
        cases = [
            (["restart", "nobody"], 1, "no worker that is known has the name nobody; the pools are job"),
            (
                ["restart", "job", "nobody"],
                1,
                "no worker that is known has the name nobody; the pools are job",
            ),
            (["pause", "job", "a_0:*"], 1, "no pool has the name a_0:*; the pools are job"),
            (["pause", "a_0:*"], 1, "no pool has the name a_0:*; the pools are job"),
            (["restart", "x" * 300], 2, "is too long"),
            (["restart", "job", "--cancel", "--wait"], 2, "--cancel does not take --wait"),
        ]
        for arguments, status, text in cases:
            done = run(host, *arguments)
            assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
            assert text in done.stderr
        host.write_memkill({}, {})
        done = run(host, "restart", "job")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "--fleet needs redis in [memkill]" in done.stderr


def test_hostile_request_in_redis_changes_nothing_and_hides_no_other(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, HOSTS, "a", "b") as fleet:
        before = fleet.pids()
        hostile = {
            "r1": "{",
            "r2": json.dumps({"version": 1, "id": "r2", "act": "restart", "names": ["*"]}),
            "r3": json.dumps({"version": 7, "act": "restart", "names": ["*"]}),
            "r4": "x" * 100_000,
        }
        for identity, text in hostile.items():
            fleet.client.hset(KEY, f"q:{identity}", text)
        fleet.client.hset(KEY, "requests", json.dumps([[name, 1, 0, name] for name in hostile]))
        for name in HOSTS:
            fleet.wait_for(lambda name=name: len(fleet[name].events("request.refused")) == 4)  # type: ignore[misc]
            fleet.wait_for_heartbeats(name)
            assert len(fleet[name].events("request.refused")) == 4, "said once"
        assert replaced(fleet, before) == []
        done = run(fleet["a"], "restart", "b_0:b_0", "--wait", "--timeout", "100s")
        assert done.returncode == 0, done.stderr + fleet.story()
        assert replaced(fleet, before) == ["b_0:b_0"]


def test_command_needs_no_more_rights_than_the_pools_keys(tmp_path: Path) -> None:
    """It says in one line when Redis refuses it."""
    with short_directory() as directory:
        server = RealRedis(directory).start()
        try:
            with running_fleet(server, {"a": [SLIM]}, "a") as fleet:
                fleet.wait_for_heartbeats("a", 1)
                client: Any = fleet.client
                client.execute_command(
                    "ACL SETUSER narrow on >secret ~other:* +@all -@dangerous resetchannels"
                )
                url = f"redis://narrow:secret@127.0.0.1:{server.port}/0"
                fleet["a"].write_memkill({"redis": url}, {})
                done = run(fleet["a"], "restart", "job")
                assert done.returncode == 1
                assert "permission" in done.stderr.lower() and done.stderr.count("\n") == 1
                assert "secret" not in done.stderr
        finally:
            server.stop()
