"""The command ``history``: the records that a person asks for, from the file of a listener."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from supervisor_memkill.listener.history_file import paths_beside
from supervisor_memkill.notices.records import to_line
from tests.command_line import CONFIG, assert_one_line, run
from tests.harness import PROGRAMS, free_port, short_directory
from tests.notices.record_values import DRAIN, drain, killed


@pytest.fixture
def written(config: Path) -> Path:
    """The history of a listener whose supervisord is gone by now."""
    path, _ = paths_beside(config.parent / "own" / "memkill.journal")
    path.parent.mkdir(mode=0o700)
    now = time.time()
    path.write_bytes(
        to_line(drain(at=now - 3600, pool="job")) + to_line(killed(at=now - 8 * 86400, pool="job"))
    )
    path.chmod(0o600)
    return path


def test_history_is_read_while_nothing_runs(config: Path, written: Path) -> None:
    done = run(config.parent, "history", "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert "sidekiq:sidekiq_0" in done.stdout and "KILLED" not in done.stdout
    assert "1 older record: --since all shows them" in done.stdout
    assert "\x1b" not in done.stdout
    everything = run(config.parent, "history", "--config", str(config), "--since", "all", "--json")
    assert [one["outcome"] for one in json.loads(everything.stdout)["records"]] == ["killed", "done"]


def test_without_config_the_file_counts_that_the_command_of_the_listener_names(
    config: Path, written: Path
) -> None:
    """supervisord need not include it: status and doctor find it in the same way."""
    address = f"127.0.0.1:{free_port()}"
    config.with_name("supervisord.conf").write_text(
        f"[inet_http_server]\nport = {address}\n[supervisorctl]\nserverurl = http://{address}\n"
        f"[eventlistener:memkill]\ncommand = supervisor-memkill --config {config}\nevents = TICK_60\n"
    )
    done = run(config.parent, "history", "job")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sidekiq:sidekiq_0" in done.stdout


def test_names_and_filters_are_taken_from_the_command_line(config: Path, written: Path) -> None:
    words = ("history", "--config", str(config), "--since", "30d", "--json")
    for arguments, number in (
        (("job",), 2),
        (("sidekiq:*",), 2),
        (("--outcome", "killed"), 1),
        (("--outcome", "killed", "--outcome", "done"), 2),
        (("--reason", "restart"), 0),
    ):
        done = run(config.parent, *words, *arguments)
        assert len(json.loads(done.stdout)["records"]) == number, arguments


def test_no_history_is_said_with_its_place(config: Path) -> None:
    done = run(config.parent, "history", "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("no drain since ")
    assert f"note: the listener has written no history yet ({config.parent}/own/memkill.journal.history)" in (
        done.stdout
    )


def test_damage_is_a_note_beside_what_can_be_read(config: Path, written: Path) -> None:
    newer = to_line(DRAIN).replace(b'"v":1', b'"v":2')
    written.write_bytes(b"junk\n" + newer + written.read_bytes())
    done = run(config.parent, "history", "--config", str(config))
    assert "sidekiq:sidekiq_0" in done.stdout
    assert "damaged lines, which are not shown: 1" in done.stdout
    assert "records of a newer version, which are not shown: 1" in done.stdout


def test_file_of_damage_alone_is_no_missing_history(config: Path, written: Path) -> None:
    written.write_bytes(b"junk\njunk\n")
    done = run(config.parent, "history", "--config", str(config))
    assert "damaged lines, which are not shown: 2" in done.stdout and "no history yet" not in done.stdout


def test_history_of_another_user_is_one_line() -> None:
    with short_directory() as directory:
        directory.chmod(0o755)
        own = directory / "own"
        own.mkdir(mode=0o700)
        path, _ = paths_beside(own / "memkill.journal")
        path.write_bytes(to_line(DRAIN))
        path.chmod(0o600)
        (directory / "memkill.conf").write_text(f"[memkill]\njournal = {own}/memkill.journal\n{CONFIG}")
        arguments = ("history", "--config", f"{directory}/memkill.conf")
        done = run(directory, *arguments, program=(str(PROGRAMS / "without_rights.py"),))
        if os.geteuid() == 0:
            words = "belongs to another user: run this as root or as the listener's user"
            assert_one_line(done, 1, str(path), words)
        else:
            assert "sidekiq:sidekiq_0" in done.stdout, "the same user"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reason", "max_rs"), ("--reason", "'max_rs'", "max_rss, hard_max_rss")),
        (("--outcome", "dead"), ("--outcome", "done, killed, let_go, held")),
        (("--since", "soon"), ("--since", "24h", "all")),
        (("--fleet",), ("--fleet needs redis",)),
    ],
)
def test_wrong_use_is_one_line_with_what_is_allowed(
    config: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_one_line(run(config.parent, "history", "--config", str(config), *arguments), 2, *words)


def test_name_that_nothing_has_is_one_line_with_the_pools(config: Path, written: Path) -> None:
    done = run(config.parent, "history", "--config", str(config), "jbo")
    assert_one_line(done, 1, "'jbo'", "the pools are job")


def test_redis_that_is_away_is_one_line(config: Path) -> None:
    text = config.read_text().replace("[memkill]", "[memkill]\nredis = redis://127.0.0.1:1/0")
    config.write_text(text)
    assert_one_line(run(config.parent, "history", "--config", str(config), "--fleet"), 1, "Redis")
