"""The listener by hand, and where it cannot begin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.command_line import UNDER_SUPERVISORD, assert_logged, assert_one_line, run
from tests.harness import PATIENCE_SECONDS


def test_listener_by_hand_says_who_runs_it(tmp_path: Path, config: Path) -> None:
    done = run(tmp_path, "--config", str(config))
    assert_one_line(
        done, 2, "supervisord runs it", "[eventlistener:memkill]", "--dry-run", "demo", "--sample", "status"
    )


def test_listener_without_a_server_section_says_so(tmp_path: Path, config: Path) -> None:
    """supervisord sets no SUPERVISOR_SERVER_URL where its configuration has no server section."""
    done = run(tmp_path, "--config", str(config), changes=UNDER_SUPERVISORD)
    assert_logged(done, 2, "[unix_http_server]", "[inet_http_server]")


def test_listener_without_a_pool_says_so(tmp_path: Path) -> None:
    path = tmp_path / "empty.conf"
    path.write_text("")
    done = run(tmp_path, "--config", str(path), changes=UNDER_SUPERVISORD)
    assert_logged(done, 2, "no [memkill:NAME] section", "empty.conf")
    path.write_text("[program:web]\nmax_rss = 1GB\n")
    done = run(tmp_path, "--config", str(path), changes=UNDER_SUPERVISORD)
    assert_logged(done, 2, "no [memkill:NAME] section", "[program:web] max_rss = '1GB'", "[memkill:web]")


def test_listener_has_no_json(tmp_path: Path, config: Path) -> None:
    done = run(tmp_path, "--config", str(config), "--dry-run", "--json", changes=UNDER_SUPERVISORD)
    assert_logged(done, 2, "the listener does not take --json")


def test_closed_input_is_one_line(tmp_path: Path, config: Path) -> None:
    """A person may start it so who has supervisord's environment."""
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m supervisor_memkill --config {config} <&-'],
        cwd=tmp_path,
        env={**os.environ, **UNDER_SUPERVISORD},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert_one_line(done, 2, "supervisord runs it")
