"""The pools in Redis with all hosts, as HTML. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from supervisor_memkill.commands import fleet_screen
from supervisor_memkill.commands.status_values import FleetPoolLine, FleetWorkerLine, HostLine
from supervisor_memkill.commands.terminal import number, size
from supervisor_memkill.commands.web import parts, pictures
from supervisor_memkill.commands.web.html import Html, element
from supervisor_memkill.commands.web.parts import Heading, Room
from supervisor_memkill.commands.web.pools import MAX_POOLS, room_of

HOSTS = Room(20, 180)
HOST_HEADINGS = (
    Heading("Listener", "name"),
    Heading("Last report", "state"),
    Heading("In service", "jobs"),
    Heading("Running jobs", "jobs"),
    Heading("Memory", "size"),
    Heading("Fullest worker", "memory"),
)
WORKER_HEADINGS = (
    Heading("Worker", "name"),
    Heading("State", "state"),
    Heading("Running jobs", "jobs"),
    Heading("Memory and limit", "memory"),
)


def fleet(shown: Sequence[FleetPoolLine]) -> Html:
    """A card for each pool in Redis."""
    room = room_of(2 * min(len(shown), MAX_POOLS))
    cards = [pool_card(one, room) for one in shown[:MAX_POOLS]]
    left = len(shown) - len(cards)
    if left:
        words = f"{left} pools are not shown; "
        command = element("code", "supervisor-memkill status --fleet")
        cards.append(element("p", words, command, class_="left-out"))
    return parts.section("fleet", "Pools on all hosts", *cards)


def pool_card(pool: FleetPoolLine, room: Room) -> Html:
    """Its terms, what goes on, its listeners, and behind a fold its workers."""
    content = [
        element("h3", pool.name),
        element("p", fleet_screen.terms(pool), class_="terms"),
        parts.happenings(fleet_screen.happenings(pool)),
    ]
    if pool.hosts:
        hosts = sorted(pool.hosts, key=_host_importance) if len(pool.hosts) > HOSTS.first else pool.hosts
        hosts = hosts[: HOSTS.most()]
        scale = pictures.scale_of([one.fullest_share for one in hosts])
        content.append(
            parts.folding(
                "listeners",
                f"Listeners of the pool {pool.name}",
                HOST_HEADINGS,
                [_host(one, scale) for one in hosts],
                HOSTS,
                more="listeners: supervisor-memkill status --fleet --json",
                of=len(pool.hosts),
            )
        )
    if pool.workers:
        content.append(_workers(pool, room))
    return element("article", *content, class_="card")


def _workers(pool: FleetPoolLine, room: Room) -> Html:
    chosen = sorted(pool.workers, key=importance)[: room.most()]
    scale = pictures.scale_of([fleet_screen.share(one) for one in chosen])
    label = f"Workers of the pool {pool.name} on all hosts"
    rows = [_worker(one, scale) for one in chosen]
    more = f"workers: supervisor-memkill status --fleet {pool.name}"
    return element(
        "details",
        element("summary", f"Workers on all hosts ({len(pool.workers)}), those that matter first"),
        parts.folding("workers", label, WORKER_HEADINGS, rows, room, more=more, of=len(pool.workers)),
        id=f"fleet-{parts.anchor(pool.name)}",
    )


def importance(worker: FleetWorkerLine) -> tuple[int, float]:
    """Silent ones, those that drain or ask, then the fullest."""
    fullness = -(fleet_screen.share(worker) or 0.0)
    if worker.silent:
        return 0, fullness
    if worker.holds_slot:
        return 1, fullness
    if worker.asks:
        return 2, fullness
    return (4 if worker.in_service else 3), fullness


def _host_importance(host: HostLine) -> tuple[bool, bool, float]:
    return not host.silent, host.in_service == host.workers, -(host.fullest_share or 0.0)


def _host(host: HostLine, scale: float) -> Sequence[str]:
    share = host.fullest_share
    return (
        host.listener,
        parts.chip(fleet_screen.seen_when(host)),
        f"{host.in_service} of {host.workers}",
        str(host.busy),
        size(host.memory_bytes),
        parts.UNKNOWN if share is None else parts.share_of_limit(share, scale),
    )


def _worker(worker: FleetWorkerLine, scale: float) -> Sequence[str]:
    return (
        worker.worker,
        parts.chip(fleet_screen.standing(worker)),
        number(worker.busy),
        parts.memory(worker.memory_bytes, worker.limit_bytes, fleet_screen.share(worker), scale),
    )
