"""A release: an sdist that can be tested, a wheel that can be used, extras that bring what they promise."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import missing
from tests.real_redis import RealRedis

ROOT = Path(__file__).parent.parent
FOR_THE_REPOSITORY_ALONE = (".ci/",)
"""Tracked by git and not in the sdist: it serves the machine that tests each change."""
NOT_OURS = {"build", "dist", "__pycache__", ".roots"}
IMPORTS: Mapping[str, tuple[str, ...]] = {
    "celery": ("kombu", "kombu.transport.redis", "kombu.transport.pyamqp", "kombu.pidbox"),
    "completion": ("argcomplete",),
    "notify": ("apprise",),
    "metrics": ("prometheus_client",),
}
"""What the code that needs an extra imports, by extra."""
ASK_BROKER = """
import sys
from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.broker import control_of
from supervisor_memkill.workers.celery.control import Broker

print(control_of({"broker": (sys.argv[1],)}, tools()).ask(["ping"], None, 0.1))
"""
IMPORT_ALL = f"""
import importlib, pkgutil, supervisor_memkill
for module in pkgutil.walk_packages(supervisor_memkill.__path__, "supervisor_memkill."):
    if not module.name.endswith(("__main__", ".contract_suite")):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in {[modules[0] for modules in IMPORTS.values()]}:
                raise
print(supervisor_memkill.__file__)
"""
"""Without what an extra brings. The contract suite is for the tests of others, who have pytest."""


@dataclass(frozen=True)
class Release:
    """An sdist and a wheel, with what their build printed."""

    sdist: Path
    wheel: Path
    output: str


def sources() -> Iterator[str]:
    """The paths of all files that belong to the project; in an unpacked sdist these are all that it has."""
    if (ROOT / ".git").exists():
        words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        found = [Path(name) for name in listed.split("\0") if name]
    else:
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file() or path.is_symlink()]
    for path in found:
        is_ours = not any(part in NOT_OURS or part.endswith(".egg-info") for part in path.parts)
        if is_ours and (ROOT / path).exists() and not path.parts[0].startswith(".venv"):
            yield str(path)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Built from a copy of the sources alone, so that nothing else can get in and nothing is left behind."""
    directory = tmp_path_factory.mktemp("release")
    source = directory / "source"
    for name in sources():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), cwd=source)
    (sdist,), (wheel,) = directory.glob("*.tar.gz"), directory.glob("*.whl")
    return Release(sdist, wheel, done)


def run(*words: str, cwd: Path) -> str:
    """What a command printed that must succeed."""
    done = subprocess.run(
        words,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def paths_below(name: str) -> list[str]:
    """The file itself, or for a link to a folder the files that are found through it."""
    path = ROOT / name
    if not path.is_dir():
        return [name]
    return [str(one.relative_to(ROOT)) for one in path.rglob("*") if one.is_file()]


def test_build_warns_of_nothing_that_will_stop_working(release: Release) -> None:
    assert "deprecat" not in release.output.lower(), release.output


def test_sdist_holds_every_file_of_the_project(release: Release) -> None:
    with tarfile.open(release.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    expected = {path for name in sources() for path in paths_below(name)}
    assert {path for path in expected - held if not path.startswith(FOR_THE_REPOSITORY_ALONE)} == set()


def test_tests_of_the_sdist_can_be_collected(release: Release, tmp_path: Path) -> None:
    """Every module of them is found and can be imported, with nothing of the repository in reach."""
    with tarfile.open(release.sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python lacks it
        archive.extractall(tmp_path)
    (unpacked,) = tmp_path.iterdir()
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", "--assert=plain"]  # rewriting takes longest
    collected = run(sys.executable, "-m", "pytest", *words, cwd=unpacked)
    modules = {line.partition("::")[0] for line in collected.splitlines() if "::" in line}
    assert modules == {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}


def test_metadata_is_what_a_package_index_accepts(release: Release) -> None:
    """With a README that it can show."""
    run(sys.executable, "-m", "twine", "check", "--strict", str(release.sdist), str(release.wheel), cwd=ROOT)


def test_wheel_holds_the_package_and_its_man_page_and_nothing_else(release: Release) -> None:
    with zipfile.ZipFile(release.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    (page,) = {name for name in names if ".data/" in name}
    assert page.endswith(".data/data/share/man/man1/supervisor-memkill.1")
    held = names - {page}
    ours = (name for name in sources() if name.startswith("supervisor_memkill/"))
    assert held == {path for name in ours for path in paths_below(name)}
    assert "supervisor_memkill/conf.d/sidekiq.conf" in held


# --- installed ------------------------------------------------------------------------------------------


def extras() -> list[str]:
    """Those that users install."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return [name for name in config["options.extras_require"] if name != "test"]


def install(directory: Path, wheel: Path, extra: str = "") -> Path:
    """Install the wheel with this extra into an empty virtual environment; its interpreter.

    It has not even a pip of its own: that one would bring setuptools along on Python 3.10 and 3.11.
    """
    run(sys.executable, "-m", "venv", "--without-pip", str(directory), cwd=ROOT)
    python = directory / "bin" / "python"
    package = f"{wheel}[{extra}]" if extra else str(wheel)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    words = [*pip, "install", "--no-compile", package]
    done = subprocess.run(words, env=without_paths(), capture_output=True, text=True, check=False)
    if done.returncode and "Retrying (" in done.stdout + done.stderr:
        missing("the package index is out of reach")
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def without_paths() -> dict[str, str]:
    """The environment, with nothing by which the repository's own package could be found."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def installed(python: Path, *words: str) -> str:
    """What this interpreter printed, run outside of the repository."""
    done = subprocess.run(
        [str(python), *words],
        cwd=python.parent,
        env=without_paths(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.real
def test_wheel_alone_brings_all_that_the_package_imports(release: Release, tmp_path: Path) -> None:
    python = install(tmp_path / "venv", release.wheel)
    assert installed(python, "-c", IMPORT_ALL).startswith(str(tmp_path))
    sample = installed(python, "-m", "supervisor_memkill", "--sample", "sidekiq")
    assert sample == (ROOT / "conf.d" / "sidekiq.conf").read_text()


@pytest.mark.real
@pytest.mark.parametrize("extra", extras())
def test_extra_brings_all_that_its_code_imports(
    release: Release, tmp_path: Path, redis_server: RealRedis, extra: str
) -> None:
    python = install(tmp_path / "venv", release.wheel, extra)
    for module in IMPORTS[extra]:
        installed(python, "-c", f"import {module}")
    if extra == "celery":
        assert installed(python, "-c", ASK_BROKER, redis_server.url).strip() == "{'ping': []}"
