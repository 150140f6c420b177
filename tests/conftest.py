"""Fixtures that start real programs and always clean up after themselves."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import journals
from tests.harness import short_directory, supervisor42_python
from tests.leaky_workers import LeakyWorkers
from tests.order import place_of, wait_for_room
from tests.real_redis import RealRedis
from tests.real_supervisord import RealSupervisord

hypothesis.settings.register_profile(  # machines are shared and noisy
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

os.environ.pop("COLUMNS", None)
"""A process of pytest-xdist has it, and the width of whoever began it would break the commands' lines."""

StartSupervisord = Callable[..., RealSupervisord]


REAL = "mark.real"
"""Stands in each file that has a real test."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only real tests are wanted, a file without any is not imported, once by each process."""
    is_without = collection_path.suffix == ".py" and REAL not in collection_path.read_text(encoding="utf-8")
    return True if is_without and config.option.markexpr == "real" else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    journals.remove_noted()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, the long ones begin first."""
    hidden = {
        str(item.path)
        for item in items
        if item.get_closest_marker("real") and REAL not in item.path.read_text(encoding="utf-8")
    }
    if hidden:
        raise pytest.UsageError(f"'pytest -m real' does not find these files: write {REAL} in {hidden}")
    if hasattr(config, "workerinput"):  # one of pytest-xdist's
        items.sort(key=lambda item: place_of(item.nodeid))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("real") and hasattr(item.config, "workerinput"):
        wait_for_room()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The summary has a line for each failure: where, and the first line of what. The logs stand above it."""
    report = yield
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = f"{Path(crash.path).name}:{crash.lineno}: {crash.message.partition(chr(10))[0][:300]}"
    return report


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for unix sockets."""
    with short_directory() as path:
        yield path


@pytest.fixture
def start_supervisord() -> Iterator[StartSupervisord]:
    """Starts supervisords of the tests' own interpreter; takes what RealSupervisord takes."""
    with contextlib.ExitStack() as cleanup:
        yield _starter(cleanup)


@pytest.fixture(params=["4.3", "4.2"])
def start_any_supervisord(request: pytest.FixtureRequest) -> Iterator[StartSupervisord]:
    """The same, once for every version of supervisor that is supported."""
    python = supervisor42_python() if request.param == "4.2" else sys.executable
    with contextlib.ExitStack() as cleanup:
        yield _starter(cleanup, python=python)


def _starter(cleanup: contextlib.ExitStack, **defaults: Any) -> StartSupervisord:
    def start(sections: str = "", **options: Any) -> RealSupervisord:
        directory = cleanup.enter_context(short_directory())
        supervisord = RealSupervisord(directory, sections, **{**defaults, **options})
        cleanup.callback(supervisord.stop, seconds=5)
        return supervisord.start()

    return start


@pytest.fixture
def redis_server(short_path: Path) -> Iterator[RealRedis]:
    """A running, empty Redis."""
    server = RealRedis(short_path)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def leaky_workers(tmp_path: Path) -> LeakyWorkers:
    """A fresh spool and record for leaky workers."""
    return LeakyWorkers(tmp_path)
