"""The kind keeps the contract, and believes it idle late enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from memkill_faktory import Faktory

from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, process, read_one, tools
from supervisor_memkill.workers.contract import Target

RUNS = "faktory-worker 1.1.0 app [0 of 10 busy]"


class TestContract(ContractSuite):
    kind = Faktory
    values: ClassVar[Mapping[str, Any]] = {}
    title = RUNS


def test_a_quiet_worker_is_idle_only_when_its_title_was_surely_written_after_the_last_job() -> None:
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
