"""Later suites of Debian for the tests: a machine that does not allow them is named, not hidden."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import words_for_root

SCRIPT = Path(__file__).parents[1] / "scripts" / "make-test-roots"
ALLOWED = ("sh", "id", "cat", "mkdir", "rm")
"""What the script uses before it looks for debootstrap, which is left out."""


def test_a_machine_without_the_means_prints_what_is_not_tested(tmp_path: Path) -> None:
    """And the build goes on."""
    programs, roots = tmp_path / "bin", tmp_path / "roots"
    programs.mkdir()
    for name in ALLOWED:
        (programs / name).symlink_to(str(shutil.which(name)))
    environment = {"PATH": str(programs), "MEMKILL_TEST_ROOTS": str(roots), "CI": "true"}
    done = subprocess.run([str(SCRIPT)], env=environment, capture_output=True, text=True, check=True)
    reason = (roots / "why-not").read_text().strip()
    assert reason
    assert f"make-test-roots: {reason}; NOT TESTED: Laravel 10 and 13" in done.stderr
    with pytest.raises(pytest.skip.Exception, match="Debian sid: ") as skipped:
        words_for_root("sid", roots)
    assert reason in str(skipped.value)


def test_a_folder_that_nobody_made_fails_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="run make test-roots"):
        words_for_root("sid", tmp_path)


def test_a_folder_that_is_not_finished_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sid").mkdir()
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="run make test-roots"):
        words_for_root("sid", tmp_path)
    (tmp_path / "sid" / ".made-from").touch()
    assert words_for_root("sid", tmp_path)[-1] == str(tmp_path / "sid")
