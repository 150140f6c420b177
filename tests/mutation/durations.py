"""A plugin of pytest that writes down how long each test took: ``-p tests.mutation.durations``."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

VARIABLE = "MEMKILL_DURATIONS"
"""The environment variable with the path of the file: JSON, seconds by the id of the test."""

_seconds: defaultdict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # the controller alone gets every report
        Path(os.environ[VARIABLE]).write_text(json.dumps(_seconds))
