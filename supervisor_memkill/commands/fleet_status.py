"""From what stands in Redis about a pool to what ``status --fleet`` shows. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from supervisor_memkill.commands.status_of import matches
from supervisor_memkill.commands.status_values import (
    FleetPoolLine,
    FleetRequestLine,
    FleetWorkerLine,
    HostLine,
    SlotLine,
)
from supervisor_memkill.coordination.contract import Offer, PoolView, Report, SlotView
from supervisor_memkill.rules.requests import decode
from supervisor_memkill.units import format_duration

SHOWN = 3
"""Silent listeners that one sentence names; the others are counted."""


def fleet_pool(name: str, view: PoolView, names: Sequence[str] = ()) -> FleetPoolLine:
    """`names`: as in `status_of`, and whole ids of workers."""
    in_service = {one.worker for one in view.reports if one.in_service and one.worker not in view.silent}
    in_service -= set(view.holders)
    shown = [one for one in view.reports if _is_meant(names, name, one.worker)]
    return FleetPoolLine(
        name=name,
        is_new=view.is_new,
        min_available=max((one.min_available for one in view.rules), default=None),
        max_draining=min((one.max_draining for one in view.rules), default=None),
        in_service=len(in_service),
        workers_in_all=len(view.reports),
        settling_seconds=round(view.settling_seconds, 1),
        settling_cause=view.settling_cause.value if view.settling_seconds > 0 else "",
        drain_ended_seconds_ago=view.drain_ended_seconds_ago,
        hosts=tuple(_hosts(view, in_service)),
        slots=tuple(_slot(one, view) for one in view.slots),
        requests=tuple(_request(one, view) for one in view.requests),
        workers=tuple(_worker(one, view, in_service) for one in shown),
    )


def problems(pool: FleetPoolLine) -> Iterator[str]:
    """What is not well, one sentence each."""
    silent = [one for one in pool.hosts if one.silent]
    if silent:
        named = ", ".join(f"{one.listener}{_for(one.seen_seconds_ago)}" for one in silent[:SHOWN])
        more = f" and {len(silent) - SHOWN} more" if silent[SHOWN:] else ""
        count = sum(one.workers for one in silent)
        yield (
            f"[memkill:{pool.name}] silent listeners: {named}{more}; their workers ({count}) do not count as"
            " in service: start them, or wait a day until they are forgotten"
        )
    for slot in pool.slots:
        if slot.not_back:
            yield f"{slot.worker} does not come back: {slot.not_back}; see the worker's log"


def _is_meant(names: Sequence[str], pool: str, identity: str) -> bool:
    return matches(names, pool, identity.rpartition("/")[2]) or matches(names, pool, identity)


def _for(seconds: float | None) -> str:
    return "" if seconds is None else f" for {format_duration(round(seconds))}"


def _slot(slot: SlotView, view: PoolView) -> SlotLine:
    held_seconds, left_seconds = round(slot.held_seconds, 1), round(slot.left_seconds, 1)
    return SlotLine(slot.worker, held_seconds, left_seconds, view.not_back.get(slot.worker, ""))


def _hosts(view: PoolView, in_service: set[str]) -> Iterator[HostLine]:
    by_listener: Mapping[str, list[Report]] = defaultdict(list)
    for report in view.reports:
        by_listener[report.worker.rpartition("/")[0]].append(report)
    known = {one.listener: one for one in view.listeners}
    for listener in sorted({*by_listener, *known}):
        reports = by_listener.get(listener, [])
        silent = known[listener].is_silent if listener in known else True
        if silent and not reports:
            continue  # It left nothing behind but its name.
        yield HostLine(
            listener=listener,
            silent=silent or any(one.worker in view.silent for one in reports),
            seen_seconds_ago=known[listener].seen_seconds_ago if listener in known else None,
            workers=len(reports),
            in_service=sum(one.worker in in_service for one in reports),
            busy=sum(one.busy or 0 for one in reports),
            memory_bytes=sum(one.memory_bytes or 0 for one in reports),
            fullest_share=max(
                (
                    int(one.memory_bytes / one.limit_bytes * 1000) / 1000
                    for one in reports
                    if one.memory_bytes is not None and one.limit_bytes
                ),
                default=None,
            ),
        )


def _worker(report: Report, view: PoolView, in_service: set[str]) -> FleetWorkerLine:
    return FleetWorkerLine(
        worker=report.worker,
        pid=report.pid or None,
        state=report.state,
        memory_bytes=report.memory_bytes,
        limit_bytes=report.limit_bytes or None,
        busy=report.busy,
        in_service=report.worker in in_service,
        silent=report.worker in view.silent,
        asks=report.urgency is not None and report.worker not in view.holders,
        holds_slot=report.worker in view.holders,
    )


def _request(offer: Offer, view: PoolView) -> FleetRequestLine:
    try:
        request = decode(offer.text)
        act, names = request.act.value, request.names
    except ValueError:  # A newer version made it.
        act, names = "", ()
    answered = sum(offer.id in (one.answers or ()) for one in view.listeners)
    return FleetRequestLine(offer.id, act, names, round(offer.age_seconds, 1), offer.left_seconds, answered)
