"""The pools of ``status --fleet``, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supervisor_memkill.commands.status_values import FleetPoolLine, FleetWorkerLine, HostLine
from supervisor_memkill.commands.terminal import (
    Cell,
    Column,
    Style,
    Terminal,
    choose,
    clean,
    duration,
    number,
    rows,
    share_cell,
    size,
)
from supervisor_memkill.coordination.contract import Cause

INDENT = "  "
LONG_BAR, SHORT_BAR = 20, 10
MAX_SLOTS = 10
MAX_ASKING = 5
MAX_WORKERS = 50
"""Workers with a row of their own, if names were given."""


def fleet(pool: FleetPoolLine, terminal: Terminal, *, with_workers: bool) -> Iterator[str]:
    """`with_workers`: a row for each worker, too."""
    first, *more = terminal.wrap(f"{pool.name} on all hosts: {terms(pool)}")
    yield terminal.paint(first, Style.HEAD)
    yield from more
    for text, style in happenings(pool):
        yield from (terminal.paint(line, style) for line in terminal.wrap(INDENT + text, INDENT * 2))
    if pool.hosts:
        yield from rows(choose(_host_choices(pool.hosts, terminal), terminal, INDENT), terminal, INDENT)
    if with_workers and pool.workers:
        shown = pool.workers[:MAX_WORKERS]
        yield from rows(choose(_worker_choices(shown, terminal), terminal, INDENT), terminal, INDENT)
        if pool.workers[MAX_WORKERS:]:
            yield f"{INDENT}({len(pool.workers) - MAX_WORKERS} more workers: name fewer, or use --json)"


def terms(pool: FleetPoolLine) -> str:
    """How many are in service, and how many listeners there are."""
    if pool.is_new:
        return "no listener has reported to Redis yet"
    silent = sum(one.silent for one in pool.hosts)
    text = f"{pool.in_service} of {pool.workers_in_all} in service"
    text += f", {len(pool.hosts)} {'listener' if len(pool.hosts) == 1 else 'listeners'}"
    text += f" ({silent} silent)" if silent else ""
    if pool.min_available is not None and pool.max_draining is not None:
        text += f"; min_available {pool.min_available}, max_draining {pool.max_draining}"
    return text


def happenings(pool: FleetPoolLine) -> Iterator[tuple[str, Style]]:
    """What holds drains, the slots, who asks, and requests."""
    if pool.settling_cause:
        words = next((one.words for one in Cause if one.value == pool.settling_cause), pool.settling_cause)
        yield f"no drain begins for {duration(pool.settling_seconds)}: {words}", Style.CARE
    for slot in pool.slots[:MAX_SLOTS]:
        text = (
            f"slot: {slot.worker}, held for {duration(slot.held_seconds)}, {duration(slot.left_seconds)} left"
        )
        style = Style.BAD if slot.not_back else Style.CARE
        yield f"{text}{f'; {slot.not_back}' if slot.not_back else ''}", style
    if pool.slots[MAX_SLOTS:]:
        yield f"slots: {len(pool.slots) - MAX_SLOTS} more", Style.CARE
    asking = [one for one in pool.workers if one.asks and not one.silent]
    for worker in asking[:MAX_ASKING]:
        yield f"asks: {worker.worker}, {size(worker.memory_bytes)} of {size(worker.limit_bytes)}", Style.CARE
    if asking[MAX_ASKING:]:
        yield f"asks: {len(asking) - MAX_ASKING} more", Style.CARE
    for request in pool.requests:
        what = f"{request.act or 'a request of another version'} {' '.join(request.names)}".strip()
        left = "" if request.left_seconds is None else f", {duration(request.left_seconds)} left"
        yield (
            f"request: {what}, made {duration(request.for_seconds)} ago{left}, answered by {request.answered}"
            f" of {len(pool.hosts)}",
            Style.CARE,
        )


# --- rows -------------------------------------------------------------------------------------------


def _host_choices(hosts: Sequence[HostLine], terminal: Terminal) -> list[list[Column]]:
    """What is worth least gives way first."""
    name = Column("LISTENER", tuple(Cell(clean(one.listener)) for one in hosts))
    seen = Column("SEEN", tuple(map(seen_when, hosts)))
    workers = Column("WORKERS", tuple(Cell(str(one.workers)) for one in hosts))
    in_service = Column("IN SERVICE", tuple(map(_in_service, hosts)))
    busy = Column("BUSY", tuple(Cell(str(one.busy)) for one in hosts))
    memory = Column("MEMORY", tuple(Cell(size(one.memory_bytes)) for one in hosts))

    def fullest(columns: int) -> Column:
        return Column("FULLEST", tuple(share_cell(one.fullest_share, columns, terminal) for one in hosts))

    return [
        [name, seen, in_service, workers, busy, memory, fullest(LONG_BAR)],
        [name, seen, in_service, workers, busy, memory, fullest(SHORT_BAR)],
        [name, seen, in_service, workers, busy, fullest(SHORT_BAR)],
        [name, seen, in_service, workers, fullest(SHORT_BAR)],
        [name, seen, in_service, workers, fullest(0)],
        [name, seen, in_service, fullest(0)],
        [name, seen, in_service],
    ]


def seen_when(host: HostLine) -> Cell:
    """When its listener reported last."""
    ago = "unknown" if host.seen_seconds_ago is None else f"{duration(host.seen_seconds_ago)} ago"
    return Cell(f"SILENT {ago}" if host.silent else ago, Style.BAD if host.silent else Style.PLAIN)


def _in_service(host: HostLine) -> Cell:
    return Cell(str(host.in_service), Style.GOOD if host.in_service else Style.CARE)


def _worker_choices(workers: Sequence[FleetWorkerLine], terminal: Terminal) -> list[list[Column]]:
    name = Column("WORKER", tuple(Cell(clean(one.worker)) for one in workers))
    state = Column("STATE", tuple(map(standing, workers)))
    busy = Column("BUSY", tuple(Cell(number(one.busy)) for one in workers))
    memory = Column("MEMORY", tuple(Cell(size(one.memory_bytes)) for one in workers))

    def of_limit(columns: int) -> Column:
        cells = (share_cell(share(one), columns, terminal) for one in workers)
        return Column("OF LIMIT", tuple(cells))

    return [
        [name, state, busy, memory, of_limit(LONG_BAR)],
        [name, state, busy, memory, of_limit(SHORT_BAR)],
        [name, state, busy, memory, of_limit(0)],
        [name, state, memory, of_limit(0)],
        [name, state, of_limit(0)],
    ]


def share(worker: FleetWorkerLine) -> float | None:
    """Its memory as a share of the limit; None: unknown, or no limit."""
    if worker.memory_bytes is None or not worker.limit_bytes:
        return None
    return worker.memory_bytes / worker.limit_bytes


def standing(worker: FleetWorkerLine) -> Cell:
    """What the worker does, in a word."""
    if worker.silent:
        return Cell("silent", Style.BAD)
    if worker.holds_slot:
        return Cell(clean("holds a slot" if worker.state == "RUNNING" else worker.state), Style.CARE)
    if worker.asks:
        return Cell("asks", Style.CARE)
    if worker.in_service:
        return Cell("in service", Style.GOOD)
    return Cell(clean("not in service" if worker.state == "RUNNING" else worker.state), Style.CARE)
