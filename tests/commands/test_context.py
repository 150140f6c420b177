"""What a command works with: configuration, supervisord and password are found, or one line says why not."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor_memkill.commands.configuration import find_configuration
from supervisor_memkill.commands.context import build, build_pools
from supervisor_memkill.config.load import load
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.workers.contract import Tools
from supervisor_memkill.workers.registry import load_kind
from supervisor_memkill.world.supervisord import Supervisord
from tests.command_line import CONFIG, UNDER_SUPERVISORD, assert_logged, assert_one_line, run
from tests.conftest import StartSupervisord
from tests.harness import PATIENCE_SECONDS, PROGRAMS


def arguments(**given: object) -> argparse.Namespace:
    nothing = dict.fromkeys(("config", "serverurl", "username", "password"))
    return argparse.Namespace(**{**nothing, "dry_run": False, **given})


SUPERVISORDS = """\
[supervisorctl]
serverurl = http://127.0.0.1:9
username = user
password = secret
[eventlistener:other]
command = other
[memkill:web]
max_rss = 1GB
"""


@pytest.fixture
def beside_supervisords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory where supervisorctl finds supervisord's configuration."""
    (tmp_path / "supervisord.conf").write_text(SUPERVISORDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "supervisor-memkill")])
    return tmp_path


def test_configuration_is_supervisords_own_where_none_is_named(beside_supervisords: Path) -> None:
    found = find_configuration(arguments(), {})
    assert [pool.name for pool in found.config.pools] == ["web"]
    assert (found.is_found, found.supervisords_path) == (True, beside_supervisords / "supervisord.conf")
    assert found.eventlistener_groups == {"other"}


def test_named_file_goes_before_and_supervisords_own_gives_the_address(
    beside_supervisords: Path, config: Path
) -> None:
    config.write_text(f"{config.read_text()}[eventlistener:mine]\ncommand = mine\n")
    found = find_configuration(arguments(config=config), {})
    assert [pool.name for pool in found.config.pools] == ["job"]
    assert found.supervisord(arguments(), {}).url == "http://127.0.0.1:9"
    assert found.eventlistener_groups == {"mine", "other"}


def test_files_that_the_named_file_includes_are_read_as_supervisord_reads_them(tmp_path: Path) -> None:
    """`--config /etc/supervisor/supervisord.conf`, where the pools stand in conf.d."""
    main, included = tmp_path / "main.conf", tmp_path / "conf.d" / "jobs.conf"
    included.parent.mkdir()
    included.write_text("[memkill:job]\nmax_rss = 1GB\n")
    main.write_text("[include]\nfiles = conf.d/*.conf none/*.conf\n")
    found = find_configuration(arguments(config=main), {})
    assert [pool.name for pool in found.config.pools] == ["job"]
    assert found.reading.paths == (main, included)


def test_misplaced_keys_of_all_files_are_known_once(beside_supervisords: Path) -> None:
    """That of the named file, and that of supervisord's own files, which may include the named one."""
    named, main = beside_supervisords / "named.conf", beside_supervisords / "supervisord.conf"
    named.write_text("[memkill:job]\nmax_rss = 1GB\nworker = dramatiq\n[program:job]\ncommand_has = x\n")
    main.write_text(f"{SUPERVISORDS}[program:web]\nmax_rss = 1GB\n[include]\nfiles = named.conf\n")
    lines = find_configuration(arguments(config=named), {}).misplaced
    assert [line.partition(" =")[0] for line in lines] == [
        f"{named}:5: [program:job] command_has",
        f"{main}:10: [program:web] max_rss",
    ]


def test_supervisords_own_configuration_that_cannot_be_read_is_passed_over_where_another_is_named(
    beside_supervisords: Path, config: Path
) -> None:
    path = beside_supervisords / "supervisord.conf"
    path.unlink()
    path.mkdir()  # open() fails, also for root
    found = find_configuration(arguments(config=config), {})
    assert (found.supervisords, found.is_found) == (None, True)


