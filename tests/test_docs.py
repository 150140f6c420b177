"""The documentation says what is true: its options, states, commands and examples are held to the code."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from supervisor.options import ServerOptions

from supervisor_memkill import cli
from supervisor_memkill.commands import dry_run_report
from supervisor_memkill.config import inifile
from supervisor_memkill.config.load import load as load_config
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS, Config
from supervisor_memkill.rules.drain import OVER, TRANSITIONS, State
from supervisor_memkill.units import format_duration
from supervisor_memkill.workers.arq import Arq
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.contract import Option
from supervisor_memkill.workers.custom import Custom
from supervisor_memkill.workers.registry import BUILT_IN, load_kind
from tests.coordination.test_redis_failures import NEEDED

ROOT = Path(__file__).parent.parent
README = ROOT / "README.rst"
EXAMPLES = sorted((ROOT / "conf.d").glob("*.conf"))
SOURCES = "".join(path.read_text() for path in (ROOT / "supervisor_memkill").rglob("*.py"))


@pytest.fixture(scope="module")
def readme() -> nodes.document:
    return publish_doctree(README.read_text(), settings_overrides={"report_level": 2, "halt_level": 2})


def tables(readme: nodes.document) -> dict[str, list[list[str]]]:
    """Each table's rows without its head, by its title; cells as plain text."""
    found = {}
    for table in readme.findall(nodes.table):
        body = next(table.findall(nodes.tbody))
        rows = [
            [entry.astext().replace("\n", " ") for entry in row.findall(nodes.entry)]
            for row in body.findall(nodes.row)
        ]
        title = next(table.findall(nodes.title), None)
        found[title.astext() if title else ""] = rows
    return found


def blocks(path: Path) -> Iterator[str]:
    """The literal blocks."""
    for block in publish_doctree(path.read_text()).findall(nodes.literal_block):
        yield block.astext()


PAGES = ["README.rst", "CONTRIBUTING.rst", "CHANGELOG.rst", "docs/kinds.rst", "docs/promises.rst"]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_valid_restructured_text(name: str) -> None:
    publish_doctree((ROOT / name).read_text(), settings_overrides={"report_level": 2, "halt_level": 2})


def test_readme_gives_exactly_the_two_commands_first() -> None:
    first = list(itertools.islice(blocks(README), 2))
    assert first == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo:", makefile, re.MULTILINE)
    assert re.search(r"^test:", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_make_knows_what_a_page_tells_to_make(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (\w+)``|^ +make (\w+)$", (ROOT / name).read_text(), re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


def test_promises_are_those_of_the_simulation() -> None:
    """Each is judged there under its name; S3, S5 and L3 too."""
    page = publish_doctree((ROOT / "docs" / "promises.rst").read_text())
    named = {row[0] for row in tables(page)["The promises by name"]}
    judges = "".join(path.read_text() for path in (ROOT / "tests" / "simulation").glob("*.py"))
    assert named == set(re.findall(r"[\"(]([SL]\d)\b", judges))


def test_history_of_a_seed_is_played_as_the_page_says() -> None:
    (command,) = [block for block in blocks(ROOT / "docs" / "promises.rst") if "--seed" in block]
    program, *arguments = command.split()
    assert program == ".venv-test/bin/python"
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "every promise was kept"


def test_states_and_transitions_are_those_of_the_code(readme: nodes.document) -> None:
    rows = tables(readme)["States of a drain"]
    documented = {
        State(state): {State(word) for word in re.findall(r"\w+", leads_to)} for state, _, leads_to in rows
    }
    assert documented == {state: set(ends) for state, ends in TRANSITIONS.items()}
    assert all(not documented[state] for state in OVER)


@pytest.mark.parametrize(
    ("title", "options"),
    [
        ("[memkill], all optional", GLOBAL_KEYS),
        ("[memkill:NAME], a pool of workers that can stand in for each other", POOL_KEYS),
        ("Keys of worker = custom", Custom.options),
        ("Keys of worker = arq", Arq.options),
        ("Keys of worker = celery", Celery.options),
    ],
)
def test_options_and_defaults_are_those_of_the_code(
    readme: nodes.document, title: str, options: Mapping[str, Option]
) -> None:
    rows = {key: default for key, default, _ in tables(readme)[title]}
    assert rows.keys() == options.keys()
    for key, option in options.items():
        if rows[key] in SAID_IN_WORDS:
            assert option.default in (None, (), ""), key
        else:
            assert option.parse(rows[key]) == option.default, key


SAID_IN_WORDS = {
    "none",
    "required",
    "NAME",
    "this machine's name",
    "a file of its own per supervisord",
    "MEMKILL_REDIS, else none",
    "that of [memkill]",
    "rss; for celery, dramatiq, huey, taskiq pss",
}


def test_kinds_are_those_of_the_code(readme: nodes.document) -> None:
    text = README.read_text()
    assert all(f"**{kind}**" in text for kind in BUILT_IN)
    pool_keys = tables(readme)["[memkill:NAME], a pool of workers that can stand in for each other"]
    (row,) = [row for row in pool_keys if row[0] == "worker"]
    assert all(kind in row[2] for kind in BUILT_IN)


def test_log_events_are_those_of_the_code(readme: nodes.document) -> None:
    states = {f"drain.{state.value}" for state in State}
    needed = ("supervisord", "journal", "coordination")
    outages = {f"{name}.{word}" for name in needed for word in ("away", "back")}
    said = set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)?)"', SOURCES)) | states | outages
    said |= {"drain.quiet_failed", "drain.stop_failed"}  # made of the action's name
    rows = tables(readme)["Events worth an alert, or a thought"]
    named = {event for row in rows for event in row[0].split(", ")}
    (example,) = [block for block in blocks(README) if block.startswith("drain.quieting")]
    named |= {line.split()[0] for line in example.splitlines()}
    assert named <= said


