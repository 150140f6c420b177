"""Each panel of the shipped dashboard shows something of a real pool that Prometheus scraped."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from supervisor_memkill.rules.drain import State
from tests.docs.test_metrics import dashboard
from tests.harness import wait_for
from tests.real.dashboard import Line, lines_of, scraped_pool
from tests.real.pool import MAX_RSS
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

WHILE_ONE_WAITS = {"Workers that wait for their drain", "Waiting for a drain"}
"""Panels that show nothing when no worker waits."""
AFTER_A_DRAIN = {"Refusals", "Drains", "How long drains take", "Warnings and errors"}
"""Panels that show nothing until the first drain is over."""
ALWAYS = {
    "Last TICK",
    "supervisord",
    "Redis",
    "Jobs cut",
    "Memory of the workers",
    "Memory, in per cent of the limit",
    "Workers in service",
    "States",
}


def test_every_panel_shows_a_pool_that_drains(redis_server: RealRedis, tmp_path: Path) -> None:
    """The very first drain after the listener's start counts, too."""
    panels = {one["title"]: one for one in dashboard()["panels"]}
    assert set(panels) == {*ALWAYS, *WHILE_ONE_WAITS, *AFTER_A_DRAIN}
    begin = time.time()
    with scraped_pool(redis_server, tmp_path, MAX_RSS) as (pool, url):

        def shown(title: str) -> list[Line]:
            return list(lines_of(panels[title], url, begin, time.time()))

        def wait_for_panels(*titles: str) -> None:
            wait_for(
                lambda: all(map(shown, titles)),
                message=lambda: f"empty: {[one for one in titles if not shown(one)]}\n{pool.story()}",
                every=0.5,
            )

        pool.bloat("first")
        drained = pool.wait_for_drain(State.DRAINING)
        waiting = pool.bloat("second")
        wait_for_panels(*ALWAYS, *WHILE_ONE_WAITS)
        states = {line.labels["worker"]: line.labels["state"] for line in shown("States")}
        assert states[drained] == "draining" and set(states) == set(pool.workers)
        assert {line.labels["worker"] for line in shown("Workers that wait for their drain")} == {waiting}
        pool.gate(0)
        pool.wait_for_event("drain.done")
        wait_for_panels(*AFTER_A_DRAIN)
        assert {line.legend for line in shown("How long drains take")} == {
            "waiting",
            "quiet",
            "stopped",
            "in all",
        }
        assert {line.legend for line in shown("Drains")} == {"max_rss: done"}
        assert "drain.evidence_failed" in {line.legend for line in shown("Warnings and errors")}
        assert "slots_taken" in {line.legend for line in shown("Refusals")}
