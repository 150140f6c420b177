"""The kind keeps the contract, and believes a worker idle late enough."""

from __future__ import annotations

import pytest
from memkill_faktory import Faktory

from supervisor_memkill.testing import ContractSuite, FakeProcesses, process, read_one, tools
from supervisor_memkill.workers import Target

RUNS = "faktory-worker 1.1.0 app [0 of 10 busy]"


class TestContract(ContractSuite):
    kind = Faktory
    title = RUNS


def test_a_quiet_worker_is_idle_once_its_title_must_be_newer_than_the_last_job() -> None:
    now = [100.0]
    kind = Faktory({}, tools(clock=lambda: now[0]))
    reading = read_one(kind, Target(process(), {}), FakeProcesses({100: f"{RUNS} stopping"}).table)
    assert (reading.quiet, reading.busy, reading.idle) == (True, 0, False)
    now[0] += 22.0
    later = read_one(kind, Target(process(), reading.note), FakeProcesses({100: f"{RUNS} stopping"}).table)
    assert later.idle


@pytest.mark.parametrize("title", ["", "ruby bin/faktory-worker", "sidekiq 6.4.1 app [0 of 3 busy]"])
def test_another_process_is_not_recognised(title: str) -> None:
    assert not read_one(Faktory({}, tools()), Target(process()), FakeProcesses({100: title}).table).recognised