def test_dry_run_example_has_the_columns_of_the_code() -> None:
    (example,) = [block for block in blocks(README) if block.startswith("POOL")]
    assert tuple(example.splitlines()[0].split()) == dry_run_report.HEADINGS


def test_commands_are_ones_that_the_program_takes() -> None:
    commands = [
        line.strip()
        for block in blocks(README)
        for line in block.splitlines()
        if line.strip().startswith("supervisor-memkill ")
    ]
    assert len(commands) >= 2
    for command in commands:
        cli._parser().parse_args(command.split()[1:])


def test_permissions_of_redis_are_those_that_were_tried() -> None:
    (line,) = [block for block in blocks(README) if block.startswith("ACL SETUSER")]
    assert set(re.findall(r"\+(\S+)", line)) == set(NEEDED)


def test_pauses_are_those_of_the_code() -> None:
    from supervisor_memkill.rules.policy import PAUSE_MOST_SECONDS, PAUSE_SECONDS

    assert format_duration(PAUSE_SECONDS) == "10m00s"
    assert format_duration(PAUSE_MOST_SECONDS) == "1d00h"
    assert "pause for 10 minutes, doubled each time, up to a day" in README.read_text().replace("\n", " ")


def load(path: Path) -> Config:
    return load_config(inifile.read_file(path), {}, "here", load_kind)


def supervisord_takes(path: Path, tmp_path: Path) -> None:
    """supervisord itself reads the file; directories that only an installed system has are replaced."""
    text = path.read_text().replace("/var/log/supervisor", str(tmp_path))
    included = tmp_path / "included.conf"
    included.write_text(text)
    main = tmp_path / "supervisord.conf"
    main.write_text(f"[supervisord]\nlogfile={tmp_path}/log\n[include]\nfiles={included}\n")
    options: Any = ServerOptions()
    options.configfile = str(main)
    options.process_config(do_usage=False)
    assert options.process_group_configs


def test_readme_configuration_is_read_by_both(tmp_path: Path) -> None:
    (example,) = [block for block in blocks(README) if "[eventlistener:memkill]" in block]
    path = tmp_path / "memkill.conf"
    path.write_text(example)
    (pool,) = load(path).pools
    assert (pool.name, pool.worker, str(pool.max_rss)) == ("sidekiq", "sidekiq", "2GB")
    supervisord_takes(path, tmp_path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.name))
def test_example_is_read_by_both(path: Path, tmp_path: Path) -> None:
    (pool,) = load(path).pools
    assert pool.max_rss is not None
    supervisord_takes(path, tmp_path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.name))
def test_commented_option_of_an_example_is_one_with_its_default(path: Path) -> None:
    """``; key = value   ; meaning`` can be uncommented as it stands, and changes nothing."""
    (pool,) = load(path).pools
    options = {**GLOBAL_KEYS, **POOL_KEYS, **load_kind(pool.worker).options}
    found = re.findall(r"^; (\w+) = *(.*?) *(?:;.*)?$", path.read_text(), re.MULTILINE)
    assert path.name in ("memkill.conf", "fleet.conf") or len(found) > 3
    for key, value in found:
        if key in ("environment", "autorestart", "quiet_command", "busy_command"):
            continue
        assert key in options, key
        if value:
            assert options[key].parse(value) == options[key].default, key


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.name))
def test_example_of_a_kind_shows_every_option_that_the_kind_can_use(path: Path) -> None:
    if path.name in ("memkill.conf", "fleet.conf"):
        keys: set[str] = set(GLOBAL_KEYS)
    else:
        (pool,) = load(path).pools
        keys = set(POOL_KEYS) | set(load_kind(pool.worker).options)
        keys -= NOT_FOR.get(pool.worker, set())
    shown = set(re.findall(r"^(?:; )?(\w+) *=", path.read_text(), re.MULTILINE))
    assert keys <= shown


NOT_FOR = {
    "plain": {"redis", "key_namespace", "protect_jobs", "drain_timeout", "on_timeout"},
    "custom": {"key_namespace", "protect_jobs"},
    "rq": {"protect_jobs", "on_timeout"},
    "arq": {"key_namespace", "protect_jobs", "on_timeout"},
    "dramatiq": {"redis", "key_namespace", "protect_jobs", "on_timeout"},
    "huey": {"redis", "key_namespace", "protect_jobs", "on_timeout"},
    "taskiq": {"redis", "key_namespace", "protect_jobs", "on_timeout"},
}


def test_documented_modules_exist() -> None:
    text = (ROOT / "CONTRIBUTING.rst").read_text()
    for name in re.findall(r"``(\w+\.py|\w+/)``", text):
        assert (ROOT / "supervisor_memkill" / name).exists(), name
