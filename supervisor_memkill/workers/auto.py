"""``worker = auto``: the kind is recognised from the command lines of the pool's processes.

All of them must be of one kind, because they stand in for each other. Until the kind is known, and whenever
it is not certain, no worker is recognised, so that no drain begins. While a drain is under way the kind stays
the same: a note in the journal is that of one kind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from supervisor_memkill.errors import NotSent
from supervisor_memkill.workers.base import BaseKind
from supervisor_memkill.workers.command_line import beginning
from supervisor_memkill.workers.contract import (
    Advice,
    FindsOthers,
    LeftBehind,
    Note,
    Reading,
    Target,
    Tools,
    Traits,
    unknown,
    unrecognised,
)
from supervisor_memkill.workers.recognise import AUTO, Known, framework_of, kinds_of, known_kinds

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.workers.contract import Kind
    from supervisor_memkill.world.memory import ProcessTable

SET_KIND = f"set worker = NAME in place of worker = {AUTO}"
NO_KIND = "no kind is known by the command line {0!r}: " + SET_KIND
SEVERAL = "the command line {0!r} may be that of {1}: " + SET_KIND
MIXED = "the pool has workers of more than one kind ({0}): write a [memkill:NAME] section for each kind"
NO_REDIS = "these look like {0} workers, which need redis: set redis to the URL of the Redis of their jobs"
PROBLEM = "these look like {0} workers: {1}; set worker = {2} in place of worker = " + AUTO


class Auto(BaseKind):
    """Passes everything on to the kind that it recognised."""

    traits = Traits(quiets=True, confirms_quiet=True)
    """Of an unknown kind: a drain from the journal waits, because nothing confirms its quiet."""

    def __init__(self, values: Mapping[str, Any], tools: Tools, known: Known | None = None) -> None:
        """`known`: the kinds that can be recognised; None: all installed ones."""
        super().__init__(values, tools)
        self._known = known
        self._names: dict[str, str] = {}
        """By worker: the kind that it was last seen to be of."""
        self._name = ""
        """The pool's kind; empty: not known yet."""
        self._kind: Kind = BaseKind(values, tools)

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        known = known_kinds() if self._known is None else self._known
        found = {one.process.worker: kinds_of(one.process.pid, table, known) for one in targets}
        single = {worker: next(iter(names)) for worker, names in found.items() if len(names) == 1}
        self._names = {**(self._names if len(targets) == 1 else {}), **single}
        is_drained = any(target.note is not None for target in targets)
        if not (is_drained and self._name):
            why = self._why_not(known)
            if why:
                return {one.process.worker: unrecognised(why, one.note) for one in targets}
        readings = {
            one.process.worker: _unlike(one, found[one.process.worker], table)
            for one in targets
            if not self._name or (one.note is None and single.get(one.process.worker) != self._name)
        }
        rest = [one for one in targets if one.process.worker not in readings]
        return {**readings, **(self._kind.read(rest, table) if rest else {})}

    def _why_not(self, known: Known) -> str:
        """Choose the kind by the workers seen. Why the pool cannot have one; empty if it has, or may have."""
        names = sorted(set(self._names.values()))
        if len(names) > 1:
            first = {name: worker for worker, name in sorted(self._names.items(), reverse=True)}
            return MIXED.format(", ".join(f"{name}: {first[name]}" for name in names))
        if names and names[0] != self._name:
            (name,) = names
            why = self._problem(name, known[name])
            if why:
                return why
            self._name, self._kind = name, known[name](_defaults(known[name]), self.tools)
            self.traits = self._kind.traits
        return ""

    def _problem(self, name: str, kind: type[Kind]) -> str:
        """Why this kind does not work with the pool's settings; empty if it does."""
        if kind.needs_redis and not self.tools.has_redis:
            return NO_REDIS.format(framework_of(kind))
        redis = "redis://localhost" if self.tools.has_redis else None
        problems = kind.problems({**_defaults(kind), "redis": redis})
        return PROBLEM.format(framework_of(kind), problems[0], name) if problems else ""

    # --- what the recognised kind does; one that is not known yet does nothing ------------------

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        return self._kind.left_behind(supervised, table)

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        return self._kind.find_others(targets, table) if isinstance(self._kind, FindsOthers) else ""

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        if not self._name:
            raise NotSent("the kind of the worker is not known")
        return self._kind.quiet(target, table)

    def resume(self, target: Target, table: ProcessTable) -> None:
        self._kind.resume(target, table)

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        self._kind.before_stop(target, table)

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        return self._kind.memory_in_children(process, table)

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        return self._kind.advice(program, drain_timeout_seconds)


def _defaults(kind: type[Kind]) -> dict[str, Any]:
    return {key: option.default for key, option in kind.options.items()}


def _unlike(target: Target, names: Collection[str], table: ProcessTable) -> Reading:
    """The reading of a worker that is not surely of the pool's kind."""
    title = table.title(target.process.pid)
    if not title:
        return unknown("the command line of the process cannot be read", target.note)
    if names:
        return unrecognised(SEVERAL.format(beginning(title), " or ".join(sorted(names))), target.note)
    return unrecognised(NO_KIND.format(beginning(title)), target.note)
