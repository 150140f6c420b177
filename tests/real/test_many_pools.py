"""One listener with many pools: its work for Redis grows with them, and a Redis that hangs is one outage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.many_pools import many_pools

pytestmark = pytest.mark.real

MAX_MISSES_OF_A_LOOK = 3
"""Two for the readings of all pools, one for coordination."""
OWN_POOL = 1
"""The pool without workers that `listener_under` configures."""


def test_redis_that_hangs_costs_a_look_three_time_limits_however_many_pools_there_are(
    tmp_path: Path,
) -> None:
    """With one for each pool, 50 pools would leave their drains alone for 100 s. The next looks ask again."""
    pools = 12
    with many_pools(tmp_path, pools, worker="sidekiq") as scene:
        scene.proxy.hangs = True
        look = scene.supervisord.look_after_next()
        assert 1 <= look.unanswered <= MAX_MISSES_OF_A_LOOK
        scene.proxy.hangs = False
        look = scene.supervisord.look_after_next()
        assert look.unanswered == 0
        assert look.round_trips == 2 * pools + OWN_POOL


def test_calls_and_bytes_grow_with_the_pools_and_not_with_their_square(tmp_path: Path) -> None:
    """Each pool costs one round trip for its heartbeat, whatever else the listener has."""
    found = {}
    for pools in (4, 24):
        directory = tmp_path / str(pools)
        directory.mkdir()
        with many_pools(directory, pools) as scene:
            found[pools] = scene.supervisord.look_after_next()
    for pools, look in found.items():
        assert look.round_trips == pools + OWN_POOL
    few, many = found[4], found[24]
    # The pool without workers sends less: each further pool costs no more than one of the few.
    for name in ("request_bytes", "reply_bytes"):
        further = (getattr(many, name) - getattr(few, name)) / (24 - 4)
        assert further <= 1.1 * getattr(few, name) / 4


def test_all_pools_share_one_connection(tmp_path: Path) -> None:
    """Redis takes 10,000 connections by default: 50 pools of 500 hosts would need 25,500."""
    with many_pools(tmp_path, 8, worker="sidekiq") as scene:
        assert scene.proxy.connections == 1
