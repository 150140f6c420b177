"""A kind in another package: the worked example of docs/writing-a-kind.rst, installed as a user would."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.workers import GracefulStop, Kind, Reading
from supervisor_memkill.workers.contract import FindsOthers, MatchesCommands
from tests.conftest import StartSupervisord
from tests.harness import PATIENCE_SECONDS, PROGRAMS, require_program, wait_for
from tests.real_supervisord import program

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "memkill-faktory"
PAGE = ROOT / "docs" / "writing-a-kind.rst"
LIMIT_MEGABYTES = 80


@pytest.fixture(scope="module")
def page() -> nodes.document:
    return publish_doctree(PAGE.read_text(), settings_overrides={"report_level": 2, "halt_level": 2})


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the example as pip installs it, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source")
    for path in EXAMPLE.iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *options, str(source)], check=True, timeout=PATIENCE_SECONDS)
    return target


def environment(installed: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed)}


def test_the_page_shows_the_files_as_they_are(page: nodes.document) -> None:
    shown = [block.astext().strip() for block in page.findall(nodes.literal_block)]
    for name in ("setup.cfg", "memkill_faktory.py", "test_memkill_faktory.py"):
        assert (EXAMPLE / name).read_text().strip() in shown, name


def test_the_page_names_every_fact_every_member_of_the_contract_and_every_field_of_a_reading(
    page: nodes.document,
) -> None:
    facts, members, readings = [
        [next(row.findall(nodes.literal)).astext() for row in next(table.findall(nodes.tbody)).children]
        for table in page.findall(nodes.table)
    ]
    named = {*vars(Kind), *Kind.__annotations__, *vars(FindsOthers), *vars(MatchesCommands)}
    contract = {name for name in named if not name.startswith("_")}
    assert set(members) == contract
    assert facts == [field.name for field in fields(GracefulStop)]
    assert readings == [field.name for field in fields(Reading)]


def test_the_example_passes_its_own_tests_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "test_memkill_faktory.py"
    copy.write_bytes((EXAMPLE / copy.name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(copy)],
        env=environment(installed),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.real
def test_a_worker_of_the_installed_kind_is_drained(
    installed: Path, start_supervisord: StartSupervisord, tmp_path: Path
) -> None:
    """The worker is a stand-in that writes the title as faktory-worker does, only more often."""
    ruby = require_program("ruby")
    config = tmp_path / "memkill.conf"
    config.write_text(
        f"[memkill]\njournal = {tmp_path}/own/journal\npoll_interval = 200ms\n"
        f"[memkill:jobs]\nworker = faktory\nmax_rss = {LIMIT_MEGABYTES}MB\nmin_uptime = 0s\nsettle = 1s\n"
        "min_available = 0\n"
    )
    record = tmp_path / "record"
    worker = shlex.join([ruby, str(PROGRAMS / "titled_worker.rb"), str(record), str(2 * LIMIT_MEGABYTES)])
    listener = program(
        "memkill",
        f"{shlex.quote(sys.executable)} -m supervisor_memkill --config {config}",
        "eventlistener",
        events="TICK_5",
        environment=f'PYTHONPATH="{installed}"',
        stderr_logfile="%(here)s/memkill.log",
    )
    supervisord = start_supervisord(f"{program('jobs', worker, stopwaitsecs=60)}\n{listener}")
    before = supervisord.wait_for_state("jobs:jobs", ProcessState.RUNNING).pid

    def lines() -> Iterator[str]:
        return iter(record.read_text().splitlines() if record.exists() else [])

    wait_for(
        lambda: "drain.done" in supervisord.log("memkill.log"), message=lambda: supervisord.log("memkill.log")
    )
    assert supervisord.process("jobs:jobs").pid != before
    lines_written = list(lines())
    assert lines_written.index("finished") < lines_written.index("terminated"), lines_written
    assert lines_written.index("quiet") < lines_written.index("finished"), lines_written
