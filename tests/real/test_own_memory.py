"""What the idle listener does not load: each such module costs memory for as long as it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import UNDER_SUPERVISORD
from tests.harness import PATIENCE_SECONDS, wait_for
from tests.real.listener_process import AnsweringSupervisord
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

RUN_AND_LIST = """
import atexit, sys
from supervisor_memkill.cli import main
atexit.register(lambda: open({loaded!r}, "w").write("\\n".join(sys.modules)))
sys.exit(main(["--config", {config!r}]))
"""
NOT_NEEDED = {
    *("redis", "supervisor", "celery", "kombu", "apprise", "prometheus_client", "hiredis"),
    *(
        "asyncio",
        "concurrent",
        "logging",
        "multiprocessing",
        "unittest",
        "curses",
        "sqlite3",
        "pkg_resources",
    ),
    *("setuptools", "pytest", "yaml", "requests"),
    *(
        "psutil",
        "argparse",
        "gettext",
        "difflib",
        "tempfile",
        "shutil",
        "bz2",
        "lzma",
        "getopt",
        "csv",
        "uuid",
        "hashlib",
        "_hashlib",
        "base64",
        "traceback",
        "pickle",
        "datetime",
        "queue",
    ),
}
ONCE = (
    *("demo", "commands.parsing", "commands.configuration", "commands.which", "commands.status"),
    *("config.load_pool", "config.options", "config.parsers", "config.entries", "notices.catalogue"),
)
"""Our own modules that a listener needs never, or once: then a child process loads them (see cli.py)."""


def modules_after_a_look(
    directory: Path, redis: str = "", has_looked: Callable[[], object] = lambda: True
) -> list[str]:
    """What a listener has loaded. `redis`: a line of its configuration."""
    config, loaded = directory / "memkill.conf", directory / "loaded"
    config.write_text(
        f"[memkill]\njournal = {directory}/own/memkill.journal\n{redis}\n[memkill:job]\nmax_rss = 1TB\n"
    )
    supervisord = AnsweringSupervisord()
    pipe = subprocess.PIPE
    listener = subprocess.Popen(
        [sys.executable, "-c", RUN_AND_LIST.format(loaded=str(loaded), config=str(config))],
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **UNDER_SUPERVISORD, "SUPERVISOR_SERVER_URL": supervisord.url},
    )
    try:
        assert listener.stdin is not None
        listener.stdin.write(b"eventname:TICK_60 serial:1 poolserial:1 len:0\n")
        listener.stdin.flush()
        wait_for(lambda: supervisord.checks and has_looked(), message="a look")
        listener.communicate(timeout=PATIENCE_SECONDS)
        return loaded.read_text().splitlines()
    finally:
        listener.kill()
        listener.wait()
        supervisord.close()


def test_listener_without_redis_loads_no_client_and_no_framework(tmp_path: Path) -> None:
    """Without a Redis, a broker, hooks or metrics there is nothing to use them for."""
    modules = modules_after_a_look(tmp_path)
    assert {name.partition(".")[0] for name in modules} & NOT_NEEDED == set()
    assert [name for name in modules if name.removeprefix("supervisor_memkill.").startswith(ONCE)] == []
    assert "supervisor_memkill.listener.survey" in modules


def test_listener_with_redis_does_not_load_redis_py(tmp_path: Path, redis_server: RealRedis) -> None:
    """It would need ten times as much as our own client. OpenSSL is for TLS alone."""
    with redis_server.client() as client:
        modules = modules_after_a_look(
            tmp_path, f"redis = {redis_server.url}", lambda: client.exists("memkill:{job}")
        )
    assert {name.partition(".")[0] for name in modules} & {*NOT_NEEDED, "ssl", "_ssl"} == set()
    assert "supervisor_memkill.coordination.redis" in modules
