"""The two sizes between which the memory of a worker lies, if its measure cannot be read. Pure.

The upper one is the RSS: it counts a page once for each process that shares it. The lower one is the
anonymous memory that is surely not counted twice:

- A process of a tree got some of its memory from its parent, at the fork. That was in the parent's memory
  then, so that it is at most the parent's peak.
- All other anonymous memory of a process is shared with its own children at most. So these parts of the
  processes of a tree have no page in common.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervisor_memkill.processes import Measure, MemorySize
from supervisor_memkill.world.linux_process import Resident


def bounds_of_one(size: Resident, descendants: int, measure: Measure, lost: str) -> MemorySize:
    """One process alone. PSS divides its memory at most among itself and its descendants."""
    least = size.anonymous // (1 + descendants)
    if measure == "uss" and descendants:
        least = 0
    most = _counted(size, measure)
    return MemorySize(most, min(least, most), lost)


def bounds_of_tree(
    sizes: Mapping[int, Resident], parents: Mapping[int, int], measure: Measure, lost: str
) -> MemorySize:
    """A process with its descendants, by pid. `parents` has the parent of each but the first process.

    USS counts no shared page at all, so that only processes without children count for its lower size.
    """
    most = sum(_counted(size, measure) for size in sizes.values())
    with_children = set(parents.values()) if measure == "uss" else set()
    least = sum(
        max(0, size.anonymous - _inherited(sizes.get(parents.get(pid, 0)), measure))
        for pid, size in sizes.items()
        if pid not in with_children
    )
    return MemorySize(most, min(least, most), lost)


def _counted(size: Resident, measure: Measure) -> int:
    return size.rss + (size.swap if measure.endswith("+swap") else 0)


def _inherited(parent: Resident | None, measure: Measure) -> int:
    """The most bytes that a child may have got from this parent; 0 for the first process of a tree."""
    if parent is None:
        return 0
    return parent.peak + (parent.swap if measure.endswith("+swap") else 0)
