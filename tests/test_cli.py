"""The command line: every error is a line that tells what to do, and a status that tells whose it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import supervisor_memkill
from tests.conftest import StartSupervisord
from tests.harness import PROGRAMS

CONFIG = "[memkill:job]\nmax_rss = 200MB\n"
UNDER_SUPERVISORD = {"SUPERVISOR_ENABLED": "1", "SUPERVISOR_GROUP_NAME": "memkill"}


def run(
    directory: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "supervisor_memkill"),
) -> subprocess.CompletedProcess[str]:
    """Run the command where no configuration of supervisord is found but the test's own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SUPERVISOR_")}
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=directory,
        env={**clean, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "memkill.conf"
    path.write_text(f"[memkill]\njournal = {tmp_path}/own/memkill.journal\n{CONFIG}")
    return path


def assert_one_line(done: subprocess.CompletedProcess[str], status: int, *words: str, lines: int = 1) -> None:
    """One line (or as many as told) on stderr, beginning with the program's name, with all the words."""
    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(said)) == (status, "", lines), done
    assert all(line.startswith("supervisor-memkill: ") for line in said), said
    for word in words:
        assert word in done.stderr, done.stderr


def test_version(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"supervisor-memkill {supervisor_memkill.__version__}\n")


@pytest.mark.parametrize("arguments", [["--dryrun"], ["--dry"], ["frobnicate"], ["--config"]])
def test_unknown_argument_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    assert_one_line(run(tmp_path, *arguments), 2, "--help")


def test_listener_by_hand_says_who_runs_it(tmp_path: Path, config: Path) -> None:
    done = run(tmp_path, "--config", str(config))
    assert_one_line(done, 2, "supervisord runs it", "[eventlistener:memkill]", "--dry-run")


def test_listener_without_a_server_section_says_so(tmp_path: Path, config: Path) -> None:
    """supervisord sets no SUPERVISOR_SERVER_URL where its configuration has no server section."""
    done = run(tmp_path, "--config", str(config), environment=UNDER_SUPERVISORD)
    assert_one_line(done, 2, "[unix_http_server]", "[inet_http_server]")


def test_listener_without_a_pool_says_so(tmp_path: Path) -> None:
    path = tmp_path / "empty.conf"
    path.write_text("")
    done = run(tmp_path, "--config", str(path), environment=UNDER_SUPERVISORD)
    assert_one_line(done, 2, "no [memkill:NAME] section", "empty.conf")


@pytest.mark.parametrize("under", [{}, UNDER_SUPERVISORD])
def test_problems_of_the_configuration_come_all_together(tmp_path: Path, under: dict[str, str]) -> None:
    path = tmp_path / "bad.conf"
    path.write_text("[memkill]\nhearbeat = 10s\n[memkill:job]\nmax_rss = lots\nstrikes = 0\n[memkil:x]\n")
    done = run(tmp_path, "--dry-run", "--config", str(path), environment=under)
    assert_one_line(done, 2, "heartbeat", "max_rss", "strikes", "[memkill:x]", "bad.conf:2", lines=4)


def test_configuration_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--dry-run", "--config", str(tmp_path / "none.conf"))
    assert_one_line(done, 2, "none.conf", "No such file")


def test_dry_run_without_a_supervisord_is_one_line(tmp_path: Path, config: Path) -> None:
    done = run(tmp_path, "--dry-run", "--config", str(config), "--serverurl", f"unix://{tmp_path}/none.sock")
    assert_one_line(done, 1, "none.sock", "No such file")


def test_address_of_another_kind_is_one_line(tmp_path: Path, config: Path) -> None:
    done = run(tmp_path, "--dry-run", "--config", str(config), "--serverurl", "ftp://localhost")
    assert_one_line(done, 2, "ftp://localhost", "unix:///path")


@pytest.mark.real
@pytest.mark.parametrize("under", [False, True])
def test_wrong_password_is_one_line(
    start_supervisord: StartSupervisord, tmp_path: Path, config: Path, under: bool
) -> None:
    supervisord = start_supervisord(inet=True, password="right")
    wrong = {
        "SUPERVISOR_SERVER_URL": supervisord.url,
        "SUPERVISOR_USERNAME": "user",
        "SUPERVISOR_PASSWORD": "wrong",
    }
    environment = {**wrong, **(UNDER_SUPERVISORD if under else {})}
    arguments = [] if under else ["--dry-run"]
    done = run(tmp_path, *arguments, "--config", str(config), environment=environment)
    assert_one_line(done, 2, "refused the user name or password", "SUPERVISOR_PASSWORD")
    assert "wrong" not in done.stderr


