"""A worker as the policy sees it, and the settings of its pool."""

from __future__ import annotations

from typing import Any

from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.policy import Sighting, Terms
from tests.builders import info, reading

NOW = 100.0


def terms(**values: Any) -> Terms:
    defaults: dict[str, Any] = {
        "limit_bytes": 200,
        "hard_limit_bytes": 400,
        "strikes": 1,
        "min_uptime_seconds": 60.0,
        "settle_seconds": 10.0,
    }
    return Terms(**{**defaults, **values})


def sighting(**values: Any) -> Sighting:
    """A worker over its limit that nothing holds, unless `values` differ."""
    defaults: dict[str, Any] = {"process": info(), "memory_bytes": 300, "reading": reading(), "strikes": 1}
    return Sighting(**{**defaults, **values})


BASELINE = BackOffCause.BELOW_BASELINE
BACKS_OFF = BackOff(until=NOW + 1, seconds=600.0, cause=BASELINE)
SMALL: dict[str, Any] = {"memory_bytes": 100}
ASKED: dict[str, Any] = {**SMALL, "restart_requested": True}
