"""The public API for tests of kinds: the suite that every kind passes, and fakes. It needs pytest."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("supervisor_memkill.testing.contract_suite")

from supervisor_memkill.testing.contract_suite import ContractSuite, check_reading  # noqa: E402 - after the line above
from supervisor_memkill.testing.fakes import (  # noqa: E402
    STARTED,
    FakeProcesses,
    FakeRedis,
    Signals,
    process,
    program_info,
    read_one,
    tools,
)

__all__ = [
    "STARTED",
    "ContractSuite",
    "FakeProcesses",
    "FakeRedis",
    "Signals",
    "check_reading",
    "process",
    "program_info",
    "read_one",
    "tools",
]
