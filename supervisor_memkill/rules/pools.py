"""The assignment of workers to pools."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from typing import Protocol

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import ProcessInfo

_WILDCARD = re.compile(r"\[[^\]]+\]|[*?]")

Specificity = tuple[int, int]
"""How specific a pattern is: the number of its literal characters, then the number of its wildcards as a
negative number. The greater value is more specific. The full name of a worker is the most specific."""


class NamedPool(Protocol):
    """What the assignment needs of a pool."""

    @property
    def name(self) -> str: ...

    @property
    def programs(self) -> tuple[str, ...]:
        """Patterns for ``group:name`` and ``group``."""
        ...


class OddityKind(enum.Enum):
    """What is odd in an assignment."""

    OVERLAP = "overlap"
    """Two pools match a worker equally well."""
    UNMATCHED = "unmatched"
    """A pool matches no worker."""


@dataclass(frozen=True)
class Oddity:
    """One thing that is odd in an assignment."""

    kind: OddityKind
    pool: str
    words: str
    """One sentence for an operator."""


_Matcher = Callable[[ProcessInfo], Specificity | None]


@dataclass(frozen=True)
class Overlap:
    """A worker that two pools name equally specifically."""

    worker: str
    pool: str
    """The pool that gets the worker: its section comes first."""
    other: str


@dataclass(frozen=True)
class Assignment:
    """The workers of every pool."""

    members: Mapping[str, Sequence[ProcessInfo]]
    """By the name of each pool; its workers in supervisord's order."""
    overlaps: tuple[Overlap, ...]
    unmatched: tuple[str, ...]
    """Pools whose patterns match no worker."""


def assign(
    processes: Sequence[ProcessInfo], pools: Sequence[NamedPool], excluded_groups: Collection[str]
) -> Assignment:
    """Assign every worker to a pool: the most specific pattern wins; in a tie the earlier section wins.

    Workers of `excluded_groups` (the listener's own group, event listeners) belong to no pool.
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


class Assignments:
    """Assigns the workers to the same pools again and again. Their names alone decide, and seldom change."""

    def __init__(self, pools: Sequence[NamedPool]) -> None:
        self._pools = pools
        self._names: list[str] = []
        self._excluded: frozenset[str] = frozenset()
        self._last = assign((), pools, ())
        """Without members: these would keep the processes of that look."""
        self._owners: list[str | None] = []
        """The pool of each name, in the order of the names."""

    def of(self, processes: Sequence[ProcessInfo], excluded_groups: Collection[str]) -> Assignment:
        """The assignment as `assign` gives it."""
        names, excluded = [one.worker for one in processes], frozenset(excluded_groups)
        if names != self._names or excluded != self._excluded:
            found = assign(processes, self._pools, excluded)
            owners = {one.worker: pool for pool, members in found.members.items() for one in members}
            self._names, self._excluded = names, excluded
            self._owners = [owners.get(name) for name in names]
            self._last = dataclasses.replace(found, members={})
            return found
        members: dict[str, list[ProcessInfo]] = {pool.name: [] for pool in self._pools}
        for process, owner in zip(processes, self._owners, strict=True):
            if owner is not None:
                members[owner].append(process)
        return dataclasses.replace(self._last, members=members)


def notes(
    assignment: Assignment, pools: Sequence[NamedPool], processes: Sequence[ProcessInfo]
) -> Iterator[Oddity]:
    """Each oddity of an assignment."""
    shared: dict[tuple[str, str], list[str]] = {}
    for overlap in assignment.overlaps:
        shared.setdefault((overlap.pool, overlap.other), []).append(overlap.worker)
    for (owner, other), workers in shared.items():
        more = f" and {len(workers) - 1} more" if len(workers) > 1 else ""
        words = (
            f"{workers[0]}{more}: [memkill:{owner}] and [memkill:{other}] match equally well;"
            f" {owner} has it, because its section comes first"
        )
        yield Oddity(OddityKind.OVERLAP, other, words)
    for pool in pools:
        if pool.name in assignment.unmatched:
            near = " or ".join(near_names(pool, processes))
            hint = f", did you mean {near}?" if near else ""
            words = f"[memkill:{pool.name}] programs = {' '.join(pool.programs)} matches no worker{hint}"
            yield Oddity(OddityKind.UNMATCHED, pool.name, words)


def near_names(pool: NamedPool, processes: Iterable[ProcessInfo]) -> tuple[str, ...]:
    """Groups and workers with names like the pool's patterns, the most similar first; at most three."""
    shown: dict[str, str] = {}
    for process in processes:
        # A process name without its group is a common mistake: it matches nothing, the full name does.
        shown.update({process.name: process.worker, process.worker: process.worker})
    shown.update({process.group: process.group for process in processes})
    import difflib

    near = [name for pattern in pool.programs for name in difflib.get_close_matches(pattern, shown, n=3)]
    return tuple(dict.fromkeys(shown[name] for name in near))[:3]


def _claims(process: ProcessInfo, matchers: Mapping[str, Sequence[_Matcher]]) -> dict[str, Specificity]:
    """The pools that match the process, each with its specificity, in the order of their sections."""
    claims = {}
    for pool, patterns in matchers.items():
        found = [specificity for match in patterns if (specificity := match(process)) is not None]
        if found:
            claims[pool] = max(found)
    return claims


def _matcher(pattern: str) -> _Matcher:
    """A function that gives the pattern's specificity for a process, None without a match.

    ``GROUP`` means ``GROUP:*``.
    """
    matches = re.compile(translate(pattern)).match
    as_name, as_group = _specificity(pattern), _specificity(f"{pattern}:*")

    def match(process: ProcessInfo) -> Specificity | None:
        if process.worker == pattern:
            return len(pattern), 0  # even if the name looks like a pattern
        if matches(process.group):
            return as_group
        return as_name if matches(process.worker) else None

    return match


def _specificity(pattern: str) -> Specificity:
    literals, wildcards = _WILDCARD.subn("", pattern)
    return len(literals), -wildcards
