"""The pools of this supervisord, as HTML. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from supervisor_memkill.commands import status_screen
from supervisor_memkill.commands.status_values import PoolLine, WorkerLine
from supervisor_memkill.commands.terminal import number
from supervisor_memkill.commands.web import parts, pictures
from supervisor_memkill.commands.web.html import Html, element
from supervisor_memkill.commands.web.parts import Heading, Room

ROWS = 1000
"""Workers with a row in the whole page."""
FIRST_ROWS = 20
LEAST_ROWS, MOST_ROWS = 5, 200
"""Rows of one pool: of many pools each has few."""
MAX_POOLS = 100
HEADINGS = (
    Heading("Worker", "name"),
    Heading("State", "state"),
    Heading("Running jobs", "jobs"),
    Heading("Memory and limit", "memory"),
    Heading("Last looks", "curve"),
)


def pools(shown: Sequence[PoolLine]) -> Html:
    """A card for each pool; of many pools those first in which something goes on."""
    ordered = list(shown)
    if len(ordered) > MAX_POOLS:
        ordered.sort(key=lambda pool: not list(status_screen.happenings(pool)))
    room = room_of(min(len(ordered), MAX_POOLS))
    cards = [pool_card(one, room) for one in ordered[:MAX_POOLS]]
    left = len(ordered) - len(cards)
    if left:
        words = f"{left} pools without a drain or a wait are not shown; "
        cards.append(element("p", words, element("code", "supervisor-memkill status"), class_="left-out"))
    if not cards:
        cards.append(element("p", "The listener has not looked at a pool yet.", class_="nothing"))
    return parts.section("pools", "Pools of this supervisord", *cards)


def room_of(pools_in_all: int) -> Room:
    """How many rows each of so many pools has."""
    most = max(LEAST_ROWS, min(MOST_ROWS, ROWS // max(pools_in_all, 1)))
    first = min(FIRST_ROWS, most)
    return Room(first, most - first)


def pool_card(pool: PoolLine, room: Room) -> Html:
    """Its terms, what goes on, and its workers; of many workers those that matter first."""
    workers = list(pool.workers)
    if len(workers) > room.first:
        workers.sort(key=importance)
    workers = workers[: room.most()]
    scale = pictures.scale_of([status_screen.share(one) for one in workers])
    content = [
        element("h3", pool.name),
        element("p", status_screen.terms(pool), class_="terms"),
        parts.happenings(status_screen.happenings(pool)),
    ]
    if workers:
        rows = [_row(one, scale) for one in workers]
        more = f"workers: supervisor-memkill status {pool.name}"
        label = f"Workers of the pool {pool.name}"
        content.append(parts.folding("workers", label, HEADINGS, rows, room, more=more, of=len(pool.workers)))
    else:
        content.append(element("p", "No worker of this pool was found here.", class_="nothing"))
    return element("article", *content, class_="card")


def importance(worker: WorkerLine) -> tuple[int, float]:
    """What needs a person or changes comes first, then the fullest."""
    fullness = -(status_screen.share(worker) or 0.0)
    if worker.drain is not None:
        return (0 if worker.drain.not_back else 1), fullness
    if worker.waits:
        return 2, fullness
    return (4 if worker.in_service else 3), fullness


def _row(worker: WorkerLine, scale: float) -> Sequence[str]:
    curve = pictures.curve_of_samples(worker.samples, worker.limit_bytes)
    return (
        worker.worker,
        parts.chip(status_screen.standing(worker)),
        number(worker.busy),
        parts.memory(worker.memory_bytes, worker.limit_bytes, status_screen.share(worker), scale),
        curve if curve is not None else parts.UNKNOWN,
    )
