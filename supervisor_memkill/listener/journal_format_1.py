"""The journal's format 1, which no release wrote.

There a drain has the fields of its stop, and a back-off has a sentence as its cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor_memkill.checked import text
from supervisor_memkill.rules.back_off import BackOffCause

_CAUSES = {
    "its limit is below its baseline": BackOffCause.BELOW_BASELINE.value,
    "its last drain was given up": BackOffCause.AFTER_RESUME.value,
    "it could not be told to take no more jobs": BackOffCause.NOT_BEGUN.value,
}
_STOP = "stop_"


def as_format_2(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body in format 2. Raises KeyError, TypeError, AttributeError and ValueError for wrong values."""
    return {
        **body,
        "drains": [_drain(values) for values in body["drains"]],
        "back_offs": {worker: _back_off(*one) for worker, one in body["pauses"].items()},
        "pauses": {},
    }


def _drain(values: Mapping[str, Any]) -> dict[str, Any]:
    stop = {name.removeprefix(_STOP): value for name, value in values.items() if name.startswith(_STOP)}
    return {**values, "stop": stop}


def _back_off(
    until: Any, seconds: Any, why: Any = "its limit is below its baseline", limit_bytes: Any = 0
) -> dict[str, Any]:
    return {"until": until, "seconds": seconds, "cause": _CAUSES[text(why)], "limit_bytes": limit_bytes}
