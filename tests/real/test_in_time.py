"""A worker that grows fast is found between two TICKs."""

from __future__ import annotations

import pytest

from tests.real.conftest import StartPool

pytestmark = pytest.mark.real


def test_fast_growth_is_found_without_a_tick(start_pool: StartPool) -> None:
    """No TICK comes during the test: what the machine has left shows that memory was used."""
    limits = {"max_rss": "150MB", "hard_max_rss": "180MB"}
    pool = start_pool("custom", pool=limits, events="TICK_3600", worker_options=["--leak-megabytes", "60"])

    def grow() -> bool:
        if not pool.events("drain.stopping"):
            pool.bloat(f"job-{len(pool.leaky.finished())}")
        return bool(pool.events("drain.done"))

    pool.wait_for(grow)
    (stopping,) = pool.events("drain.stopping")
    assert "reason=hard_max_rss" in stopping
