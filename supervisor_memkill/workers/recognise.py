"""Recognise by command lines which framework's worker a process is, where nobody has named the kind."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.workers.command_line import has_worker_below
from supervisor_memkill.workers.registry import kinds, load_kind
from supervisor_memkill.workers.wrappers import unknown_wrapper

if TYPE_CHECKING:
    from supervisor_memkill.workers.contract import Kind
    from supervisor_memkill.world.memory import ProcessTable

AUTO = "auto"
"""The name of the kind that recognises others."""
Known = Mapping[str, "type[Kind]"]
"""The kinds that can be recognised, by name."""


@functools.cache
def known_kinds() -> Known:
    """All installed kinds but `auto`. A kind that cannot be loaded is left out."""
    found: dict[str, type[Kind]] = {}
    for name in kinds():
        with contextlib.suppress(MemkillError):
            if name != AUTO:
                found[name] = load_kind(name)
    return found


def kinds_of(pid: int, table: ProcessTable, known: Known) -> frozenset[str]:
    """The names of the kinds that this supervised process may be a worker of; empty if there is none.

    Of a wrapper that does not name its worker, such as a shell with a script, the processes below decide.
    """
    own = _matching(table.title(pid), known)
    if own or not (has_worker_below(table.title(pid)) or unknown_wrapper(pid, table)):
        return own
    try:
        below = table.tree(pid)[1:]
    except Unknown:
        return frozenset()
    return next((found for one in below if (found := _matching(table.title(one.pid), known))), frozenset())


def _matching(title: str, known: Known) -> frozenset[str]:
    return frozenset(name for name, kind in known.items() if title and _matches(kind, title))


def _matches(kind: type[Kind], title: str) -> bool:
    matches: Callable[[str], bool] | None = getattr(kind, "matches_command", None)
    return matches is not None and matches(title)


def framework_of(kind: type[Kind]) -> str:
    """The framework's name in messages."""
    return str(getattr(kind, "framework", kind.__name__))
