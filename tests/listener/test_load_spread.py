"""Hosts whose supervisords tick in the same second ask the coordinator at different moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.listener_world import Life, SharedCoordinator, World

HEARTBEAT_SECONDS = 8.0


def first_told(coordinator: SharedCoordinator) -> float | None:
    """When the first worker asked for a slot: only a TICK makes a worker ask, a heartbeat does not."""
    asked = (
        told.at for told in coordinator.told if any(report.urgency is not None for report in told.reports)
    )
    return next(asked, None)


def seconds_after_tick(path: Path, host: str) -> float:
    """How long after its first TICK this host reports what it saw."""
    world = World()
    coordinator = SharedCoordinator(world)
    life = Life(
        world,
        path / host / "own" / "journal",
        host=host,
        heartbeat_seconds=HEARTBEAT_SECONDS,
        coordinate=lambda contents: coordinator,
    )
    life.listener.turn(ticked=False)
    ticked_at = world.now
    life.tick()
    while (told_at := first_told(coordinator)) is None:
        wait = life.listener.wait_seconds()
        assert wait is not None
        world.advance(wait)
        life.listener.turn(ticked=False)
    return told_at - ticked_at


def test_each_host_reports_at_its_own_moment(tmp_path: Path) -> None:
    hosts = ["north", "east", "south", "west"]
    delays = [seconds_after_tick(tmp_path, host) for host in hosts]
    assert len(set(delays)) == len(hosts)
    assert all(0 <= delay <= HEARTBEAT_SECONDS / 2 for delay in delays)
    assert max(delays) - min(delays) > HEARTBEAT_SECONDS / 8


def test_restarted_host_keeps_its_moment(tmp_path: Path) -> None:
    first = seconds_after_tick(tmp_path / "first", "north")
    assert seconds_after_tick(tmp_path / "second", "north") == pytest.approx(first)
