"""Workers whose new processes are above their own limit."""

from __future__ import annotations

import itertools

import pytest

from tests.simulation.scenarios.scene import scene
from tests.simulation.shape import LIMIT


@pytest.mark.parametrize("share_left", [0.75, 0.25])
def test_worker_above_its_limit_on_a_machine_short_of_memory_is_restarted_at_growing_intervals(
    share_left: float,
) -> None:
    """Its own limit and the machine are reasons in turn. The judge of S6 counts, too."""
    with scene(machines=1, min_free=10**6, fresh=LIMIT + 10) as s:
        s.east.others = int(s.world.shape.memory - 10**6 * share_left)
        s.passes(2100.0)
        for number in range(2):
            stops = s.acts(s.east, "stop", number)
            gaps = [after - before for before, after in itertools.pairwise(stops)]
            long = [gap for gap in gaps if gap > 300.0]
            assert long and len(gaps) - len(long) <= 1 and long == sorted(long), gaps
