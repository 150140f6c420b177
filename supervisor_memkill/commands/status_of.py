"""From what was found of the listener to what ``status`` shows. Pure: `now` is on the boot clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from supervisor_memkill.commands.found_listener import FoundListener
from supervisor_memkill.commands.status_values import (
    ConfigurationLine,
    DrainLine,
    ListenerLine,
    OutageLine,
    PauseLine,
    PoolLine,
    RequestLine,
    Status,
    WorkerLine,
)
from supervisor_memkill.listener.state_values import (
    SILENT_PERIODS,
    DrainState,
    ListenerState,
    PoolState,
    WorkerState,
)
from supervisor_memkill.rules.requests import TakenRequest
from supervisor_memkill.units import format_duration
from supervisor_memkill.world.event_protocol import SUBSCRIPTION


def status_of(found: FoundListener, now: float, names: Sequence[str] = ()) -> Status:
    """`names`: patterns for pools, workers (``group:name``) and groups; none: all is shown."""
    listener = _listener(found, now)
    pools = tuple(_pools(found.state, now, names)) if found.state is not None else ()
    problems = [*_problems(found, listener, now), *(one for pool in pools for one in _pool_problems(pool))]
    return Status(listener, pools, None, tuple(problems), tuple(_notes(found)))


def matches(names: Sequence[str], pool: str, worker: str) -> bool:
    """One of the names stands for this worker; no names stand for all."""
    meant = (pool, worker, worker.partition(":")[0])
    return not names or any(fnmatchcase(one, name) for one in meant for name in names)


# --- the listener ---------------------------------------------------------------------------------------


def _listener(found: FoundListener, now: float) -> ListenerLine:
    state, process = found.state, found.process
    configuration = ConfigurationLine(
        files=state.origin.configuration.files if state is not None else (),
        in_force=None if found.changes is None else not found.changes,
        changes=found.changes or (),
    )
    return ListenerLine(
        alive=found.is_alive,
        problem=_why_not_working(found, now),
        name=found.name,
        supervisord_state=process.state.name if process is not None else "",
        pid=state.pid if state is not None else None,
        version=state.version if state is not None else "",
        host=state.host if state is not None else "",
        dry_run=state is not None and state.dry_run,
        up_for_seconds=_ago(now, state.started_at) if state is not None else None,
        written_seconds_ago=_ago(now, state.written_at) if state is not None else None,
        tick_seconds_ago=_ago(now, state.ticked_at) if state is not None else None,
        tick_period_seconds=state.origin.tick_seconds if state is not None else None,
        events=state.origin.events if state is not None else None,
        configuration=configuration,
        outages=tuple(
            OutageLine(what, one.error, _ago(now, one.since) or 0.0) for what, one in state.away.items()
        )
        if state is not None
        else (),
    )


def _ago(now: float, at: float | None) -> float | None:
    return None if at is None else round(max(0.0, now - at), 1)


def _left(now: float, until: float | None) -> float | None:
    return None if until is None else round(max(0.0, until - now), 1)


def _why_not_working(found: FoundListener, now: float) -> str:
    state = found.state
    if state is None:
        if found.is_dead and found.process is not None:
            return f"no listener works ({found.why_dead}); {found.start_words}"
        return found.problem
    if not found.is_alive:
        if found.is_dead:
            return f"no listener works ({found.why_dead}); {found.start_words}"
        return (
            f"a new process of the listener has not looked at its workers yet; the last one was {state.pid}"
        )
    silent_seconds = now - state.written_at
    if silent_seconds > state.silent_after_seconds:
        if found.unwritable:
            return (
                f"{found.unwritable}: the listener (pid {state.pid}) cannot write its journal, and begins no"
                f" drain; all below is as seen {format_duration(round(silent_seconds))} ago"
            )
        return (
            f"the listener's process lives (pid {state.pid}), but it has done nothing for"
            f" {format_duration(round(silent_seconds))}: see its log"
        )
    return ""


def _problems(found: FoundListener, listener: ListenerLine, now: float) -> Iterator[str]:
    if listener.problem:
        yield listener.problem
    state = found.state
    if state is None or not listener.alive or (listener.problem and found.unwritable):
        return
    period = state.origin.tick_seconds
    without_tick_seconds = now - (state.started_at if state.ticked_at is None else state.ticked_at)
    if period == 0:
        yield (
            "the listener's section subscribes to no TICK, so that it never looks: write"
            f" {SUBSCRIPTION}, then: supervisorctl update"
        )
    elif period is not None and without_tick_seconds > SILENT_PERIODS * period:
        yield (
            f"no TICK came for {format_duration(round(without_tick_seconds))}, and one should come every"
            f" {format_duration(period)}: see the listener's log"
        )
    for outage in listener.outages:
        yield (
            f"{outage.what} has not answered the listener for {format_duration(round(outage.for_seconds))}:"
            f" {outage.error}"
        )


def _pool_problems(pool: PoolLine) -> Iterator[str]:
    where = f"[memkill:{pool.name}]"
    if pool.failure:
        yield f"{where} could not be looked at: {pool.failure}"
    if pool.source_away:
        yield f"{where} no worker is drained until this is solved: {pool.source_away}"
    if pool.unrecognised:
        yield f"{where} none of its workers is recognised: {pool.unrecognised}"
    for worker in pool.workers:
        if worker.drain is not None and worker.drain.not_back:
            yield f"{worker.worker} does not come back: {worker.drain.not_back}; see the worker's log"


def _notes(found: FoundListener) -> Iterator[str]:
    if found.state is not None and found.state.dry_run:
        yield "the listener is a dry run (dry_run = yes): it drains nothing"
    if found.changes:
        yield (
            f"the configuration in force is older than the one on disk: {'; '.join(found.changes)};"
            f" to put it in force: {found.restart_words}"
        )


# --- pools ----------------------------------------------------------------------------------------------


def _pools(state: ListenerState, now: float, names: Sequence[str]) -> Iterator[PoolLine]:
    for pool in state.pools:
        workers = [one for one in pool.workers if matches(names, pool.name, one.worker)]
        if workers or matches(names, pool.name, ""):
            yield _pool(state, pool, workers, now)


def _pool(state: ListenerState, pool: PoolState, workers: Sequence[WorkerState], now: float) -> PoolLine:
    pause = next((one for one in state.pauses if one.pool == pool.name), None)
    return PoolLine(
        name=pool.name,
        kind=pool.kind,
        measure=pool.measure,
        limit_bytes=pool.limit_bytes,
        hard_limit_bytes=pool.hard_limit_bytes,
        min_available=pool.min_available,
        max_draining=pool.max_draining,
        in_service=sum(one.in_service and one.drain is None for one in pool.workers),
        workers_in_all=len(pool.workers),
        looked_seconds_ago=_ago(now, pool.looked_at) or 0.0,
        failure=pool.failure,
        source_away=pool.source_away,
        unrecognised=pool.unrecognised,
        pause=None
        if pause is None
        else PauseLine(_ago(now, pause.since) or 0.0, _left(now, pause.until), pause.except_hard),
        requests=tuple(_requests(state, pool, now)),
        workers=tuple(_worker(pool, one, now) for one in workers),
    )


def _requests(state: ListenerState, pool: PoolState, now: float) -> Iterator[RequestLine]:
    """The requests for this pool or for one of its workers."""
    processes = {one.worker: one for one in pool.workers}
    for taken in state.requests:
        meant = [worker for worker in taken.workers if worker in processes]
        if meant or pool.name in taken.pools:
            yield RequestLine(
                id=taken.request.id,
                act=taken.request.act.value,
                names=taken.request.names,
                for_seconds=_ago(now, taken.taken_at) or 0.0,
                left_seconds=_left(now, taken.ends_at),
                workers=tuple(meant),
                workers_left=tuple(one for one in meant if _is_left(taken, processes[one])),
            )


def _is_left(taken: TakenRequest, worker: WorkerState) -> bool:
    wanted = taken.workers[worker.worker]
    return (wanted.pid, wanted.start) == (worker.pid, worker.start)


def _worker(pool: PoolState, seen: WorkerState, now: float) -> WorkerLine:
    return WorkerLine(
        worker=seen.worker,
        pid=seen.pid or None,
        state=seen.state,
        memory_bytes=seen.memory_bytes,
        limit_bytes=pool.limit_bytes,
        samples=seen.samples,
        busy=seen.busy,
        quiet=seen.quiet,
        in_service=seen.in_service and seen.drain is None,
        peers_in_service=seen.peers,
        reason=seen.reason,
        cause=seen.cause,
        verdict=seen.verdict,
        drain=None if seen.drain is None else _drain(seen.drain, now),
    )


def _drain(drain: DrainState, now: float) -> DrainLine:
    return DrainLine(
        reason=drain.reason,
        state=drain.state,
        for_seconds=_ago(now, drain.since) or 0.0,
        in_all_seconds=_ago(now, drain.began_at) or 0.0,
        not_back=drain.not_back,
        before_stop_for_seconds=_ago(now, drain.evidence_since),
    )
