"""The API for authors of kinds: light to import, enough for a kind, and a small kind stays small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import supervisor_memkill.testing
import supervisor_memkill.workers
from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing import ContractSuite, FakeProcesses, process, program_info, read_one, tools
from supervisor_memkill.workers import Target
from tests.workers.small_kind import Honeybee

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "memkill-faktory"
SMALL_KIND = Path(__file__).with_name("small_kind.py")
API = {"supervisor_memkill.workers", "supervisor_memkill.testing"}
GOOD = replace(program_info("honeybee work --pool process", stopwaitsecs=60), stopasgroup=False)


def imported_from_us(path: Path) -> set[str]:
    """The modules of this project that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.partition(".")[0] == "supervisor_memkill"}


def code_lines(path: Path) -> set[int]:
    """The lines of a file that hold code: no blank lines, no comments, no docstrings."""
    text = path.read_text()
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = {
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    }
    return lines - docstrings


@pytest.mark.parametrize("path", [*EXAMPLE.glob("*.py"), SMALL_KIND], ids=lambda path: str(path.name))
def test_a_kind_of_another_package_imports_only_the_api(path: Path) -> None:
    assert imported_from_us(path) <= API


@pytest.mark.parametrize("module", [supervisor_memkill.workers, supervisor_memkill.testing])
def test_every_name_of_the_api_exists_and_has_a_docstring(module: Any) -> None:
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        if name not in ("Note", "STARTED"):  # values, whose docstring is a text below them
            assert getattr(module, name).__doc__, name


def test_a_name_that_the_api_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = supervisor_memkill.workers.nothing


def test_importing_the_api_loads_nothing_heavy() -> None:
    heavy = {"psutil", "redis", "celery", "kombu", "xmlrpc", "http", "socket", "subprocess"}
    program = f"import sys, supervisor_memkill.workers; print(*{heavy!r} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_a_small_kind_costs_about_forty_lines() -> None:
    assert len(code_lines(SMALL_KIND)) <= 40


class TestSmallKind(ContractSuite):
    kind = Honeybee
    title = "python /srv/bin/honeybee work"


def test_a_small_kind_recognises_its_worker_alone() -> None:
    kind = Honeybee({}, tools())
    for title, is_known in (
        ("honeybee work", True),
        ("honeybee schedule", False),
        ("sh -c honeybee work", False),
    ):
        reading = read_one(kind, Target(process()), FakeProcesses({100: title}).table)
        assert reading.recognised is is_known, title


def advice(**changes: Any) -> Iterator[tuple[str, bool]]:
    program: ProgramInfo = replace(GOOD, **changes)
    return ((one.text, one.refuses) for one in Honeybee({}, tools()).advice(program, 30.0))


@pytest.mark.parametrize(
    ("changes", "text", "is_refused"),
    [
        ({"stopsignal": 2}, "stopsignal=INT must be TERM: at any other signal Honeybee drops", True),
        ({"command": "honeybee work -t20"}, "--stop-timeout=20 is below drain_timeout=30s", True),
        ({"stopwaitsecs": 34}, "must be above --stop-timeout and --flush-timeout together of 35 s", False),
        ({"stopasgroup": True}, "remove stopasgroup=true: child processes drop their jobs", True),
        ({"killasgroup": False}, "killasgroup=false should be true", False),
        ({"command": "sh -c 'honeybee work; true'"}, "a shell without exec", True),
        (
            {"command": "honeybee work", "stopasgroup": True},
            "processes that running jobs have started",
            False,
        ),
    ],
)
def test_the_facts_of_a_small_kind_become_advice(
    changes: dict[str, Any], text: str, is_refused: bool
) -> None:
    ((found, refuses),) = advice(**changes)
    assert text in found and refuses is is_refused


def test_good_settings_of_a_small_kind_need_no_advice() -> None:
    assert list(advice()) == []
