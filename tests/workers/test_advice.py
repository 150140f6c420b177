"""Advice for frameworks that drain by stopping: what is refused, and what is a hint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor_memkill.testing.fakes import program_info
from supervisor_memkill.workers.advice import (
    advise_on_job_limit,
    advise_on_killasgroup,
    advise_on_reached_children,
)
from supervisor_memkill.workers.command_line import option_number


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("huey_consumer app -t 30", 30.0),
        ("huey_consumer app -t30", 30.0),
        ("huey_consumer app --shutdown-timeout=1.5", 1.5),
        ("huey_consumer app -t 30 -t 60", 60.0),
        ("huey_consumer app", None),
        ("huey_consumer app -t $LIMIT", None),
    ],
)
def test_a_number_is_read_however_it_is_written(command: str, number: float | None) -> None:
    assert option_number(command, "-t", "--shutdown-timeout") == number


@pytest.mark.parametrize(("seconds", "is_refused"), [(59.9, True), (60.0, False), (0.0, True)])
def test_a_limit_below_drain_timeout_is_refused(seconds: float, is_refused: bool) -> None:
    found = list(advise_on_job_limit(seconds, f"--limit={seconds:g}", "Framework", 60.0))
    assert [advice.refuses for advice in found] == ([True] if is_refused else [])
    for advice in found:
        assert f"--limit={seconds:g} is below drain_timeout=1m00s" in advice.text


def test_children_that_would_survive_sigkill_give_a_hint() -> None:
    (advice,) = advise_on_killasgroup(program_info("worker", killasgroup=False), "Framework")
    assert "killasgroup=false should be true" in advice.text and not advice.refuses
    assert list(advise_on_killasgroup(program_info("worker", killasgroup=True), "Framework")) == []


@pytest.mark.parametrize(("stop_as_group", "count"), [(True, 1), (False, 0), (None, 0)])
def test_a_harmless_stopasgroup_gives_a_hint(stop_as_group: bool | None, count: int) -> None:
    found = list(advise_on_reached_children(replace(program_info("worker"), stopasgroup=stop_as_group)))
    assert len(found) == count
    assert not any(advice.refuses for advice in found)
