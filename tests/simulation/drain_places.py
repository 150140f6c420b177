"""The places of a drain at which a listener may die, and at which a fault or an operator may strike."""

from __future__ import annotations

DRAIN_STATES = ("quieting", "draining", "stopping", "starting", "settling")
PLACES = (
    *(f"{state}.{what}" for state in DRAIN_STATES for what in ("saved", "acted")),
    *(f"{act} before" for act in ("quiet", "stop", "start")),
)
