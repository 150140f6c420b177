"""RQ: the names of running jobs. On fakes."""

from __future__ import annotations

import pytest

from tests.workers.rq_machine import Machine


def test_running_job_of_1_16_is_named_by_its_call() -> None:
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    machine.store.data["rq:job:j1"] = {"description": "shop.tasks.mail('a', to=1)"}
    assert machine.read().jobs == ("shop.tasks.mail",)


def test_running_jobs_of_3_0_are_named_by_their_executions() -> None:
    machine = Machine()
    key = machine.record(state="busy", version="3.0.0")
    machine.store.data[f"{key}:executions"] = {"job:with:colons:x1"}
    machine.store.data["rq:job:job:with:colons"] = {"description": "shop.report()"}
    assert machine.read().jobs == ("shop.report",)


def test_idle_worker_runs_no_job() -> None:
    machine = Machine()
    machine.record()
    before = machine.store.round_trips
    assert machine.read().jobs == ()
    assert machine.store.round_trips - before == 2, "nothing is asked for names"


def test_names_are_asked_for_at_most_every_ten_seconds() -> None:
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    machine.store.data["rq:job:j1"] = {"description": "shop.mail()"}
    assert machine.read().jobs == ("shop.mail",)
    before = machine.store.round_trips
    reading = machine.read()
    assert (reading.jobs, reading.busy) == (None, 1)
    assert machine.store.round_trips - before == 2


@pytest.mark.parametrize("text", ["Mail to bob@example.org", "(x", "1.f()", "a b()"])
def test_description_of_the_application_is_not_taken_for_a_name(text: str) -> None:
    """It may hold names of persons."""
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    machine.store.data["rq:job:j1"] = {"description": text}
    assert machine.read().jobs == ("(with a description of its own)",)


def test_job_that_is_gone_by_now_is_unknown() -> None:
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    assert machine.read().jobs is None


def test_busy_worker_without_a_job_yet_is_unknown_and_no_description_is_asked_for() -> None:
    machine = Machine()
    machine.record(state="busy")
    before = machine.store.round_trips
    assert machine.read().jobs is None
    assert machine.store.round_trips - before == 3


def test_job_with_an_empty_description_is_unknown() -> None:
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    machine.store.data["rq:job:j1"] = {"description": ""}
    assert machine.read().jobs is None
