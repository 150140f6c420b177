"""plain: a worker is stopped and started, and nothing else is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, FakeRedis, process, read_one, tools
from supervisor_memkill.workers.contract import Target
from supervisor_memkill.workers.plain import Plain


class TestContract(ContractSuite):
    kind = Plain
    values: ClassVar[Mapping[str, Any]] = {}


def test_a_plain_worker_is_in_service_and_its_jobs_are_unknown() -> None:
    reading = read_one(Plain({}, tools()), Target(process()), FakeProcesses({100: "x"}).table)
    assert (reading.recognised, reading.in_service, reading.quiet, reading.busy) == (True, True, None, None)
    assert not reading.idle


def test_it_drains_only_by_stopping() -> None:
    assert not Plain.traits.quiets


def test_the_memory_of_children_counts() -> None:
    assert Plain({}, tools()).memory_in_children(process(), FakeProcesses({100: "x"}).table)


def test_it_never_asks_redis() -> None:
    store = FakeRedis()
    read_one(Plain({}, tools(lambda: store)), Target(process()), FakeProcesses({100: "x"}).table)
    assert store.round_trips == 0
