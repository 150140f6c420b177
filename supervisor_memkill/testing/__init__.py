"""The public API for tests of kinds: the suite that every kind passes, and fakes. The suite needs pytest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from supervisor_memkill.testing.fakes import (
    STARTED,
    FakeProcesses,
    FakeRedis,
    Signals,
    process,
    program_info,
    read_one,
    tools,
)

if TYPE_CHECKING:
    from supervisor_memkill.testing.contract_suite import ContractSuite, check_reading

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


def __getattr__(name: str) -> Any:
    """Import the suite at first use: the fakes do without pytest."""
    if name not in ("ContractSuite", "check_reading"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if f"{__name__}.contract_suite" not in sys.modules:
        import pytest

        pytest.register_assert_rewrite(f"{__name__}.contract_suite")
    from supervisor_memkill.testing import contract_suite

    return getattr(contract_suite, name)
