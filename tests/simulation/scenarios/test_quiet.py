"""A quiet that is lost, comes late, or cannot be confirmed."""

from __future__ import annotations

import dataclasses

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.step import OnTimeout
from tests.simulation.process import Habits
from tests.simulation.scenarios.scene import CELERY, SIDEKIQ, scene
from tests.simulation.shape import FRESH


def test_lost_quiet_is_sent_again_even_after_the_deadline() -> None:
    """With `on_timeout = wait`, the worker would otherwise take jobs and its drain would never end."""
    with scene(CELERY, on_timeout=OnTimeout.WAIT, drain_timeout_seconds=12.0) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "quiet before", lambda: s.east.loses_next("lost"))
        s.until(lambda: s.state(s.east) is State.QUIETING)
        s.world.weather.cut(s.east, 30.0)
        s.until(lambda: s.is_back(s.east), within=240)


@pytest.mark.parametrize(("hang", "what"), [(4.0, "frozen"), (9.0, "quiet")])
def test_fresh_process_hit_by_a_late_quiet_comes_back(hang: float, what: str) -> None:
    """supervisord hangs, the worker dies meanwhile, and the quiet reaches its successor."""
    with scene(dataclasses.replace(SIDEKIQ, boots=6.0), restarts="true") as s:
        s.settles()

        def hang_and_die() -> None:
            s.east.server.hang(hang)
            s.world.engine.after(1.0, lambda: s.east.supervisord.die(s.worker(s.east)))

        s.bloat(s.east)
        s.world.weather.when_at(s.east, "quiet before", hang_and_die)
        s.until(lambda: s.acts(s.east, "quiet"))
        hit = s.process(s.east)
        assert hit.created < s.acts(s.east, "quiet")[0]
        assert (hit.frozen_at if what == "frozen" else hit.quiet_at) is not None
        s.until(lambda: s.is_back(s.east))


def test_unconfirmed_quiet_is_resumed_at_the_deadline_if_the_kind_can() -> None:
    """QUIETING to RESUMING: nothing shows whether the quiet arrived."""
    with scene(CELERY, on_timeout=OnTimeout.RESUME, drain_timeout_seconds=15.0) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.acts(s.east, "quiet"))
        s.world.weather.records_go(s.east, 60.0)
        s.until(lambda: s.state(s.east) is None)
        assert s.acts(s.east, "resume")
        assert s.acts(s.east, "stop") == []
        assert s.world.standings.takes_jobs(s.worker(s.east))


def test_first_record_written_in_parts_is_not_trusted() -> None:
    """`busy` is written before the rest of the record: the first quiet record says 0 while a job runs."""
    with scene(dataclasses.replace(SIDEKIQ, torn=4.5, job=(8.0, 9.0), gap=(0.3, 0.4))) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.is_back(s.east))


@pytest.mark.parametrize("habits", [SIDEKIQ, CELERY], ids=lambda habits: habits.kind)
def test_worker_that_turns_quiet_after_its_drain_was_given_up_comes_back(habits: Habits) -> None:
    """Its quiet was taken for lost, and no other worker was in service any more; then its memory fell."""
    with scene(habits, machines=1, restarts="false") as s:
        s.settles()
        worker, peer, process = s.worker(s.east), s.worker(s.east, 1), s.process(s.east)
        process.hears_from = s.world.engine.now + 60.0
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.QUIETING)
        s.world.operator(s.east, peer, "stop")
        s.until(lambda: s.state(s.east) is None)
        process.memory = FRESH
        s.world.weather.kill(s.east)  # The journal knows of it.
        s.until(lambda: s.times("turns quiet late"))
        s.until(lambda: worker.process is not process and s.is_back(s.east), within=240)
