"""Checks of what stands beside the listener: rivals, and the memory of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from supervisor_memkill.commands.doctor.facts import Facts, PoolFacts
from supervisor_memkill.commands.doctor.finding import Fault, Finding, Severity
from supervisor_memkill.listener.rivals import Rival, RivalKind
from supervisor_memkill.units import format_size
from supervisor_memkill.world.machine import MemoryLimit

MEMORY_RIVAL = Fault(
    "rival-by-memory",
    Severity.WARNING,
    "another listener, such as memmon, restarts workers by their memory, too",
    "it stops a worker while jobs are running, and does not check that others are in service",
    "remove its [eventlistener:...] section, or give it other programs",
)
SECOND = Fault(
    "second-listener",
    Severity.ERROR,
    "this supervisord runs two listeners of this program",
    "one of them drains nothing, or both watch the same workers",
    "keep one [eventlistener:...] section with supervisor-memkill; numprocs = 2 in it is allowed",
)
HEALTH_RIVAL = Fault(
    "rival-by-health",
    Severity.WARNING,
    "another listener, such as httpok, may restart a worker of a pool",
    "it may stop a worker while jobs are running, such as a quiet worker that answers late",
    "give it programs that belong to no pool (-p in its command)",
)
LIMIT_ABOVE = Fault(
    "limit-above-memory",
    Severity.WARNING,
    "max_rss of a pool is not below the memory of the machine",
    "the kernel kills a process before a worker reaches its limit",
    "set a smaller max_rss, or a share of the memory such as max_rss = 40%",
)
SUM_ABOVE = Fault(
    "limits-above-memory",
    Severity.NOTE,
    "the limits of all workers together are above the memory of the machine",
    "if all of them grow at once, the kernel kills a process before the workers are drained",
    "set smaller limits, max_total_rss or min_free, or run fewer workers",
)
FAULTS = (MEMORY_RIVAL, SECOND, HEALTH_RIVAL, LIMIT_ABOVE, SUM_ABOVE)


def check_rivals(facts: Facts) -> Iterator[Finding]:
    names = {
        name
        for pool in facts.pools
        for one in pool.survey.findings
        for name in (one.worker, one.seen.process.group, one.seen.process.name)
    }
    for rival in facts.rivals:
        if rival.kind is RivalKind.MEMORY:
            yield MEMORY_RIVAL.found(f"it runs {rival.command}", rival.worker)
        elif rival.kind is RivalKind.SECOND:
            yield SECOND.found(f"it runs {rival.command}", rival.worker)
        elif _may_restart(rival, names):
            yield HEALTH_RIVAL.found(f"it runs {rival.command}", rival.worker)


def _may_restart(rival: Rival, names: set[str]) -> bool:
    """Its command names a worker or a group of a pool, or all processes."""
    words = set(re.split(r"[\s=,'\"]+", rival.command))
    return bool(words & (names | {"-a", "--any"}))


def check_limits(facts: Facts) -> Iterator[Finding]:
    memory = facts.memory
    if memory is None:
        return
    for pool in facts.pools:
        limit = pool.survey.terms.limit_bytes
        if limit is not None and limit >= memory.size_bytes:
            yield LIMIT_ABOVE.found(f"max_rss is {format_size(limit)}, and {_in_words(memory)}", _at(pool))
    total = sum(map(_most, facts.pools))
    if total > memory.size_bytes:
        workers = sum(len(pool.survey.findings) for pool in facts.pools)
        yield SUM_ABOVE.found(
            f"{workers} workers may grow to {format_size(total)} in all, and {_in_words(memory)}"
        )


def _most(pool: PoolFacts) -> int:
    """What the workers of a pool may have before the first one is drained, in bytes; 0: no limit is set."""
    terms = pool.survey.terms
    total = (terms.limit_bytes or 0) * len(pool.survey.findings)
    return total if terms.max_total_bytes is None else min(total, terms.max_total_bytes)


def _in_words(memory: MemoryLimit) -> str:
    where = "installed" if memory.file is None else f"allowed by {memory.file}"
    return f"{format_size(memory.size_bytes)} are {where}"


def _at(pool: PoolFacts) -> str:
    return f"[memkill:{pool.survey.pool.name}]"


CHECKS = (check_rivals, check_limits)
