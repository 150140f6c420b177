"""How long a Sidekiq waits for its jobs at a stop, by command line, file and version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_memkill.testing.fakes import STARTED, program_info
from supervisor_memkill.workers.sidekiq.advice import advice_on
from supervisor_memkill.workers.sidekiq.timeout import SidekiqStart, own_timeout


def seconds(command: str, directory: Path | None, version: str = "7.3.0") -> int:
    where = None if directory is None else str(directory)
    return own_timeout(command, SidekiqStart(100, STARTED, version, where)).seconds


def write(path: Path, text: str, *, modified: float = STARTED - 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (modified, modified))


@pytest.mark.parametrize(
    ("version", "expected"),
    [("5.2.10", 8), ("4.2.9", 8), ("6.0.0", 25), ("8.1.2", 25), ("", 25), ("12.0", 25)],
)
def test_default_depends_on_the_version(version: str, expected: int, tmp_path: Path) -> None:
    assert seconds("bundle exec sidekiq", None, version) == expected
    assert seconds("bundle exec sidekiq", tmp_path, version) == expected


@pytest.mark.parametrize(
    ("text", "command", "expected"),
    [
        (":timeout: 60\n", "sidekiq", 60),
        ("---\n:concurrency: 5\n:timeout: 60 # a minute\n", "sidekiq", 60),
        ("timeout: '60'\n", "sidekiq", 60),
        ('"timeout": 60\n', "sidekiq", 60),
        (":timeout: 60\n", "sidekiq -t 9", 9),
        (":timeout: 60\n", "sidekiq --timeout=9", 9),
        (":timeout: 60\n", "sidekiq -t $LIMIT", 60),
        (":concurrency: 5\n", "sidekiq", 25),
        ("# :timeout: 60\n", "sidekiq", 25),
        (":timeout: <%= ENV['T'] %>\n", "sidekiq", 25),
        (":timeout: 4\nproduction:\n  :timeout: 60\n", "sidekiq -e production", 60),
        (":timeout: 4\nproduction:\n  :timeout: 60\n", "sidekiq -e staging", 4),
        (":timeout: 4\nproduction:\n  :timeout: 60\n", "sidekiq", 60),
        (":timeout: 4\n:scheduler:\n  :timeout: 300\n", "sidekiq", 4),
        ("[" * 99, "sidekiq", 25),
        ("", "sidekiq", 25),
    ],
)
def test_file_counts_as_sidekiq_reads_it(text: str, command: str, expected: int, tmp_path: Path) -> None:
    write(tmp_path / "config" / "sidekiq.yml", text)
    assert seconds(command, tmp_path) == expected


def test_file_is_the_one_that_the_command_names(tmp_path: Path) -> None:
    write(tmp_path / "config" / "sidekiq.yml", ":timeout: 60\n")
    write(tmp_path / "config" / "mail.yml", ":timeout: 70\n")
    write(tmp_path / "engine" / "config" / "sidekiq.yml", ":timeout: 80\n")
    assert seconds("sidekiq -C config/mail.yml", tmp_path) == 70
    assert seconds(f"sidekiq --config {tmp_path}/config/mail.yml", Path("/")) == 70
    assert seconds("sidekiq -r engine", tmp_path) == 80
    assert seconds("sidekiq -r ./app.rb", tmp_path) == 60
    assert seconds("sidekiq -C config/none.yml", tmp_path) == 25


def test_template_is_found_by_its_name(tmp_path: Path) -> None:
    write(tmp_path / "config" / "sidekiq.yml.erb", ":timeout: 60\n")
    assert seconds("sidekiq", tmp_path) == 60


@pytest.mark.parametrize(("value", "expected"), [(60, 60), (4, 25)])
def test_file_that_changed_after_the_start_is_not_certain(value: int, expected: int, tmp_path: Path) -> None:
    """The process may have the former value, such as the default."""
    write(tmp_path / "config" / "sidekiq.yml", f":timeout: {value}\n", modified=STARTED + 60)
    assert seconds("sidekiq", tmp_path) == expected


def test_file_that_was_written_in_the_second_of_the_start_is_certain(tmp_path: Path) -> None:
    """supervisord's times are whole seconds."""
    write(tmp_path / "config" / "sidekiq.yml", ":timeout: 4\n", modified=STARTED + 1)
    assert seconds("sidekiq", tmp_path) == 4


def test_key_without_a_value_is_no_timeout(tmp_path: Path) -> None:
    write(tmp_path / "config" / "sidekiq.yml", ":timeout:\n:concurrency: 5\n")
    own = own_timeout("sidekiq", SidekiqStart(100, STARTED, "", str(tmp_path)))
    assert (own.seconds, own.what) == (25, "Sidekiq's default timeout")


def test_advice_names_the_file_to_change(tmp_path: Path) -> None:
    path = tmp_path / "config" / "sidekiq.yml"
    write(path, ":timeout: 60\n")
    own = own_timeout("sidekiq", SidekiqStart(100, STARTED, "", str(tmp_path)))
    (advice,) = advice_on(program_info("sidekiq", stopwaitsecs=40), own)
    assert f"the timeout in {path} of 60 s" in advice.text and advice.cuts_jobs
    assert advice.text.endswith(f"set stopwaitsecs = 65, or write :timeout: 35 into {path}")


def test_signal_at_which_sidekiq_drops_its_jobs_cuts_them() -> None:
    own = own_timeout("sidekiq", SidekiqStart())
    (advice,) = advice_on(program_info("sidekiq", stopsignal=3), own)
    assert "stopsignal=QUIT" in advice.text and advice.cuts_jobs and not advice.refuses
