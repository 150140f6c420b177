"""Every command that the documentation shows is one that its program takes."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from supervisor.supervisorctl import DefaultControllerPlugin

from supervisor_memkill.commands import dry_run_report, parsing, proposals, sample
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.testing.fakes import STARTED, FakeProcesses
from supervisor_memkill.workers.recognise import known_kinds
from tests.commands.dry_runs import report_on
from tests.coordination.refusals import NEEDED
from tests.docs.pages import DOCS, PAGES, README, ROOT, blocks, name_of
from tests.listener_world import LIMIT, World
from tests.real_redis import RealRedis

GB = 1024**3

INSTALLING = (
    "python3 -m venv /opt/supervisor-memkill",
    "/opt/supervisor-memkill/bin/pip install supervisor-memkill",
    "ln -s /opt/supervisor-memkill/bin/supervisor-memkill /usr/local/bin/",
)
"""tests/test_packaging.py installs the package; these are its words for a system's own directories."""
OTHER_BLOCKS = re.compile(
    r"\[|WHEN |eval |\{|#!|scrape_configs:|server \{|FROM |environment = |POOL |WORKER |listener alive "
    r"|\w+ on all hosts: |asking -->|sidekiq: these job classes "
    r"|[\d:, -]+ (INFO )?drain\."
    r"|import collections|trap\(|memray |ruby -rjson|namespace :|- name: "
)
"""Configuration, output, a diagram and lines of the log begin like this: other tests compare them."""
FOR_PROGRAMMERS = ("writing-a-kind.rst", "CONTRIBUTING.rst")


def commands(path: Path) -> list[str]:
    """The commands in the literal blocks of a page, and in its text between double backquotes."""
    lines = [
        line.strip()
        for block in blocks(path)
        if not OTHER_BLOCKS.match(block)
        for line in block.splitlines()
        if line.strip()
    ]
    programs = r"supervisor-memkill|supervisorctl|make|redis-cli|pip install"
    inline = re.findall(rf"``((?:{programs}) [^`]+)``", path.read_text())
    return [*lines, *inline]


def test_readme_gives_exactly_the_two_commands_first() -> None:
    first = list(itertools.islice(blocks(README), 2))
    assert first == ["make demo", "make test"]


@pytest.mark.parametrize("path", [path for path in PAGES if path.name not in FOR_PROGRAMMERS], ids=name_of)
def test_command_is_one_that_its_program_takes(path: Path) -> None:
    for command in commands(path):
        check(command)


@pytest.mark.parametrize("name", FOR_PROGRAMMERS)
def test_make_knows_what_a_page_for_programmers_names(name: str) -> None:
    (path,) = [path for path in PAGES if path.name == name]
    for command in commands(path):
        if command.startswith("make "):
            check(command)


def check(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "supervisor-memkill":
        chosen, parsed = parsing.parse(arguments, {})
        if chosen is sample.COMMAND and parsed.sample:
            assert parsed.sample in sample.read_samples()
    elif program == "supervisorctl":
        assert hasattr(DefaultControllerPlugin, f"do_{arguments[0]}"), command
        assert arguments[1:] in ([], ["memkill"]), command
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE), command
    elif command.startswith(("ACL SETUSER ", "redis-cli XREVRANGE ", ".venv-test/bin/python -m tests.")):
        pass  # run by the tests below
    elif program == "pip":
        assert re.fullmatch(
            r"pip install (\.|'(\.|supervisor-memkill)\[(celery|completion|notify|metrics)\]')", command
        ), command
    else:
        assert command in INSTALLING, command


def test_history_of_a_seed_is_played_as_the_page_says() -> None:
    (command,) = [block for block in blocks(DOCS / "promises.rst") if "--seed" in block]
    program, *arguments = command.split()
    assert program == ".venv-test/bin/python"
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "every promise was kept"


