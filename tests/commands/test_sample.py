"""The example configurations, as an installed user gets them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.command_line import assert_one_line, run
from tests.harness import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.stem: path for path in sorted((ROOT / "conf.d").glob("*.conf"))}


def test_without_a_name_the_names_are_listed(tmp_path: Path) -> None:
    done = run(tmp_path, "--sample")
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, list(EXAMPLES), "")
    assert "sidekiq" in EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_sample_is_the_file_in_conf_d(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, "--sample", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, EXAMPLES[name].read_text(), "")


@pytest.mark.parametrize("name", ["sidekik", "sidekiq.conf", "Sidekiq"])
def test_unknown_name_is_one_line_with_the_nearest_name(tmp_path: Path, name: str) -> None:
    assert_one_line(run(tmp_path, "--sample", name), 2, f"'{name}'", "did you mean sidekiq?")


def test_name_that_is_near_to_none_is_one_line_with_all_names(tmp_path: Path) -> None:
    assert_one_line(run(tmp_path, "--sample", "../../etc/passwd"), 2, ", ".join(EXAMPLES))


def test_wheel_holds_the_samples(tmp_path: Path) -> None:
    """Built from the sources, installed into an empty environment, and asked there."""
    source, wheels, target = tmp_path / "source", tmp_path / "wheels", tmp_path / "target"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    without_caches = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("supervisor_memkill", "conf.d", "docs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=without_caches)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "wheel", *options, "--wheel-dir", str(wheels), str(source)],
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    (wheel,) = wheels.glob("*.whl")
    venv.create(target, with_pip=False)
    python = str(target / "bin" / "python")
    subprocess.run(
        [*pip, "--python", python, "install", "--no-index", "--no-deps", str(wheel)],
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for name, path in EXAMPLES.items():
        words = [str(target / "bin" / "supervisor-memkill"), "--sample", name]
        printed = subprocess.run(
            words, cwd=tmp_path, env=clean, capture_output=True, text=True, check=True
        ).stdout
        assert printed == path.read_text()
