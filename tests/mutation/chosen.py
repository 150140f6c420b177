"""A plugin of pytest that runs the chosen tests alone, in their order, each within a limit of time."""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping
from types import FrameType

import pytest

LEAST_SECONDS = 30.0
TIMES_AS_LONG = 30.0
"""A test that takes so many times as long as it did, and longer than `LEAST_SECONDS`, hangs."""


class Hangs(BaseException):
    """No ``except Exception`` of the code under test takes it."""


class Chosen:
    """`seconds` has the chosen tests and how long each took; empty: all tests are run."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds
        self._place = {test: place for place, test in enumerate(seconds)}
        self.failed: str = ""
        """The id of the first test, or file, that failed."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._place:
            items[:] = [item for item in items if item.nodeid in self._place]
            items.sort(key=lambda item: self._place[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, bool | None, bool | None]:
        limit = max(LEAST_SECONDS, TIMES_AS_LONG * self._seconds.get(item.nodeid, LEAST_SECONDS))

        def end(signum: int, frame: FrameType | None) -> None:
            raise Hangs(item.nodeid)

        before = signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            return (yield)
        except Hangs:
            self.failed = self.failed or item.nodeid
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid
