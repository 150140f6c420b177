"""What ``suspects`` shows: each pool with its suspects, or why there is none, on any terminal."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from supervisor_memkill.commands.suspects_screen import screen
from supervisor_memkill.commands.suspects_values import Shown, as_json, shown
from supervisor_memkill.commands.terminal import Terminal, width
from supervisor_memkill.listener.interval_file import Intervals, paths_beside
from supervisor_memkill.notices.intervals import to_line
from tests.command_line import assert_one_line, run
from tests.commands.observed import Made
from tests.harness import short_directory

HOSTILE = "Evil\x1b[31m\r\nJob\u202e\u0007" * 3
LEAK = Made({"Report": 60.0}).observe()
NONE = Made().observe(2, "quiet")
EVIL = Made({HOSTILE: 60.0}, classes=(HOSTILE, "Mail", "Sync")).observe(3, "evil")
NOBODY = "http://127.0.0.1:9"
"""No supervisord listens there: the command reads a file."""
CONFIG = """
[memkill]
journal = {journal}
[memkill:jobs]
worker = plain
programs = jobs
max_rss = 1GB
[memkill:quiet]
worker = plain
programs = quiet
max_rss = 1GB
"""


def lines(made: Shown, columns: int | None = None) -> list[str]:
    return screen(made, Terminal(columns))


def test_suspect_stands_in_a_table_with_what_it_stands_on() -> None:
    first, heading, row, *basis = lines(shown(LEAK, ["jobs"]))
    assert first == "jobs: these job classes most likely make the memory grow"
    assert heading.split() == ["JOB", "CLASS", "PER", "MINUTE", "BETWEEN", "SHARE", "SURE"]
    name, figure, *_ = row.split()
    assert name == "Report" and figure.endswith("MB")
    assert "3 processes, 1h00m in all, 90 intervals; growth that stayed:" in " ".join(basis)


def test_without_a_suspect_it_says_so_and_what_ran() -> None:
    first, *others = lines(shown(NONE, ["quiet"]))
    assert first == "quiet: cannot tell: the memory of the workers does not grow"
    assert "RAN FOR" in others[0] and "Report" in "".join(others)


def test_configured_pool_without_observations_is_named() -> None:
    made = shown(LEAK, ["jobs", "other"]).with_notes(Path("x"), Intervals())
    assert "other: cannot tell yet" in " ".join(lines(made))
    assert "no running job of pool other is recorded" in made.notes[0]


def test_counted_runs_are_shown_for_each_run() -> None:
    made = lines(shown(Made({"Report": 60.0}, counts_runs=True).observe(), []))
    assert "PER RUN" in made[1] and "growth per run of a job" in " ".join(made)


@pytest.mark.parametrize("columns", [20, 30, 40, 60, 80, 200])
def test_no_line_is_longer_than_the_terminal_and_no_name_steers_it(columns: int) -> None:
    made = shown([*LEAK, *NONE, *EVIL], ["jobs", "other"]).with_notes(Path("/x"), Intervals((), 3))
    shown_lines = lines(made, columns)
    assert max(map(width, shown_lines)) <= columns, "\n".join(shown_lines)
    assert all(line.isprintable() for line in shown_lines)


def test_json_has_every_figure_and_is_ascii_whatever_the_names_are() -> None:
    text = as_json(shown([*LEAK, *EVIL], ["jobs"]))
    assert text.isascii() and "\x1b" not in text
    evil, jobs = json.loads(text)["pools"]
    assert (jobs["pool"], jobs["verdict"], jobs["unit"]) == ("jobs", "found", "minute")
    assert [one["job_class"] for one in jobs["suspects"]] == ["Report"]
    assert isinstance(jobs["suspects"][0]["bytes_per_unit"], int)
    assert evil["suspects"][0]["job_class"] == HOSTILE


# --- the command ------------------------------------------------------------------------------------------


def command(directory: Path, *arguments: str, junk: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run it where a listener recorded both pools."""
    journal = directory / "own" / "memkill.journal"
    journal.parent.mkdir(mode=0o700, exist_ok=True)
    paths_beside(journal).present.write_bytes(b"".join(map(to_line, [*LEAK, *NONE])) + junk)
    config = directory / "memkill.conf"
    config.write_text(CONFIG.format(journal=journal))
    return run(directory, "--config", str(config), "suspects", *arguments, "--serverurl", NOBODY)


def test_command_shows_all_pools_or_one() -> None:
    with short_directory() as directory:
        done = command(directory)
        assert done.returncode == 0 and "Report" in done.stdout and "quiet: cannot tell" in done.stdout
        done = command(directory, "quiet", "--json")
        assert [one["pool"] for one in json.loads(done.stdout)["pools"]] == ["quiet"]


def test_line_that_cannot_be_read_costs_itself_alone() -> None:
    with short_directory() as directory:
        done = command(directory, "jobs", junk=b'junk\n{"v":1,"at"')
    assert "Report" in done.stdout and "damaged lines, which do not count: 1" in done.stdout


def test_misspelt_pool_is_refused_in_one_line() -> None:
    with short_directory() as directory:
        done = command(directory, "jbos")
    assert_one_line(done, 1, "there is no pool 'jbos'; the pools are jobs, quiet")


def test_configuration_without_a_pool_is_named() -> None:
    with short_directory() as directory:
        config = directory / "memkill.conf"
        config.write_text(f"[memkill]\njournal = {directory}/memkill.journal\n")
        done = run(directory, "--config", str(config), "suspects", "--serverurl", NOBODY)
    assert_one_line(done, 2, f"no [memkill:NAME] section in {config}", "--config")


def test_thousands_of_intervals_take_a_few_seconds_at_most() -> None:
    """Two full files: the work must grow with their length, and no faster."""
    many = Made({"Report": 60.0}, processes=8, intervals=1500, lives=1500, misses=False).observe()
    (found,) = shown(many, []).pools
    assert [one.job_class for one in found.suspects] == ["Report"]
