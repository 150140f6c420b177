"""The promises of every kind as tests: a kind's test module derives a class from the suite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.testing.fakes import FakeProcesses, FakeRedis, process, program_info, tools
from supervisor_memkill.workers.contract import Kind, Note, Reading, Target

PID = 100
"""The pid of the worker in these tests."""
GARBAGE = [
    None,
    "",
    " ",
    "{}",
    "[]",
    "null",
    "true",
    "-1",
    "1_0",
    "nan",
    "1e400",
    "9" * 5000,
    "\x00",
    "[" * 99999,
]
"""Values that a framework would not write into Redis."""
OUTAGES = [
    redis.ConnectionError("Connection refused"),
    redis.TimeoutError("Timeout reading from socket"),
    redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'"),
    redis.AuthenticationError("NOAUTH Authentication required."),
    redis.exceptions.RedisClusterException("Redis Cluster cannot be connected"),
    OSError("Broken pipe"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    MemkillError("no such Redis"),
]
"""Errors that a question to Redis may raise."""


class ContractSuite:
    """Derive a class from it, and set `kind` and what the kind needs."""

    kind: ClassVar[type[Kind]]
    values: ClassVar[Mapping[str, Any]] = {}
    """Parsed values of the kind's options; its defaults are added."""
    title: ClassVar[str] = "worker"
    """The command line of a worker that the kind recognises."""
    note: ClassVar[Note] = {}
    """A note as `quiet` returns it."""
    reads_redis: ClassVar[bool] = False
    """The kind cannot read a worker without Redis."""

    def plant(self, store: FakeRedis, garbage: str | None) -> None:
        """Put the garbage where the kind reads; None means an absent value."""

    def make(self, store: FakeRedis) -> Kind:
        """The kind with its values, on this Redis."""
        return self.kind({**self.defaults(), **self.values}, tools(lambda: store))

    def defaults(self) -> dict[str, Any]:
        """The default of each option of the kind."""
        return {name: option.default for name, option in self.kind.options.items()}

    def readings(self, store: FakeRedis) -> list[Reading]:
        """The readings of a worker in service, of two that are drained, and of a process that is gone."""
        kind = self.make(store)
        table = FakeProcesses({PID: self.title}).table
        targets = [
            Target(process(PID, "plain")),
            Target(process(PID, "fresh"), {}),
            Target(process(PID, "quieted"), self.note),
            Target(process(999, "gone"), self.note),
        ]
        found = kind.read(targets, table)
        assert set(found) == {target.process.worker for target in targets}
        return list(found.values())

    def test_traits_are_the_same_of_the_class_and_of_an_instance(self) -> None:
        assert self.make(FakeRedis()).traits == self.kind.traits_for({**self.defaults(), **self.values})

    def test_every_option_has_a_help_text(self) -> None:
        assert all(option.help for option in self.kind.options.values())

    def test_good_values_have_no_problem_and_problems_are_sentences(self) -> None:
        defaults = self.defaults()
        assert list(self.kind.problems({**defaults, **self.values, "redis": "redis://localhost"})) == []
        for problem in self.kind.problems({**defaults, "redis": None}):
            assert len(problem.split()) > 3 and "\n" not in problem

    @pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
    def test_a_reading_never_raises_whatever_redis_does(self, error: Exception) -> None:
        store = FakeRedis()
        store.error = error
        for reading in self.readings(store):
            check_reading(reading)
            if self.reads_redis:
                assert (reading.recognised, reading.in_service, reading.idle) == (None, None, False)
                assert str(error).split()[0] in reading.why
                assert reading.source_away == reading.why, "the listener reports the outage by it"

    @pytest.mark.parametrize("garbage", GARBAGE, ids=lambda text: repr(text)[:12])
    def test_a_reading_never_raises_whatever_redis_holds(self, garbage: str | None) -> None:
        store = FakeRedis()
        self.plant(store, garbage)
        for reading in self.readings(store):
            check_reading(reading)

    def test_every_piece_of_advice_is_one_sentence(self) -> None:
        kind = self.make(FakeRedis())
        timeouts = (3600.0,) if kind.traits.quiets else (3600.0, None)
        for timeout in timeouts:
            program = program_info("sh -c 'worker; true'", stopwaitsecs=1, stopsignal=9)
            for advice in kind.advice(program, timeout):
                assert len(advice.text.split()) > 3 and "\n" not in advice.text

    def test_resuming_without_the_trait_is_refused(self) -> None:
        kind = self.make(FakeRedis())
        if not kind.traits.can_resume:
            with pytest.raises(MemkillError):
                kind.resume(Target(process(PID), self.note), FakeProcesses({PID: self.title}).table)


def check_reading(reading: Reading) -> None:
    """Assert what holds for every reading."""
    assert json.loads(json.dumps(reading.note)) == reading.note, "a note survives the journal"
    if reading.recognised is None:
        assert not reading.in_service and not reading.idle, "unknown concludes nothing"
        assert reading.why
    if reading.source_away:
        assert reading.recognised is None, "nothing is known without the source"
    if reading.idle:
        assert reading.busy == 0
