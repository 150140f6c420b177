"""Finding kinds: built-in kinds, kinds of other packages, and errors for missing kinds."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.workers.registry import BUILT_IN, ENTRY_POINT_GROUP, kinds, load_kind
from tests.harness import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]


def test_the_built_in_kinds_are_those_that_the_package_declares() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"][ENTRY_POINT_GROUP].strip().splitlines()
    assert dict(line.split(" = ") for line in lines) == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_kind_loads(name: str) -> None:
    kind = load_kind(name)
    assert kind.__name__.lower() == name.replace("_", "")
    assert name in kinds()


def test_the_error_for_an_unknown_kind_names_the_nearest_and_all_known_kinds() -> None:
    with pytest.raises(MemkillError, match=r"unknown kind, did you mean sidekiq\? \(known: plain, custom, "):
        load_kind("Sidekik")
    with pytest.raises(MemkillError, match=r"^unknown kind \(known: "):
        load_kind("zzz")


def _install(directory: Path, entry_points: str) -> None:
    """A package of somebody else's, as an installer would leave it."""
    information = directory / "other-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{entry_points}\n")
    (directory / "other.py").write_text(
        "from supervisor_memkill.workers.plain import Plain\nclass Other(Plain): pass\nclass Bare: pass\n"
    )
    (directory / "broken.py").write_text("raise RuntimeError('two\\nlines')\n")


def _run(directory: Path, code: str) -> str:
    """What the code prints where the package is installed."""
    ran = subprocess.run(
        [sys.executable, "-c", f"from supervisor_memkill.workers.registry import *\n{code}"],
        env={**os.environ, "PYTHONPATH": f"{directory}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_a_kind_of_another_package_is_known_and_loaded(tmp_path: Path) -> None:
    _install(tmp_path, "other = other:Other")
    assert _run(tmp_path, "print(kinds()[-1], load_kind('other').__name__)") == "other Other\n"


def test_no_other_package_replaces_a_built_in_kind(tmp_path: Path) -> None:
    _install(tmp_path, "plain = other:Other")
    assert _run(tmp_path, "print(load_kind('plain').__name__)") == "Plain\n"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("broken:Kind", "kind x (broken:Kind) cannot be loaded: RuntimeError('two\\nlines')"),
        ("missing:Kind", "kind x (missing:Kind) cannot be loaded: ModuleNotFoundError("),
        ("other:Missing", "kind x (other:Missing) cannot be loaded: AttributeError("),
        ("other:Bare", "kind x (other:Bare) is not a kind: it has no options, needs_redis"),
    ],
)
def test_a_kind_that_does_not_load_is_one_line(tmp_path: Path, target: str, expected: str) -> None:
    _install(tmp_path, f"x = {target}")
    code = "try: load_kind('x')\nexcept MemkillError as error: print(error)"
    printed = _run(tmp_path, code)
    assert printed.startswith(expected)
    assert printed.count("\n") == 1


def test_a_kind_that_two_packages_declare_is_refused(tmp_path: Path) -> None:
    _install(tmp_path, "x = other:Other")
    other = tmp_path / "another-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nx = another:Kind\n")
    assert "kind x is declared more than once: another:Kind, other:Other" in _run(tmp_path, "load_kind('x')")


def test_the_metadata_of_packages_is_not_read_for_a_built_in_kind(tmp_path: Path) -> None:
    assert (
        _run(tmp_path, "import sys; load_kind('plain'); print('importlib.metadata' in sys.modules)")
        == "False\n"
    )
