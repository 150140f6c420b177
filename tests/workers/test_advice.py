"""Advice for frameworks that drain by stopping: what is refused, and what is a hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from supervisor_memkill.testing.fakes import program_info, tools
from supervisor_memkill.workers.advice import (
    SUPERVISORD_STOPWAITSECS,
    advise_on_drain_timeout,
    advise_on_job_limit,
    advise_on_killasgroup,
    advise_on_reached_children,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
)
from supervisor_memkill.workers.command_line import option_number
from supervisor_memkill.workers.registry import kinds, load_kind


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


@pytest.mark.parametrize(
    ("stopwaitsecs", "timeout", "expected"),
    [
        (59, 60.0, ("stopwaitsecs=59", "drain_timeout=1m00s", "stopwaitsecs = 60", "drain_timeout = 59s")),
        (60, 60.0, ()),
        (10, 0.5, ()),
        (
            10,
            None,
            ("stopwaitsecs=10 (supervisord's default)", "set drain_timeout = 10s", "set stopwaitsecs"),
        ),
        (9, None, ()),
        (11, None, ()),
        (3599, None, ()),
        (0, None, ("stopwaitsecs=0,", "set stopwaitsecs")),
        (0, 60.0, ("stopwaitsecs=0 ", "stopwaitsecs = 60")),
    ],
)
def test_refusal_of_a_short_stopwaitsecs_has_both_numbers_and_both_ways_out(
    stopwaitsecs: int, timeout: float | None, expected: tuple[str, ...]
) -> None:
    """An hour that nobody set refuses nothing; supervisord's default, which nobody chose, does."""
    found = list(advise_on_drain_timeout(program_info("worker", stopwaitsecs), "Framework", timeout))
    assert [advice.refuses for advice in found] == ([True] if expected else [])
    for advice in found:
        assert all(part in advice.text for part in expected), advice.text
        assert "drain_timeout = 0s" not in advice.text, "a timeout must be above 0"


def test_limit_of_the_framework_refuses_only_a_timeout_that_somebody_set() -> None:
    assert list(advise_on_job_limit(8.0, "--timeout=8", "Framework", None)) == []


def test_hint_about_stopwaitsecs_names_what_else_may_be_changed() -> None:
    program = program_info("worker", 10)
    (both,) = advise_on_stopwaitsecs(
        program, 25, "its timeout", other_way="start it with -t 5", cuts_jobs=True
    )
    assert both.text.endswith("set stopwaitsecs = 30, or start it with -t 5") and both.cuts_jobs
    (one,) = advise_on_stopwaitsecs(program, 10, "its timeout")
    assert one.text.endswith("SIGKILL cuts running jobs") and not one.cuts_jobs


@pytest.mark.parametrize(
    ("name", "cuts"), [("su", True), ("runuser", True), ("sudo", False), ("flock", False)]
)
def test_wrapper_that_kills_its_child_at_the_stop_cuts_jobs(name: str, cuts: bool) -> None:
    (advice,) = advise_on_wrapper(program_info(f"{name} app -c sidekiq"), "Sidekiq")
    assert advice.cuts_jobs is cuts


OWN_VALUES: Mapping[str, Mapping[str, Any]] = {"arq": {"job_completion_wait": 5.0}}
"""What a kind requires."""


@pytest.mark.parametrize("name", sorted(set(kinds()) - {"auto", "custom", "plain"}))
def test_no_kind_is_stopped_with_running_jobs_by_supervisords_default(name: str) -> None:
    """Nobody chose its 10 s for the jobs: the drain does not begin, or the stop is held at drain_timeout.

    Of `custom` and `plain` nothing is known, and of `auto` its kind decides.
    """
    kind = load_kind(name)
    values = {**{key: option.default for key, option in kind.options.items()}, **OWN_VALUES.get(name, {})}
    timeout = 3600.0 if kind.traits_for(values).quiets else None

    def about_stopwaitsecs(seconds: int) -> list[bool]:
        found = kind(values, tools()).advice(program_info("worker", seconds), timeout)
        return [one.refuses or one.cuts_jobs for one in found if "stopwaitsecs" in one.text]

    assert any(about_stopwaitsecs(SUPERVISORD_STOPWAITSECS))
    assert about_stopwaitsecs(7200) == []
