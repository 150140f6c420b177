"""The doctor with a real supervisord and a real Redis: faults are planted, and found by their names."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from supervisor_memkill.commands.doctor.facts import RedisFacts
from supervisor_memkill.commands.doctor.probe import commands, probe
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.world.redis_client import connect
from tests import command_line
from tests.conftest import StartSupervisord
from tests.coordination.refusals import NEEDED
from tests.harness import wait_for
from tests.real_redis import RealRedis
from tests.real_supervisord import RealSupervisord, program
from tests.redis_servers import cluster, make_certificates

pytestmark = pytest.mark.real

POOL = "[memkill:job]\nmax_rss = 2GB\n"
JOBS = program("job", "sleep 1000", numprocs=2, process_name="job_%(process_num)d", stopwaitsecs=15)
SHIPPED = "TICK_60,REMOTE_COMMUNICATION,PROCESS_STATE"
SETTINGS: Mapping[str, object] = {
    "events": SHIPPED,
    "stderr_logfile": "%(here)s/memkill.log",
    "stdout_logfile": "NONE",
    "autorestart": "unexpected",
    "startretries": 0,
}


def listener(path: Path, name: str = "memkill", command: str = "", **settings: Any) -> str:
    command = command or f"{sys.executable} -m supervisor_memkill --config {path}"
    return program(name, command, "eventlistener", **{**SETTINGS, **settings})


def begin(
    start_supervisord: StartSupervisord, ours: str = POOL, more: str = "", **settings: Any
) -> RealSupervisord:
    """A supervisord with a pool of two workers, and with a listener that reads these sections of ours.

    `settings` are those of the listener's section.
    """
    supervisord = start_supervisord(JOBS)
    path = supervisord.directory / "memkill.conf"
    path.write_text(ours)
    supervisord.write_config(JOBS + more + listener(path, **settings))
    supervisord.ctl("update")
    for number in range(2):
        supervisord.wait_for_state(f"job:job_{number}", ProcessState.RUNNING)
    return supervisord


def wait_for_log(supervisord: RealSupervisord, words: str) -> None:
    wait_for(
        lambda: words in supervisord.log("memkill.log"),
        message=lambda: f"{words}:\n{supervisord.log('memkill.log')}\n{supervisord.log()}",
    )


def examined(supervisord: RealSupervisord, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = [] if "--serverurl" in arguments else ["--serverurl", supervisord.url]
    return command_line.run(supervisord.directory, "doctor", *given, *arguments)


def found(supervisord: RealSupervisord, *arguments: str) -> dict[str, dict[str, str]]:
    """The findings by name; the status must fit them."""
    done = examined(supervisord, "--json", *arguments)
    assert done.stderr == "", done.stderr
    answer: Any = json.loads(done.stdout)
    assert done.returncode == (0 if answer["well"] else 1)
    return {one["name"]: one for one in answer["findings"]}


def test_shipped_setup_is_one_line_and_nothing_is_changed(start_any_supervisord: StartSupervisord) -> None:
    supervisord = begin(start_any_supervisord)
    wait_for_log(supervisord, "listener.started")
    wait_for(lambda: all(one.state is ProcessState.RUNNING for one in supervisord.proxy.all_processes()))
    before = supervisord.proxy.all_processes()
    state = wait_for(lambda: list(supervisord.directory.glob("**/*")))
    done = examined(supervisord)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all is well: 1 pool with 2 workers\n", "")
    after = supervisord.proxy.all_processes()
    assert [(one.worker, one.pid, one.state) for one in before] == [
        (one.worker, one.pid, one.state) for one in after
    ]
    assert sorted(state) == sorted(supervisord.directory.glob("**/*"))


def line_of(supervisord: RealSupervisord, section: str) -> int:
    return supervisord.config.read_text().splitlines().index(section) + 1


def test_faults_of_every_sort_are_found_at_once(
    start_supervisord: StartSupervisord, redis_server: RealRedis
) -> None:
    ours = (
        f"[memkill]\nredis = {redis_server.url}\nlog_level = loud\nhook = /opt/none --all\n"
        f"[memkill:job]\nmax_rss = 900TB\nworker = sidekiq\nredis = {redis_server.url}\nstrike = 3\n"
        f"[memkill:php]\nmax_rss = 2GB\nworker = laravel\nmin_available = 3\n"
        "[memkill:web]\nmax_rss = 1GB\nprograms = jobs\n"
        f"[memkill:side]\nprograms = job\nmax_rss = 900TB\nworker = sidekiq\nredis = {redis_server.url}\n"
    )
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    with redis.Redis(port=redis_server.port, db=1) as client:
        client.sadd("processes", *(f"web-3:{number}:0123456789ab" for number in range(1, 13)))
    more = program(
        "php", "/nonexistent/php artisan queue:work", autorestart="false", startretries=0, startsecs=100
    )
    more += program(
        "memmon", f"{sys.executable} -m superlance.memmon -a 900GB", "eventlistener", events="TICK_60"
    )
    more += program(
        "killer",
        f"{sys.executable} -m supervisor_memkill",
        autorestart="false",
        startretries=0,
        startsecs=100,
    )
    supervisord = begin(start_supervisord, ours, more, events="TICK_3600", startsecs=100)
    supervisord.wait_for_state("memkill:memkill", ProcessState.FATAL)
    supervisord.wait_for_state("php:php", ProcessState.FATAL)
    supervisord.wait_for_state("killer:killer", ProcessState.FATAL)
    names = found(supervisord)
    assert set(names) == {
        "configuration-wrong",
        "hook-missing",
        "listener-down",
        "listener-is-a-program",
        "listener-with-rare-ticks",
        "listener-without-process-events",
        "listener-without-requests",
        "limit-above-memory",
        "limits-above-memory",
        "own-limit-comes-first",
        "pool-booting",
        "pool-matches-nothing",
        "pool-never-drains",
        "redis-evicts",
        "rival-by-memory",
        "settings-cut-jobs",
        "settings-hint",
        "settings-lose-jobs",
        "worker-down",
    }
    text = examined(supervisord).stdout
    assert text.count("error configuration-wrong") == 2
    assert "unknown key, did you mean strikes?" in text and "log_level = 'loud'" in text
    assert "did you mean strikes?" in names["listener-down"]["what"], "the last line of its log"
    assert names["worker-down"]["place"] == f"{supervisord.config}:{line_of(supervisord, '[program:php]')}"
    assert names["hook-missing"]["what"] == "/opt/none does not exist"
    assert "12 Sidekiq records are in database 1" in names["pool-booting"]["what"]


def test_listener_in_the_unknown_state_is_found(start_supervisord: StartSupervisord) -> None:
    """supervisord shows it as RUNNING: only its own log says what happened."""
    supervisord = start_supervisord(JOBS)
    path = supervisord.directory / "memkill.conf"
    path.write_text(POOL)
    greeting = f"sh -c 'echo hello; sleep 1; exec {sys.executable} -m supervisor_memkill --config {path}'"
    supervisord.write_config(JOBS + listener(path, command=greeting))
    supervisord.ctl("update")
    wait_for(lambda: "UNKNOWN state" in supervisord.log(), message=supervisord.log)
    wait_for_log(supervisord, "listener.started")
    assert supervisord.process("memkill:memkill").state is ProcessState.RUNNING
    assert set(found(supervisord)) == {"listener-in-unknown-state"}
    supervisord.write_config(JOBS + listener(path))
    supervisord.ctl("update")
    wait_for(lambda: supervisord.log("memkill.log").count("listener.started") == 2)
    assert found(supervisord) == {}, "a new process is another one"


def test_listener_that_ends_at_each_start_is_found(start_supervisord: StartSupervisord) -> None:
    """supervisord shows it as RUNNING for most of the time: it ends later than startsecs."""
    supervisord = begin(start_supervisord, "[memkill:job]\nmax_rss = lots\n", startsecs=0)
    looks: list[dict[str, dict[str, str]]] = []

    def is_found() -> bool:
        looks.append(found(supervisord))
        return "listener-does-not-start" in looks[-1]

    wait_for(is_found)
    findings = looks[-1]
    assert set(findings) == {"listener-does-not-start", "configuration-wrong"}
    assert "max_rss = 'lots'" in findings["listener-does-not-start"]["what"]


def test_listener_that_is_missing_or_not_loaded_is_found(start_supervisord: StartSupervisord) -> None:
    supervisord = start_supervisord(JOBS)
    path = supervisord.directory / "memkill.conf"
    path.write_text(POOL)
    assert set(found(supervisord, "--config", str(path))) == {"listener-missing"}
    supervisord.write_config(JOBS + listener(path))
    assert set(found(supervisord)) == {"listener-not-loaded"}


def test_changed_configuration_and_a_second_listener_are_found_until_they_are_gone(
    start_supervisord: StartSupervisord,
) -> None:
    supervisord = begin(start_supervisord)
    wait_for_log(supervisord, "listener.started")
    wait_for(lambda: found(supervisord) == {})
    path = supervisord.directory / "memkill.conf"
    path.write_text(POOL.replace("2GB", "3GB"))
    assert set(found(supervisord)) == {"configuration-not-in-force"}
    second = listener(path, "other", stderr_logfile="%(here)s/other.log")
    supervisord.write_config(JOBS + listener(path) + second)
    supervisord.ctl("update")
    supervisord.wait_for_state("other:other", ProcessState.RUNNING)
    assert set(found(supervisord)) == {"configuration-not-in-force", "second-listener"}
    supervisord.write_config(JOBS + listener(path))
    supervisord.ctl("update")
    supervisord.ctl("restart", "memkill")
    wait_for(lambda: supervisord.log("memkill.log").count("listener.started") == 2)
    wait_for(lambda: found(supervisord) == {})


def test_update_puts_other_hints_into_the_log_without_a_restart_of_the_listener(
    start_supervisord: StartSupervisord, redis_server: RealRedis
) -> None:
    ours = f"[memkill:job]\nmax_rss = 2GB\nworker = sidekiq\nredis = {redis_server.url}\n"
    supervisord = begin(start_supervisord, ours, events=SHIPPED.replace("60", "5"))
    wait_for_log(supervisord, "stopwaitsecs=15 must be above")
    sections = supervisord.config.read_text()
    assert "stopwaitsecs = 15" in sections
    supervisord.config.write_text(sections.replace("stopwaitsecs = 15", "stopwaitsecs = 16"))
    supervisord.ctl("update")
    wait_for_log(supervisord, "stopwaitsecs=16 must be above")
    assert supervisord.log("memkill.log").count("listener.started") == 1


def test_settings_that_supervisord_cannot_report_are_found(start_supervisord: StartSupervisord) -> None:
    more = program("other", "sleep 1000", stdout_logfile="NONE", stdout_logfile_maxbytes="2GB")
    supervisord = begin(start_supervisord, more=more)
    wait_for_log(supervisord, "listener.started")
    findings = found(supervisord)
    assert set(findings) == {"settings-not-reported"}
    assert "stdout_logfile_maxbytes = 2GB: write 2047MB or less" in findings["settings-not-reported"]["what"]


def test_supervisord_that_refuses_or_is_away_hides_no_other_fault(
    start_supervisord: StartSupervisord,
) -> None:
    supervisord = begin(
        lambda sections: start_supervisord(sections, password="secret"), "[memkill:job]\nmax_rss = x\n"
    )
    path = str(supervisord.directory / "memkill.conf")
    wrong = found(supervisord, "--config", path, "--username", "user", "--password", "wrong")
    assert set(wrong) == {"supervisord-refuses", "configuration-wrong"}
    away = found(supervisord, "--config", path, "--serverurl", f"unix://{supervisord.directory}/no.sock")
    assert set(away) == {"supervisord-unreachable", "configuration-wrong"}
    assert "secret" not in json.dumps(wrong)


def test_listener_without_the_password_is_found(start_supervisord: StartSupervisord) -> None:
    supervisord = begin(lambda sections: start_supervisord(sections, password="secret"), startsecs=100)
    supervisord.wait_for_state("memkill:memkill", ProcessState.FATAL)
    findings = found(supervisord, "--username", "user", "--password", "secret")
    assert set(findings) == {"listener-down", "password-missing-for-listener"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start the listener as another user")
def test_socket_that_is_closed_to_the_listeners_user_is_found(start_supervisord: StartSupervisord) -> None:
    supervisord = begin(start_supervisord, user="nobody", startsecs=100)
    supervisord.wait_for_state("memkill:memkill", ProcessState.FATAL)
    findings = found(supervisord)
    assert {"listener-down", "socket-closed-to-listener"} <= set(findings)
    assert "srwx" in findings["socket-closed-to-listener"]["what"]
    assert set(findings) <= {"listener-down", "socket-closed-to-listener", "asked-as-another-user"}


def test_wrong_use_is_status_2(tmp_path: Path) -> None:
    for arguments in (["doctor", "--wait"], ["doctor", "--serverurl", "nonsense"], ["doctor", "pool"]):
        done = command_line.run(tmp_path, *arguments)
        command_line.assert_one_line(done, 2)


# --- Redis --------------------------------------------------------------------------------------


def probed(server: RealRedis, url: str = "") -> RedisFacts:
    url = url or server.url
    return probe(url, functools.cache(lambda: connect(url, "memkill-test")), time.time, "memkill")


def test_healthy_redis_is_asked_without_a_trace(redis_server: RealRedis) -> None:
    with redis_server.client() as client:
        client.hset("memkill:{job}", "meta", "{}")
        before = client.info("persistence")["rdb_changes_since_last_save"]
        facts = probed(redis_server)
        assert client.info("persistence")["rdb_changes_since_last_save"] == before
        assert client.keys("*") == ["memkill:{job}"]
        assert client.info("stats")["total_error_replies"] > 0, "the commands had wrong arguments"
        refused = client.info("errorstats")
    assert not any("NOPERM" in name for name in refused)
    assert dataclasses.replace(facts, version="", policy="") == RedisFacts(redis_server.url, is_ours=True)
    assert facts.version and facts.policy == "noeviction"


def test_each_missing_permission_is_named(redis_server: RealRedis) -> None:
    """A user who may do everything that docs/fleet.rst names, but for three commands."""
    missing = ["hset", "xadd", "script|load"]
    with redis_server.client() as client:
        allowed = [f"+{name}" for name in NEEDED if name not in missing]
        client.execute_command("ACL", "SETUSER", "memkill", "on", ">secret", "~memkill:*", "-@all", *allowed)
        facts = probed(redis_server, f"redis://memkill:secret@127.0.0.1:{redis_server.port}/0")
        assert sorted(facts.forbidden) == sorted(missing)
        client.execute_command("ACL", "SETUSER", "memkill", *(f"+{name}" for name in missing))
        facts = probed(redis_server, f"redis://memkill:secret@127.0.0.1:{redis_server.port}/0")
        assert (facts.forbidden, facts.version, "secret" in facts.url) == ((), "", False)
        client.execute_command("ACL", "SETUSER", "memkill", "resetkeys", "~other:*")
        facts = probed(redis_server, f"redis://memkill:secret@127.0.0.1:{redis_server.port}/0")
        assert "hset" in facts.forbidden and "time" not in facts.forbidden


def test_commands_are_those_of_coordination() -> None:
    """The client sends the other two by itself at each connection."""
    assert {*commands("memkill"), "ping"} == set(NEEDED)


def test_replica_a_full_redis_and_one_that_is_away_are_found(redis_server: RealRedis, tmp_path: Path) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        assert (full := probed(redis_server)).is_full and not full.forbidden
        client.config_set("maxmemory", "0")
        client.replicaof("127.0.0.1", 1)
        assert (replica := probed(redis_server)).is_replica and not replica.forbidden
    redis_server.stop()
    assert "refused" in probed(redis_server).away


def test_cluster_behind_a_plain_url_is_found(tmp_path: Path) -> None:
    with cluster(tmp_path, make_certificates(tmp_path)) as (one, _):
        facts = probed(one.server)
        assert facts.is_cluster and not facts.forbidden
        right = f"redis+cluster://127.0.0.1:{one.server.port}"
        facts = probed(one.server, right)
        assert (facts.away, facts.is_cluster, facts.forbidden) == ("", False, ())
