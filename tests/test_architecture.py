"""What may import what."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisor_memkill

CORE = (
    "rules.drain",
    "rules.step",
    "rules.decision",
    "rules.from_the_stop",
    "rules.policy",
    "coordination.rules",
    "coordination.in_process",
)


PACKAGE = Path(supervisor_memkill.__file__).parent
GROUND = "ground"
"""The modules at the root of the package that have no folder: errors, clock, units and the like."""
MAY_IMPORT: dict[str, set[str]] = {
    GROUND: set(),
    "world": {GROUND},
    "workers": {GROUND, "world"},
    "coordination": {GROUND, "world"},
    "rules": {GROUND, "workers", "coordination"},
    "config": {GROUND, "world", "workers", "rules", "notices"},
    "notices": {GROUND, "world", "coordination", "rules"},
    "listener": {GROUND, "world", "workers", "coordination", "rules", "config", "notices"},
    "testing": {GROUND, "world", "workers"},
    "demo": {GROUND, "world", "coordination", "rules", "config"},
    "commands": {
        GROUND,
        "world",
        "workers",
        "coordination",
        "config",
        "rules",
        "notices",
        "listener",
        "demo",
    },
    "cli": {GROUND, "commands"},
    "__main__": {"cli"},
}
"""Each folder, and cli.py, with the folders that it may import."""
CONTRACTS = {"supervisor_memkill.workers.contract", "supervisor_memkill.coordination.contract"}
MAX_FLOORS = 10
LISTENER = (
    "supervisor_memkill.cli",
    "supervisor_memkill.listener.serve",
    "supervisor_memkill.commands.context",
)
"""What the process of a listener loads at its start."""


def imports() -> Iterator[tuple[str, str, str]]:
    """Each import of ours: the folder that imports, the folder and the module that it imports."""
    for path in PACKAGE.rglob("*.py"):
        importer = folder(path.relative_to(PACKAGE).with_suffix("").parts)
        for module in imported(ast.parse(path.read_text())):
            parts = module.split(".")[1:]
            if parts and folder(tuple(parts)) != importer:
                yield importer, folder(tuple(parts)), module


def folder(parts: tuple[str, ...]) -> str:
    return parts[0] if (PACKAGE / parts[0]).is_dir() or parts[0] in ("cli", "__main__") else GROUND


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "supervisor_memkill":
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("supervisor_memkill."):
            yield node.module or ""


def test_each_folder_imports_the_folders_of_the_table_and_no_other() -> None:
    found: dict[str, set[str]] = {name: set() for name in MAY_IMPORT}
    for importer, used, _ in imports():
        found[importer].add(used)
    assert found == MAY_IMPORT


def test_rules_know_the_other_folders_by_their_contracts_alone() -> None:
    others = {module for importer, used, module in imports() if importer == "rules" and used != GROUND}
    assert others <= CONTRACTS


def test_folders_stand_on_floors_without_a_circle() -> None:
    """Raises CycleError where two folders need each other."""
    sorter = graphlib.TopologicalSorter(MAY_IMPORT)
    sorter.prepare()
    floors = 0
    while sorter.is_active():
        floors += 1
        sorter.done(*sorter.get_ready())
    assert floors <= MAX_FLOORS


def loaded_with(*modules: str) -> set[str]:
    """The names of all modules that a Python has loaded once it imported these."""
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", CORE)
def test_core_imports_nothing_that_reaches_the_world(module: str) -> None:
    world = {"psutil", "redis", "xmlrpc", "http", "socket", "subprocess"}
    assert world & loaded_with(f"supervisor_memkill.{module}") == set()


def test_listener_loads_redis_and_the_demo_only_where_they_are_used() -> None:
    loaded = loaded_with(*LISTENER)
    assert {name for name in loaded if name.partition(".")[0] in ("redis", "supervisor")} == set()
    assert {name for name in loaded if "memkill.demo" in name} == set()


def test_listener_loads_what_is_for_suspects_only_where_jobs_are_named_and_never_calculates() -> None:
    loaded = loaded_with(*LISTENER, "supervisor_memkill.notices.history")
    words = ("suspects_", "least_squares", "interval", "job_watch")
    assert {name for name in loaded if any(word in name for word in words)} == set()
