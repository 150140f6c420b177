"""The stage: its configuration, and that it is gone when it could not be set."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from supervisor_memkill.config.load import load
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.demo.play import LEAKS, LIMIT_BYTES
from supervisor_memkill.demo.stage import environment, memkill_conf, set_stage, short_parent, supervisord_conf
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.workers.registry import load_kind
from tests.harness import wait_for


def test_the_listeners_file_is_right(tmp_path: Path) -> None:
    path = tmp_path / "memkill.conf"
    path.write_text(memkill_conf(LIMIT_BYTES, "/usr/bin/python"))
    loaded = load(read_file(path), {}, "host", load_kind)
    assert [(pool.name, pool.worker) for pool in loaded.pools] == [("demo", "custom")]
    assert loaded.redis is None


def test_an_interpreter_with_an_odd_path_is_quoted() -> None:
    assert "command = '/opt/my %%dir/python' -m" in supervisord_conf(LEAKS, "/opt/my %dir/python", 1)


def test_what_leads_to_another_supervisord_or_to_a_redis_is_left_out() -> None:
    environ = {"PATH": "/bin", "SUPERVISOR_SERVER_URL": "unix:///x", "MEMKILL_REDIS": "redis://x"}
    assert environment(environ) == {"PATH": "/bin"}


def test_the_socket_keeps_a_short_path() -> None:
    assert short_parent("/var/tmp") == "/var/tmp"
    assert short_parent("/var/folders/" + "x" * 60) == "/tmp"


@pytest.mark.parametrize("python", ["/nonexistent/python", "/bin/false"])
def test_a_supervisord_that_cannot_run_is_one_error_and_leaves_nothing(
    python: str, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short_path))

    def set_and_check() -> None:
        with set_stage(LEAKS, LIMIT_BYTES, python) as stage:
            wait_for(stage.check)

    with pytest.raises(MemkillError, match="the demo's supervisord") as error:
        set_and_check()
    assert "\n" not in str(error.value)
    assert list(short_path.iterdir()) == []