@pytest.mark.real
def test_password_is_taken_as_supervisorctl_takes_it(
    start_supervisord: StartSupervisord, tmp_path: Path, config: Path
) -> None:
    """From the arguments; without any, from supervisord's own configuration where it is found."""
    supervisord = start_supervisord(inet=True, password="right")
    given = ["--serverurl", supervisord.url, "--username", "user", "--password", "right"]
    assert run(tmp_path, "--dry-run", "--config", str(config), *given).returncode == 0
    found = run(supervisord.directory, "--dry-run", "--config", str(config))
    assert found.returncode == 0, found


@pytest.mark.real
@pytest.mark.parametrize("under", [False, True])
def test_supervisord_without_its_rpc_interface_is_one_line(
    start_supervisord: StartSupervisord, tmp_path: Path, config: Path, under: bool
) -> None:
    supervisord = start_supervisord(rpcinterface=False)
    environment = {"SUPERVISOR_SERVER_URL": supervisord.url, **(UNDER_SUPERVISORD if under else {})}
    arguments = [] if under else ["--dry-run"]
    done = run(tmp_path, *arguments, "--config", str(config), environment=environment)
    assert_one_line(done, 2, "[rpcinterface:supervisor]")


@pytest.mark.real
@pytest.mark.parametrize("under", [False, True])
def test_socket_of_another_user_is_one_line(
    start_supervisord: StartSupervisord, tmp_path: Path, under: bool
) -> None:
    supervisord = start_supervisord()
    config = supervisord.directory / "memkill.conf"
    config.write_text(CONFIG)
    supervisord.directory.chmod(0o755)  # the socket alone is closed to others
    supervisord.socket.chmod(0)
    environment = {"SUPERVISOR_SERVER_URL": supervisord.url, **(UNDER_SUPERVISORD if under else {})}
    arguments = [] if under else ["--dry-run"]
    program = (str(PROGRAMS / "without_rights.py"),)
    done = run(
        supervisord.directory, *arguments, "--config", str(config), environment=environment, program=program
    )
    assert_one_line(done, 2, "permission denied", "chown= and chmod=")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "code",
    [
        "from supervisor_memkill.commands import output; output.show('text')",
        "import sys; sys.exit(main(['demo']))",
    ],
    ids=["show", "demo"],
)
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path, code: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", f"from supervisor_memkill.cli import main; {code}"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr.splitlines()[-1].endswith("its output cannot be written: No space left on device")


@pytest.mark.parametrize("arguments", ["demo", "--dry-run"])
def test_closed_output_is_one_line(tmp_path: Path, arguments: str) -> None:
    program = f'exec "{sys.executable}" -m supervisor_memkill {arguments} >&-'
    done = subprocess.run(
        ["sh", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert_one_line(done, 1, "standard output is closed")


def test_closed_input_is_one_line(tmp_path: Path, config: Path) -> None:
    """As somebody may start it who has supervisord's environment."""
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m supervisor_memkill --config {config} <&-'],
        cwd=tmp_path,
        env={**os.environ, **UNDER_SUPERVISORD},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_one_line(done, 2, "supervisord runs it")


@pytest.mark.parametrize("option", ["--dry-run", "--json", "--config=x"])
def test_demo_takes_no_options(tmp_path: Path, option: str) -> None:
    assert_one_line(run(tmp_path, "demo", option), 2, "demo takes no options")


@pytest.mark.parametrize("parent", ["{tmp_path}", ".."])
def test_working_directory_that_was_removed_is_no_fault(tmp_path: Path, parent: str) -> None:
    """A deploy removes old releases, and supervisord may have been started in one."""
    (tmp_path / "memkill.conf").write_text("[memkill:jobs]\nmax_rss = 1GB\nbad = 1\n")
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from supervisor_memkill.cli import main; sys.exit(main())"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "--config",
            parent.format(tmp_path=tmp_path) + "/memkill.conf",
            "--dry-run",
        ],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_one_line(done, 2, "memkill.conf", "bad")