def test_permissions_of_redis_are_those_that_were_tried() -> None:
    (line,) = [block for block in blocks(DOCS / "fleet.rst") if block.startswith("ACL SETUSER")]
    assert set(re.findall(r"\+(\S+)", line)) == set(NEEDED)


@pytest.mark.real
def test_redis_takes_what_the_page_says(redis_server: RealRedis) -> None:
    """The permissions as they stand there, and the command that reads the stream."""
    given = [shlex.split(block) for block in blocks(DOCS / "fleet.rst")]
    (permissions,) = [words for words in given if words[0] == "ACL"]
    (reading,) = [words[1:] for words in given if words[0] == "redis-cli"]
    with redis_server.client() as client:
        assert client.execute_command(*permissions)
        client.xadd("memkill:{POOL}:events", {"event": "drain.done"})
        assert len(client.execute_command(*reading)) == 1


def test_dry_run_example_is_what_the_command_prints() -> None:
    """For three workers with the memory that it shows: the same table, with the same verdicts."""
    (example,) = [block for block in blocks(DOCS / "getting-started.rst") if block.startswith("POOL")]
    world = World(["sidekiq_0", "sidekiq_1", "sidekiq_2"])
    figures = [(12274, 2.4, 3), (12275, 2.1, 5), (12276, 1.2, 1)]
    for worker, (_, gigabytes, _) in zip(world.workers.values(), figures, strict=True):
        worker.memory = int(gigabytes / 2 * LIMIT)
    rows = [
        replace(row, pool="sidekiq", pid=pid, memory_bytes=int(gigabytes * GB), limit_bytes=2 * GB, busy=busy)
        for row, (pid, gigabytes, busy) in zip(report_on(world).rows, figures, strict=True)
    ]
    shown = dry_run_report.as_table(dry_run_report.Report(tuple(rows), notes=()))
    assert re.sub(r"jobs:|sidekiq:", "", shown).split() == re.sub(r"sidekiq:", "", example).split()


def test_example_of_the_first_screen_is_what_the_command_prints() -> None:
    """The memory that it shows leads to the section that it shows."""
    (example,) = [block for block in blocks(DOCS / "getting-started.rst") if block.startswith("WORKER")]
    (written,) = [
        block for block in blocks(DOCS / "getting-started.rst") if block.startswith("[memkill:queue]")
    ]
    figures = {"queue:queue_0": (12274, 182.4), "queue:queue_1": (12275, 175.2), "web:web": (12280, 60.0)}
    everything = [
        ProcessInfo(
            worker.partition(":")[0],
            worker.partition(":")[2],
            ProcessState.RUNNING,
            pid,
            STARTED,
            stop=0,
            now=STARTED + 9,
        )
        for worker, (pid, _) in figures.items()
    ]
    titles = {pid: "php artisan queue:work" if pid < 12280 else "nginx" for pid, _ in figures.values()}
    sizes = {worker: int(megabytes * GB / 1024) for worker, (_, megabytes) in figures.items()}
    known = known_kinds()
    table = FakeProcesses(titles).table
    seen = proposals.look(everything, table, known, lambda _, process: sizes[process.worker])
    proposed = proposals.propose(seen, everything, known)
    row = report_on(World(["one"])).rows[0]
    rows = [
        replace(row, worker=worker, pid=pid, memory_bytes=sizes[worker])
        for worker, (pid, _) in figures.items()
    ]
    report = dry_run_report.Report(tuple(rows), (), proposals=tuple(proposed))
    assert dry_run_report.as_table(report).startswith(f"{example}\n")
    assert [one.section for one in proposed] == [f"{written}\n"]


def test_exit_statuses_are_those_of_the_help() -> None:
    text = " ".join((DOCS / "getting-started.rst").read_text().split())
    assert "0 for success, 1 for failure" in text
    assert "2 for a usage or configuration error" in text
    assert "0 success, 1 failure, 2 usage or configuration error" in parsing.parser_of().format_help()
