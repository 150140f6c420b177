"""What a person sees of a real listener: the state that it writes, by the commands that read it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests import command_line
from tests.benchmark.redis_load import RULES, coordinator, reports
from tests.command_line import environment
from tests.harness import PATIENCE_SECONDS, PROGRAMS
from tests.real.conftest import StartPool
from tests.real.fleet import FAT, SLIM, running_fleet
from tests.real.pool import GATE, LISTENER, LeakyPool
from tests.real.test_requests import begin, run
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


def notes(pool: LeakyPool) -> str:
    """The notes of a dry run by hand, as one line."""
    done = run(pool, "--dry-run")
    assert done.returncode == 0, done.stderr
    return re.sub(r"\s+", " ", done.stdout)


def status(pool: LeakyPool, expected: int) -> Any:
    """What the command says as JSON, with this exit status."""
    done = run(pool, "status", "--json")
    assert done.returncode == expected, done
    return json.loads(done.stdout)


def test_dry_run_and_status_say_who_drives_a_drain_and_with_which_configuration(
    start_pool: StartPool, tmp_path: Path
) -> None:
    """First the listener lives, then its configuration is changed on disk, then it is stopped."""
    secret = tmp_path / "url"
    secret.write_text("redis://:old@127.0.0.1:1/0")
    secret.chmod(0o600)
    settings = {**GATE, "redis_file": secret}
    pool = start_pool(pool=settings)
    run(pool, "restart", pool.workers[0])
    pool.wait_for_drain(State.DRAINING)
    named = f"the listener {LISTENER} (pid {pool.listener_pid()})"
    shown = notes(pool)
    assert f"note: {named} drives the drain of {pool.workers[0]} (draining, for" in shown
    assert "older" not in shown
    pool.wait_for(lambda: status(pool, 0)["listener"]["tick_seconds_ago"] is not None)
    seen = status(pool, 0)
    assert (seen["listener"]["alive"], seen["listener"]["name"]) == (True, LISTENER)
    assert (seen["listener"]["tick_period_seconds"], seen["notes"]) == (5.0, [])
    assert seen["listener"]["configuration"]["in_force"] is True
    (line,) = seen["pools"]
    drained, other = line["workers"]
    drain = drained["drain"]
    assert (drain["state"], drain["reason"], drained["busy"]) == ("draining", "restart", 1)
    assert (other["drain"], other["in_service"], other["samples"][-1] > 0) == (None, True, True)
    (request,) = line["requests"]
    assert request["workers_left"] == [pool.workers[0]]

    secret.write_text("redis://:new@127.0.0.1:1/0")
    rewritten = f"redis_file {secret} was written anew"
    assert f"{named} works with an older one: {rewritten}" in notes(pool)

    pool.write_memkill("custom", {**settings, "strikes": 3}, {})
    changed = f"[memkill:job] was changed in {pool.directory}/memkill.conf"
    shown = notes(pool)
    assert f"{named} works with an older one: {changed}" in shown
    assert f"supervisorctl restart {LISTENER}" in shown
    assert status(pool, 0)["listener"]["configuration"]["changes"] == [changed, rewritten]

    pool.supervisord.ctl("stop", LISTENER)
    pool.supervisord.wait_for_state(LISTENER, ProcessState.STOPPED)
    shown = notes(pool)
    assert f"supervisord shows {LISTENER} as STOPPED), and nobody drives the drain of" in shown
    assert f"{pool.workers[0]} (draining, for" in shown
    assert "its drain is unfinished, and no listener works (draining)" in shown
    seen = status(pool, 1)
    assert (seen["listener"]["alive"], seen["listener"]["supervisord_state"]) == (False, "STOPPED")
    assert f"supervisorctl start {LISTENER}" in seen["problems"][0]
    assert seen["pools"][0]["workers"][0]["drain"]["state"] == "draining"
    pool.gate(0)
    pool.supervisord.ctl("start", LISTENER)
    pool.wait_for_event("drain.done")


def test_status_is_found_whoever_asks_and_names_the_owner_to_others(start_pool: StartPool) -> None:
    """By the supervisord alone: no --config, another spelling of its address, another environment."""
    pool = start_pool()
    pool.wait_for_event("listener.started")
    (pool.directory / "link").symlink_to(".")
    url = f"unix://{pool.directory}/link/s.sock"
    command = [sys.executable, "-m", "supervisor_memkill", "status", "--json", "--serverurl", url]

    def ask(words: list[str]) -> subprocess.CompletedProcess[str]:
        changes = {"XDG_RUNTIME_DIR": str(pool.directory)}
        return subprocess.run(
            words,
            cwd=pool.directory,
            env=environment(changes),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    pool.wait_for(lambda: ask(command).returncode == 0)
    assert json.loads(ask(command).stdout)["listener"]["alive"]

    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    pool.directory.chmod(0o755)
    (pool.directory / "s.sock").chmod(0o777)
    stranger = [sys.executable, str(PROGRAMS / "without_rights.py"), "status"]
    done = ask([*stranger, "--config", f"{pool.directory}/memkill.conf", "--serverurl", url])
    assert done.returncode == 1
    words = re.sub(r"\s+", " ", done.stdout)
    assert words.startswith("listener not seen")
    assert "belongs to the user root: run this command as root or as that user" in words


def test_watched_status_is_written_again_until_a_signal_comes(start_pool: StartPool) -> None:
    """Without a terminal: a screen below the other, with the time, and no escape sequence."""
    pool = start_pool()
    pool.wait_for_event("listener.started")
    pool.wait_for(lambda: run(pool, "status").returncode == 0)
    with begin(pool, "status", "--watch") as watching:
        assert watching.stdout is not None
        first_lines = 0
        text = ""
        while first_lines < 2:
            line = watching.stdout.readline()
            text += line
            first_lines += line.startswith("listener alive")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE_SECONDS) == 0
    assert "\x1b" not in text


def test_fleet_shows_all_hosts_with_the_dead_one_and_the_slot(redis_server: RealRedis) -> None:
    """Asked at a third place, which has the configuration and no supervisord."""
    slow = {"heartbeat": "2s", "slot_ttl": "20s"}  # On a busy machine a living listener is not silent.
    with running_fleet(redis_server, {"a": [FAT, SLIM], "b": [SLIM, SLIM]}, main=slow) as fleet:
        fleet.start("a")
        fleet.keep_busy()
        fleet.start("b")
        fleet.wait_for_drain("a", State.DRAINING)
        nowhere = f"unix://{fleet['a'].directory}/none.sock"
        words = ["status", "--fleet", "--config", str(fleet["a"].config), "--serverurl", nowhere]

        def ask(*more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "supervisor_memkill", *words, *more],
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )

        def hosts() -> dict[str, Any]:
            (pool,) = json.loads(ask("--json").stdout)["fleet"]
            return {host["listener"]: host for host in pool["hosts"]}

        fleet.wait_for(lambda: len(hosts()) == 2)
        (pool,) = json.loads(ask("--json").stdout)["fleet"]
        (slot,) = pool["slots"]
        assert slot["worker"] == "a/supervisor/a_0:a_0"
        assert 0 < slot["left_seconds"] <= 20
        assert [(name, host["workers"]) for name, host in hosts().items()] == [
            ("a/supervisor", 2),
            ("b/supervisor", 2),
        ]
        fleet.wait_for(lambda: hosts()["b/supervisor"]["in_service"] == 2)
        assert hosts()["a/supervisor"]["in_service"] == 1

        fleet["b"].supervisord.stop(seconds=5)
        fleet.wait_for(lambda: hosts()["b/supervisor"]["silent"])
        assert hosts()["b/supervisor"]["in_service"] == 0
        done = ask()
        assert done.returncode == 1
        assert "silent listeners: b/supervisor for " in re.sub(r"\s+", " ", done.stdout)
        assert re.search(r"^  b/supervisor +SILENT ", done.stdout, re.MULTILINE)
        fleet.release()


def test_view_of_a_large_fleet_is_one_call_that_changes_nothing(
    redis_server: RealRedis, tmp_path: Path
) -> None:
    """Of one pool. The other commands are those that begin a connection."""
    config = tmp_path / "memkill.conf"
    main = f"[memkill]\nredis = {redis_server.url}\nkey_prefix = t\n"
    config.write_text(f"{main}[memkill:pool]\nmax_rss = 1GB\n")
    words = ["status", "--fleet", "--config", str(config), "--serverurl", f"unix://{tmp_path}/none.sock"]
    with redis_server.client() as client:
        for number in range(50):
            coordinator(client, number).publish("pool", RULES, reports(number), [])
        kept = client.dump("t:{pool}")
        assert " of 1000 in service, 50 listeners" in command_line.run(tmp_path, *words).stdout
        client.config_resetstat()  # Now Redis has the script.
        command_line.run(tmp_path, *words)
        calls = {name: values["calls"] for name, values in client.info("commandstats").items()}
        assert client.dump("t:{pool}") == kept
    beginning = {"cmdstat_client|setname", "cmdstat_ping", "cmdstat_info", "cmdstat_script|load"}
    own = {name: count for name, count in calls.items() if name not in beginning}
    own.pop("cmdstat_config|resetstat")
    in_script = {"cmdstat_hgetall": 1, "cmdstat_time": 1}
    assert own == {"cmdstat_evalsha": 1, **in_script}


def test_changed_configuration_that_no_listener_would_start_with_is_a_problem(start_pool: StartPool) -> None:
    """The listener works on; after the next restart of the machine none would."""
    pool = start_pool()
    pool.wait_for_event("listener.started")
    pool.wait_for(lambda: run(pool, "status").returncode == 0)
    pool.write_memkill("custom", {"max_rss": "lots"}, {})
    (problem,) = status(pool, 1)["problems"]
    assert "no listener would start with the configuration on disk" in problem and "max_rss" in problem
