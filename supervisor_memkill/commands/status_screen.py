"""The screen of ``status``, as lines of text. Pure.

The screen is own code: it needs a few rows and two kinds of bars. rich 15 was tried. With its dependencies it
takes 14 MB, more than all of this package. At 80 columns it broke a bar onto a second line and cut the names
of workers. It passed an escape sequence in a name on to the terminal, and took brackets in a name for markup.
What matters here would be own code all the same: which columns give way first, and that all text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from supervisor_memkill.commands.fleet_screen import fleet
from supervisor_memkill.commands.status_values import (
    ListenerLine,
    PoolLine,
    RequestLine,
    Status,
    WorkerLine,
)
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
    sparkline,
)

INDENT = "  "
LONG_BAR, SHORT_BAR = 20, 10
SHORT_SAMPLES = 10
OLD_SECONDS = 90.0
"""A look that is older is shown with its age."""
MAX_WAITING = 5
"""Waiting workers that are named with their cause; the others are counted."""


def screen(status: Status, terminal: Terminal, *, with_workers: bool = False) -> list[str]:
    """All lines. `with_workers`: of a fleet, a row for each worker, too."""
    lines = list(_first_lines(status.listener, terminal))
    words = INDENT + about(status.listener)
    lines += [terminal.paint(line, Style.FAINT) for line in (terminal.wrap(words) if words.strip() else ())]
    for problem in status.problems:
        lines += [terminal.paint(line, Style.BAD) for line in terminal.wrap(f"problem: {problem}")]
    for note in status.notes:
        lines += [terminal.paint(line, Style.CARE) for line in terminal.wrap(f"note: {note}")]
    for pool in status.pools:
        lines += ["", *_pool(pool, terminal)]
    for line in status.fleet or ():
        lines += ["", *fleet(line, terminal, with_workers=with_workers)]
    return lines


# --- the listener ---------------------------------------------------------------------------------------


def _first_lines(listener: ListenerLine, terminal: Terminal) -> Iterator[str]:
    """Is the listener alive, when did its last TICK come, and is the configuration on disk in force."""
    word, style = life(listener)
    first, *more = terminal.wrap(", ".join([f"listener {word}", *tick_and_configuration(listener)]))
    yield first.replace(word, terminal.paint(word, style), 1)
    yield from more


def life(listener: ListenerLine) -> tuple[str, Style]:
    """Whether it is alive, behind the word `listener`."""
    if listener.alive and not listener.problem:
        return f"alive (pid {listener.pid})", Style.GOOD
    if listener.alive:
        return f"alive but silent (pid {listener.pid})", Style.BAD
    if listener.pid is None:
        return "not seen", Style.BAD
    return "NOT RUNNING", Style.BAD


def tick_and_configuration(listener: ListenerLine) -> list[str]:
    """Empty if nothing is known of the listener."""
    if listener.pid is None:
        return []
    ago = listener.tick_seconds_ago
    in_force = {True: "in force", False: "not in force", None: "unknown"}
    return [
        "no TICK yet" if ago is None else f"last TICK {duration(ago)} ago",
        f"configuration {in_force[listener.configuration.in_force]}",
    ]


def about(listener: ListenerLine) -> str:
    """Which one it is, since when, and its files; empty if nothing is known of it."""
    parts = [listener.name] if listener.name else []
    if listener.pid is not None:
        parts.append(f"on {listener.host}, version {listener.version}")
        if listener.alive:
            parts.append(f"up {duration(listener.up_for_seconds or 0)}")
        else:
            parts.append(f"all below is as seen {duration(listener.written_seconds_ago or 0)} ago")
    files = ", ".join(listener.configuration.files)
    return "; ".join(filter(None, [", ".join(parts), files]))


# --- one pool -------------------------------------------------------------------------------------------


def _pool(pool: PoolLine, terminal: Terminal) -> Iterator[str]:
    name, *more = terminal.wrap(f"{pool.name}: {terms(pool)}")
    yield terminal.paint(name, Style.HEAD)
    yield from more
    for text, style in happenings(pool):
        yield from (terminal.paint(line, style) for line in terminal.wrap(INDENT + text, INDENT * 2))
    if pool.workers:
        yield from rows(choose(_choices(pool.workers, terminal), terminal, INDENT), terminal, INDENT)


def terms(pool: PoolLine) -> str:
    """Its limit, and how many are in service."""
    limit = "no limit" if pool.limit_bytes is None else f"limit {size(pool.limit_bytes)}"
    if pool.hard_limit_bytes is not None:
        limit += f" (hard {size(pool.hard_limit_bytes)})"
    in_service = f"{pool.in_service} of {pool.workers_in_all} in service, {_needed(pool.min_available)}"
    age = pool.looked_seconds_ago
    seen = f"; seen {duration(age)} ago" if age > OLD_SECONDS else ""
    return f"{pool.kind}, {limit}; {in_service}{seen}"


def _needed(min_available: int) -> str:
    """How many other workers must be in service for a drain."""
    return f"needs {min_available} {'other' if min_available == 1 else 'others'}"


def happenings(pool: PoolLine) -> Iterator[tuple[str, Style]]:
    """Who drains, who waits and why, requests and pauses."""
    if pool.pause is not None:
        left = pool.pause.left_seconds
        until = "until unpause" if left is None else f"{duration(left)} left"
        but = ", but for hard_max_rss" if pool.pause.except_hard else ""
        yield f"paused {duration(pool.pause.for_seconds)} ago, {until}{but}", Style.CARE
    for request in pool.requests:
        if request.act == "restart" and request.workers_left:
            yield _request(request), Style.CARE
    for worker in pool.workers:
        if worker.drain is not None:
            yield f"drains: {_drain(worker)}", Style.BAD if worker.drain.not_back else Style.CARE
    waiting = [worker for worker in pool.workers if worker.waits]
    for worker in waiting[:MAX_WAITING]:
        yield f"waits: {worker.worker}: {worker.verdict}", Style.CARE
    if waiting[MAX_WAITING:]:
        yield f"waits: {len(waiting) - MAX_WAITING} more", Style.CARE


def _request(request: RequestLine) -> str:
    done = len(request.workers) - len(request.workers_left)
    left = "" if request.left_seconds is None else f", {duration(request.left_seconds)} left"
    return (
        f"restart requested {duration(request.for_seconds)} ago: {done} of {len(request.workers)}"
        f" replaced{left}"
    )


def _drain(worker: WorkerLine) -> str:
    assert worker.drain is not None
    drain = worker.drain
    text = f"{worker.worker}: {drain.state} for {duration(drain.for_seconds)}"
    if drain.in_all_seconds > drain.for_seconds + 1:
        text += f" ({duration(drain.in_all_seconds)} in all)"
    if worker.busy is not None:
        text += f", {worker.busy} running {'job' if worker.busy == 1 else 'jobs'}"
    if drain.before_stop_for_seconds is not None:
        text += f"; before_stop has run for {duration(drain.before_stop_for_seconds)}"
    return f"{text}; reason {drain.reason}{f'; {drain.not_back}' if drain.not_back else ''}"


# --- the rows of the workers ----------------------------------------------------------------------------


def _choices(workers: Sequence[WorkerLine], terminal: Terminal) -> list[list[Column]]:
    """What is worth least gives way first."""
    name = Column("WORKER", tuple(Cell(clean(one.worker)) for one in workers))
    state = Column("STATE", tuple(standing(one) for one in workers))
    busy = Column("BUSY", tuple(Cell(number(one.busy)) for one in workers))
    memory = Column("MEMORY", tuple(Cell(size(one.memory_bytes)) for one in workers))

    def of_limit(columns: int) -> Column:
        return Column("OF LIMIT", tuple(share_cell(share(one), columns, terminal) for one in workers))

    def samples(count: int) -> Column:
        lines = (sparkline(one.samples[-count:], terminal.glyphs) for one in workers)
        return Column("SAMPLES", tuple(map(Cell, lines)))

    least = [name, state]
    return [
        [*least, busy, memory, of_limit(LONG_BAR), samples(LONG_BAR)],
        [*least, busy, memory, of_limit(SHORT_BAR), samples(LONG_BAR)],
        [*least, busy, memory, of_limit(SHORT_BAR), samples(SHORT_SAMPLES)],
        [*least, busy, memory, of_limit(SHORT_BAR)],
        [*least, busy, memory, of_limit(0)],
        [*least, memory, of_limit(0)],
        [*least, of_limit(0)],
    ]


def standing(worker: WorkerLine) -> Cell:
    """What the worker does, in a word."""
    if worker.drain is not None:
        drain = worker.drain
        if drain.not_back:
            return Cell(f"not back {duration(drain.for_seconds)}", Style.BAD)
        if drain.before_stop_for_seconds is not None:
            return Cell(f"before_stop {duration(drain.before_stop_for_seconds)}", Style.CARE)
        return Cell(clean(f"{drain.state} {duration(drain.for_seconds)}"), Style.CARE)
    if worker.waits:
        return Cell("waits", Style.CARE)
    if worker.in_service:
        return Cell("in service", Style.GOOD)
    if worker.state != "RUNNING":
        return Cell(clean(worker.state), Style.BAD if worker.state in ("FATAL", "BACKOFF") else Style.CARE)
    return Cell("quiet" if worker.quiet else "not in service", Style.CARE)


def share(worker: WorkerLine) -> float | None:
    """Its memory as a share of the limit; None: unknown, or no limit."""
    if worker.memory_bytes is None or not worker.limit_bytes:
        return None
    return worker.memory_bytes / worker.limit_bytes
