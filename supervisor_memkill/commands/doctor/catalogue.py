"""All faults that can be found, and all checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

from supervisor_memkill.commands.doctor import (
    configuration,
    listener,
    pools,
    redis,
    supervisord,
    surroundings,
)
from supervisor_memkill.commands.doctor.facts import Facts
from supervisor_memkill.commands.doctor.finding import Fault, Finding, Severity

Check = Callable[[Facts], Iterator[Finding]]

CHECK_FAILED = Fault(
    "check-failed",
    Severity.ERROR,
    "an error in supervisor-memkill: one check could not be made",
    "the result of this check is not known; the other checks were made",
    "report the finding to the authors of supervisor-memkill",
)
PARTS = {
    "The configuration": configuration,
    "supervisord": supervisord,
    "The listener": listener,
    "Pools and workers": pools,
    "Redis": redis,
    "Rivals and the machine": surroundings,
}
"""The modules with checks, in the order of the output, by the title of their part."""

FAULTS: Mapping[str, Fault] = {
    fault.name: fault for fault in (*(one for part in PARTS.values() for one in part.FAULTS), CHECK_FAILED)
}
"""By name."""
CHECKS: tuple[Check, ...] = tuple(check for part in PARTS.values() for check in part.CHECKS)

_ORDER = list(Severity)


def examine(facts: Facts, checks: Iterable[Check] = CHECKS) -> tuple[Finding, ...]:
    """All findings, the worst first. A check that fails is a finding, and stops no other."""
    found = [*facts.failed, *(finding for check in checks for finding in _safely(check, facts))]
    found = [dataclasses.replace(one, place=_place_of(one, facts.places)) for one in found]
    return tuple(sorted(dict.fromkeys(found), key=lambda one: _ORDER.index(one.severity)))


def _place_of(finding: Finding, places: Mapping[str, str]) -> str:
    """Of several workers the first one counts: mostly they are of one program."""
    return places.get(finding.at) or places.get(finding.at.partition(" and ")[0], "")


def _safely(check: Check, facts: Facts) -> list[Finding]:
    try:
        return list(check(facts))
    except Exception as error:  # noqa: BLE001 - what else is wrong must be shown
        return [failed(check.__name__, error)]


def failed(name: str, error: Exception) -> Finding:
    """The finding about a check, or a reading, that ended with an error."""
    return CHECK_FAILED.found(f"{name}: {type(error).__name__}: {error}")