def test_address_is_the_arguments_then_the_environments_then_the_files(beside_supervisords: Path) -> None:
    found = find_configuration(arguments(), {})
    environ = {"SUPERVISOR_SERVER_URL": "http://127.0.0.1:2"}
    by_argument = found.supervisord(arguments(serverurl="http://127.0.0.1:1"), environ)
    assert by_argument.url == "http://127.0.0.1:1"
    assert found.supervisord(arguments(), environ).url == "http://127.0.0.1:2"
    assert found.supervisord(arguments(), {}).url == "http://127.0.0.1:9"


def test_without_supervisorctls_section_the_address_is_that_of_the_server(
    beside_supervisords: Path, config: Path
) -> None:
    """Many a container has none."""
    server = "[unix_http_server]\nfile = %(here)s/s.sock\n"
    (beside_supervisords / "supervisord.conf").write_text(server)
    assert find_configuration(arguments(), {}).supervisord(arguments(), {}).url == (
        f"unix://{beside_supervisords}/s.sock"
    )
    (beside_supervisords / "supervisord.conf").write_text(SUPERVISORDS)
    config.write_text(f"{config.read_text()}{server.replace('s.sock', 'named.sock')}")
    named = arguments(config=config)
    assert find_configuration(named, {}).supervisord(named, {}).url == f"unix://{config.parent}/named.sock"


@pytest.mark.parametrize("server", ["", "[unix_http_server]\nfile = %(ENV_NO_SUCH_NAME)s/s.sock\n"])
def test_file_of_another_supervisord_at_a_standard_place_is_not_taken(
    beside_supervisords: Path, server: str
) -> None:
    (beside_supervisords / "supervisord.conf").write_text(SUPERVISORDS + server)
    found = find_configuration(arguments(serverurl="http://127.0.0.1:8"), {})
    assert (found.is_found, found.supervisords_path, found.config.pools) == (False, None, ())
    assert find_configuration(arguments(serverurl="http://localhost:9"), {}).is_found


def test_dry_run_may_be_asked_for_by_the_file_or_by_the_arguments(config: Path) -> None:
    assert not find_configuration(arguments(config=config), {}).config.dry_run
    assert find_configuration(arguments(config=config, dry_run=True), {}).config.dry_run
    config.write_text(config.read_text().replace("[memkill]", "[memkill]\ndry_run = yes"))
    assert find_configuration(arguments(config=config), {}).config.dry_run


def test_parts_are_built_without_asking_supervisord(config: Path, tmp_path: Path) -> None:
    """It may be away while a listener begins."""
    found = find_configuration(arguments(config=config), {})
    supervisord = Supervisord(f"unix://{tmp_path}/none.sock")
    context = build(found, supervisord, {}, own_group="memkill")
    assert [pool.name for pool in context.pools] == ["job"]
    assert context.journal.path == tmp_path / "own" / "memkill.journal"
    assert not context.coordinator(Contents()).is_shared
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("under", "assert_reported"), [({}, assert_one_line), (UNDER_SUPERVISORD, assert_logged)]
)
def test_problems_of_the_configuration_come_all_together(
    tmp_path: Path, under: dict[str, str], assert_reported: Callable[..., None]
) -> None:
    path = tmp_path / "bad.conf"
    path.write_text("[memkill]\nhearbeat = 10s\n[memkill:job]\nmax_rss = lots\nstrikes = 0\n[memkil:x]\n")
    done = run(tmp_path, "--dry-run", "--config", str(path), changes=under)
    assert_reported(done, 2, "heartbeat", "max_rss", "strikes", "[memkill:x]", "bad.conf:2", lines=4)


def test_configuration_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--dry-run", "--config", str(tmp_path / "none.conf"))
    assert_one_line(done, 2, "none.conf", "No such file")


