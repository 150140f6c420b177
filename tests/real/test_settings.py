"""Settings as supervisord hands them over: its environment, its percent signs, and a file for a password."""

from __future__ import annotations

import json
import sys

import pytest

from tests import command_line
from tests.conftest import StartSupervisord
from tests.harness import wait_for
from tests.real_redis import RealRedis
from tests.real_supervisord import RealSupervisord, program

pytestmark = pytest.mark.real

SECRET = "p@ssw0rd"
URL = "redis://:p%40ssw0rd@127.0.0.1:{port}/0"


@pytest.fixture
def protected_redis(redis_server: RealRedis) -> RealRedis:
    with redis_server.client() as client:
        client.config_set("requirepass", SECRET)
    return redis_server


def start(start_supervisord: StartSupervisord, ours: str, environment: str) -> RealSupervisord:
    """A supervisord with a listener that reads these sections of ours, and has this environment."""
    supervisord = start_supervisord(program("job", "sleep 1000"))
    path = supervisord.directory / "memkill.conf"
    path.write_text(f"{ours}\n[memkill:job]\nmax_rss = 2GB\n")
    settings = {
        "events": "TICK_5",
        "stderr_logfile": supervisord.directory / "memkill.log",
        "startsecs": 0,
        "autorestart": "false",
        "environment": environment or 'NOTHING="1"',
    }
    command = f"{sys.executable} -m supervisor_memkill --config {path}"
    listener = program("memkill", command, kind="eventlistener", **settings)
    supervisord.write_config(program("job", "sleep 1000") + listener)
    supervisord.ctl("update", check=True)
    return supervisord


def line_of(supervisord: RealSupervisord, word: str) -> str:
    def lines() -> list[str]:
        return [line for line in supervisord.log("memkill.log").splitlines() if word in line]

    return wait_for(lines, message=lambda: f"{word}: {supervisord.log('memkill.log')}")[0]


@pytest.mark.parametrize(
    ("ours", "environment"),
    [
        ("[memkill]\nredis_file = %(here)s/url\n", ""),
        ("[memkill]\nredis = redis://:%(ENV_REDIS_PW)s@127.0.0.1:{port}/0\n", 'REDIS_PW="p%%40ssw0rd"'),
        ("[memkill]\n", 'MEMKILL_REDIS="redis://:p%%40ssw0rd@127.0.0.1:{port}/0"'),
    ],
    ids=["file", "name", "variable"],
)
def test_a_password_reaches_the_listener_and_the_dry_run_and_no_output(
    start_supervisord: StartSupervisord, protected_redis: RealRedis, ours: str, environment: str
) -> None:
    """By hand, what supervisord gave to the listener alone is read from its files, or set in the shell."""
    port = str(protected_redis.port)
    supervisord = start(start_supervisord, "", environment.replace("{port}", port))
    config = supervisord.directory / "memkill.conf"
    config.write_text(ours.replace("{port}", port) + "[memkill:job]\nmax_rss = 2GB\n")
    url = config.with_name("url")
    url.write_text(URL.format(port=port))
    url.chmod(0o600)
    supervisord.ctl("restart", "memkill")
    assert "coordination=through Redis" in line_of(supervisord, "listener.started").replace('"', "")
    with protected_redis.client(password=SECRET) as client:
        wait_for(lambda: client.exists("memkill:{job}"), message=lambda: supervisord.log("memkill.log"))

    by_hand = ["--config", str(config), "--dry-run", "--serverurl", supervisord.url]
    name, _, value = environment.replace("{port}", port).replace("%%", "%").partition("=")
    shell = {name: value.strip('"')} if name else {}
    table = command_line.run(supervisord.directory, *by_hand, changes=shell)
    report = command_line.run(supervisord.directory, *by_hand, "--json")
    assert (table.returncode, report.returncode) == (0, 0), table.stderr + report.stderr
    assert json.loads(report.stdout)
    shown = table.stdout + table.stderr + report.stdout + report.stderr + supervisord.log("memkill.log")
    assert SECRET not in shown and "p%40ssw0rd" not in shown


def test_a_percent_that_was_not_doubled_is_one_line(start_supervisord: StartSupervisord) -> None:
    """supervisord puts its whole environment in place of %40s; none of it is shown."""
    supervisord = start(start_supervisord, "[memkill]", 'MEMKILL_REDIS="redis://host/0?password=p%40ssw0rd"')
    line = line_of(supervisord, "MEMKILL_REDIS")
    assert "environment: MEMKILL_REDIS: supervisord replaced a % in its value" in line
    assert "write %% for each %" in line
    log = supervisord.log("memkill.log")
    assert "MEMKILL_TEST_MARK" not in log and len(log.splitlines()) == 1
