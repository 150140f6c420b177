"""Which worker belongs to which pool."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Protocol

from supervisor_memkill.processes import ProcessInfo

_WILDCARD = re.compile(r"\[[^\]]+\]|[*?]")

Exactness = tuple[int, int]
"""How exactly a pattern names a worker: its literal characters, then how few its wildcards are (counted
below 0). The greater, the more exactly; the full name itself has all characters and no wildcard."""


class NamedPool(Protocol):
    """What is asked of a pool here."""

    @property
    def name(self) -> str: ...

    @property
    def programs(self) -> tuple[str, ...]:
        """Patterns for ``group:name`` and ``group``."""
        ...


_Matcher = Callable[[ProcessInfo], Exactness | None]


@dataclass(frozen=True)
class Overlap:
    """A worker that two pools name equally well."""

    worker: str
    pool: str
    """The one that it belongs to, whose section stands first."""
    other: str


@dataclass(frozen=True)
class Assignment:
    """The workers of every pool."""

    members: Mapping[str, Sequence[ProcessInfo]]
    """By the name of the pool; every pool is there, its workers in supervisord's order."""
    overlaps: tuple[Overlap, ...]
    unmatched: tuple[str, ...]
    """Pools whose patterns match no worker at all."""


def assign(
    processes: Sequence[ProcessInfo], pools: Sequence[NamedPool], excluded_groups: Collection[str]
) -> Assignment:
    """Give every worker to the pool that names it most exactly; a tie goes to the earlier section.

    Workers of `excluded_groups` (the listener's own, event listeners) belong to no pool.
    """
    matchers = {pool.name: [_matcher(pattern) for pattern in pool.programs] for pool in pools}
    members: dict[str, list[ProcessInfo]] = {pool.name: [] for pool in pools}
    overlaps: list[Overlap] = []
    matched: set[str] = set()
    for process in processes:
        claims = {} if process.group in excluded_groups else _claims(process, matchers)
        if not claims:
            continue
        matched.update(claims)
        owner = max(claims, key=claims.__getitem__)  # the first of equals
        members[owner].append(process)
        overlaps.extend(
            Overlap(process.worker, owner, other)
            for other in claims
            if other != owner and claims[other] == claims[owner]
        )
    unmatched = tuple(pool.name for pool in pools if pool.name not in matched)
    return Assignment(members, tuple(overlaps), unmatched)


def notes(
    assignment: Assignment, pools: Sequence[NamedPool], processes: Sequence[ProcessInfo]
) -> Iterator[str]:
    """What is odd about an assignment, a sentence each."""
    shared: dict[tuple[str, str], list[str]] = {}
    for overlap in assignment.overlaps:
        shared.setdefault((overlap.pool, overlap.other), []).append(overlap.worker)
    for (owner, other), workers in shared.items():
        more = f" and {len(workers) - 1} more" if len(workers) > 1 else ""
        yield (
            f"{workers[0]}{more}: named by [memkill:{owner}] and [memkill:{other}] alike;"
            f" {owner}, whose section stands first, has it"
        )
    for pool in pools:
        if pool.name in assignment.unmatched:
            near = " or ".join(near_names(pool, processes))
            hint = f", did you mean {near}?" if near else ""
            yield f"[memkill:{pool.name}] programs = {' '.join(pool.programs)} names no worker{hint}"


def near_names(pool: NamedPool, processes: Iterable[ProcessInfo]) -> tuple[str, ...]:
    """Groups and workers that the patterns of a pool without any may have meant, the nearest first."""
    shown: dict[str, str] = {}
    for process in processes:
        # a bare process name is a common slip: it matches nothing, its full name would
        shown.update({process.name: process.worker, process.worker: process.worker})
    shown.update({process.group: process.group for process in processes})
    near = [name for pattern in pool.programs for name in difflib.get_close_matches(pattern, shown, n=3)]
    return tuple(dict.fromkeys(shown[name] for name in near))[:3]


def _claims(process: ProcessInfo, matchers: Mapping[str, Sequence[_Matcher]]) -> dict[str, Exactness]:
    """The pools that name the process, each with how exactly, in the order of their sections."""
    claims = {}
    for pool, patterns in matchers.items():
        found = [exactness for match in patterns if (exactness := match(process)) is not None]
        if found:
            claims[pool] = max(found)
    return claims


def _matcher(pattern: str) -> _Matcher:
    """How exactly the pattern names a process, None where it does not; ``GROUP`` stands for ``GROUP:*``."""
    matches = re.compile(translate(pattern)).match
    as_name, as_group = _exactness(pattern), _exactness(f"{pattern}:*")

    def match(process: ProcessInfo) -> Exactness | None:
        if process.worker == pattern:
            return len(pattern), 0  # even where the name has the look of a pattern
        if matches(process.group):
            return as_group
        return as_name if matches(process.worker) else None

    return match


def _exactness(pattern: str) -> Exactness:
    literals, wildcards = _WILDCARD.subn("", pattern)
    return len(literals), -wildcards
