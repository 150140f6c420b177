"""The notes below the table of a dry run: what the operator should know or change, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supervisor_memkill.commands.found_listener import FoundListener
from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.findings import PoolSurvey
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import format_duration
from supervisor_memkill.workers.contract import Advice

SHOWN = 3
"""Drains that one note names; a further one is counted."""


@dataclass(frozen=True)
class FirstWait:
    """How long the first drain waits in a pool that has no data in Redis."""

    new_seconds: float
    """In a pool that is new to the listener as well."""
    lost_seconds: float
    """In a pool that the listener saw before."""


def of_coordination(
    survey: PoolSurvey, coordinator: Coordinator, contents: Contents, first_wait: FirstWait | None
) -> Iterator[str]:
    """What the operator should know of the other listeners. Raises CoordinationUnknown."""
    if first_wait is None:
        return
    pool, view = survey.pool, coordinator.view(survey.pool.name)
    where = f"[memkill:{pool.name}]"
    if view.is_new:
        is_known = contents.epochs is None or pool.name in contents.epochs
        seconds = first_wait.lost_seconds if is_known else first_wait.new_seconds
        why = "Redis has lost the data of this pool" if is_known else "the pool is new in Redis"
        yield (
            f"{where} {why}: after its start, the listener waits {format_duration(seconds)} until all other"
            " listeners have reported, and only then begins a drain; PEERS counts only the workers that this"
            " supervisord runs"
        )
    if silent := {worker.rpartition("/")[0] for worker in view.silent} - {coordinator.name}:
        yield f"{where} PEERS does not count the workers of silent listeners: {', '.join(sorted(silent))}"
    for live in view.rules:
        former = (live.min_available, live.max_draining)
        if live.listener == coordinator.name and former != (
            pool.rules.min_available,
            pool.rules.max_draining,
        ):
            yield (
                f"{where} this table is made with min_available = {pool.rules.min_available} and"
                f" max_draining = {pool.rules.max_draining}, but the running listener has {former[0]} and"
                f" {former[1]}: restart it to change its settings"
            )


def of_listener(listener: FoundListener, contents: Contents, now: float) -> Iterator[str]:
    """Who drives the drains that are under way, and with which configuration; `now` is on the boot clock."""
    drains = [one for one in contents.drains.values() if one.state is not State.ASKING]
    begun = ", ".join(f"{one.worker} ({one.state.value}, {_for(now - one.since)})" for one in drains[:SHOWN])
    begun += f" and {len(drains) - SHOWN} more" if drains[SHOWN:] else ""
    if listener.is_hidden:
        yield listener.problem
    elif listener.state is not None and listener.is_alive:
        named = f"the listener {listener.name or 'of this supervisord'} (pid {listener.state.pid})"
        if listener.state.dry_run:
            yield f"{named} is a dry run: it drains nothing"
        elif drains:
            yield f"{named} drives the drain of {begun}"
        if listener.changes:
            yield (
                f"this table is made with the configuration on disk, and {named} works with an older one:"
                f" {'; '.join(listener.changes)}; to put it in force: {listener.restart_words}"
            )
    elif listener.is_unreadable and not listener.is_dead:
        yield f"who drives a drain is not known: {listener.problem}"
    elif listener.is_dead and (drains or listener.process is not None or listener.state is not None):
        left = f", and nobody drives the drain of {begun}" if drains else ""
        yield f"no listener works ({listener.why_dead}){left}; {listener.start_words}"


def of_outages(listener: FoundListener, others: Sequence[str], now: float) -> Iterator[str]:
    """What the running listener does not reach; `others`: the notes that are there, which may have it."""
    if listener.state is None or not listener.is_alive:
        return
    for what, outage in listener.state.away.items():
        if not any(outage.error in note for note in others):
            yield (
                f"{what} has not answered the running listener {_for(now - outage.since)}, and no drain"
                f" begins: {outage.error}"
            )


def _for(seconds: float) -> str:
    return f"for {format_duration(max(0, round(seconds)))}"


def of_young_workers(survey: PoolSurvey) -> Iterator[str]:
    """Workers that soon count as in service, and not yet."""
    young = [
        one.worker
        for one in survey.findings
        if one.seen.process.state is ProcessState.RUNNING
        and one.seen.process.uptime_seconds < survey.terms.settle_seconds
    ]
    if young:
        others = f" and {len(young) - 1} more" if young[1:] else ""
        yield (
            f"[memkill:{survey.pool.name}] PEERS does not count {young[0]}{others} yet:"
            f" up for less than settle ({format_duration(survey.terms.settle_seconds)})"
        )


def hints(survey: PoolSurvey) -> list[str]:
    """Each hint once, with the workers that it is for."""
    workers: dict[str, list[str]] = {}
    for worker, advice in survey.hints():
        workers.setdefault(_words(advice), []).append(worker)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {words}"
        for words, names in workers.items()
    ]


def _words(advice: Advice) -> str:
    if advice.refuses:
        return f"{advice.text} (not drained until this is changed)"
    if advice.cuts_jobs:
        return f"{advice.text} (until this is changed, on_timeout = stop waits for the running jobs)"
    return advice.text