def test_dry_run_without_a_supervisord_is_one_line(tmp_path: Path, config: Path) -> None:
    done = run(tmp_path, "--dry-run", "--config", str(config), "--serverurl", f"unix://{tmp_path}/none.sock")
    assert_one_line(done, 1, "none.sock", "there is no such file")


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
    done = run(tmp_path, *arguments, "--config", str(config), changes=environment)
    (assert_logged if under else assert_one_line)(
        done, 2, "refused the user name or password", "SUPERVISOR_PASSWORD"
    )
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
    done = run(tmp_path, *arguments, "--config", str(config), changes=environment)
    (assert_logged if under else assert_one_line)(done, 2, "[rpcinterface:supervisor]")


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
        supervisord.directory, *arguments, "--config", str(config), changes=environment, program=program
    )
    (assert_logged if under else assert_one_line)(done, 2, "permission denied", "chown= and chmod=")


@pytest.mark.parametrize("parent", ["{tmp_path}", ".."])
def test_working_directory_that_was_removed_is_no_fault(tmp_path: Path, parent: str) -> None:
    """A deploy removes old releases, and supervisord may have been started in one."""
    (tmp_path / "memkill.conf").write_text("[memkill:jobs]\nmax_rss = 1GB\nbad = 1\n")
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from supervisor_memkill.cli import main; sys.exit(main())"
    script = tmp_path / "script.py"  # not -c, with which Python 3.13.0 looks into the directory that is gone
    script.write_text(code)
    done = subprocess.run(
        [
            sys.executable,
            str(script),
            "--config",
            parent.format(tmp_path=tmp_path) + "/memkill.conf",
            "--dry-run",
        ],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert_one_line(done, 2, "memkill.conf", "bad")


@pytest.mark.parametrize(
    ("lines", "has_redis", "max_rss_bytes"),
    [
        ("max_rss = 512MB", False, 512 * 1024**2),
        ("max_rss = 80%\nredis = redis://127.0.0.1:6379/0", True, None),
    ],
)
def test_a_kind_knows_whether_its_pool_has_a_redis_and_what_its_limit_is(
    tmp_path: Path, lines: str, has_redis: bool, max_rss_bytes: int | None
) -> None:
    path = tmp_path / "memkill.conf"
    path.write_text(f"[memkill:jobs]\nworker = laravel\n{lines}\n")
    config = load(read_file(path), {}, "here", load_kind)
    (pool,) = build_pools(config, Supervisord("http://127.0.0.1:1"))
    tools: Tools = pool.kind.tools  # type: ignore[attr-defined]  # of BaseKind
    assert (tools.has_redis, tools.max_rss_bytes) == (has_redis, max_rss_bytes)


def directories_of_journals(tmp_path: Path) -> list[Path]:
    """Those that a command by hand reads, where the journal may be in the directory `tmp_path`."""
    config, environ = tmp_path / "memkill.conf", {"XDG_RUNTIME_DIR": str(tmp_path)}
    config.write_text(CONFIG)
    configuration = find_configuration(arguments(config=config), environ)
    settled = configuration.settled("http://127.0.0.1:9", environ, is_listener=False)
    return [path.parent for place in settled.journals for path in (place.path, *place.former)]


@pytest.mark.parametrize(("mode", "is_read"), [(0o700, True), (0o755, True), (0o777, False), (None, True)])
def test_directory_where_others_write_shows_no_journal_to_a_person(
    tmp_path: Path, mode: int | None, is_read: bool
) -> None:
    """In /tmp anybody can make it first, and with it show root a false state, or a file that never ends."""
    directory = tmp_path / "supervisor-memkill"
    if mode is not None:
        directory.mkdir()
        directory.chmod(mode)
    assert (directory in directories_of_journals(tmp_path)) is is_read


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_directory_of_another_user_shows_no_journal_to_root(tmp_path: Path) -> None:
    directory = tmp_path / "supervisor-memkill"
    directory.mkdir(mode=0o700)
    os.chown(directory, 65534, 65534)
    assert directory not in directories_of_journals(tmp_path)
