"""The places of a drain where a listener may die: what it tells to `at` of drainer.Drainer."""

from __future__ import annotations

PLACES = (
    "asking.saved",
    "quieting.saved",
    "quieting.acted",
    "draining.saved",
    "stopping.saved",
    "stopping.acted",
    "starting.saved",
    "starting.acted",
    "settling.saved",
)
"""Every one that a drain passes which nobody disturbs."""
