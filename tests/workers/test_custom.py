"""custom: the operator's own quiet and busy count."""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
import redis

from supervisor_memkill.errors import NotSent
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import (
    FakeProcesses,
    FakeRedis,
    Signals,
    process,
    program_info,
    read_one,
    tools,
)
from supervisor_memkill.workers.contract import Note, Reading, Target
from supervisor_memkill.workers.custom import Custom, parse_signal
from supervisor_memkill.workers.templates import parse_command, parse_template
from tests.harness import wait_for
from tests.real_redis import RealRedis

TABLE = FakeProcesses({100: "worker"}).table
BY_KEY: Mapping[str, Any] = {"quiet_signal": "USR2", "busy_key": "busy:%(host)s:%(pid)s:%(group)s:%(name)s"}
KEY = "busy:web1:100:jobs:jobs_0"


def custom(store: Any = None, signals: Signals | None = None, **values: object) -> Custom:
    """A kind with its own defaults beneath these values."""
    defaults: dict[str, Any] = {name: option.default for name, option in Custom.options.items()}
    seconds = itertools.count(1)
    return Custom(
        {**defaults, **values}, tools(lambda: store or FakeRedis(), signals, clock=lambda: next(seconds))
    )


def drain(kind: Custom, note: Note) -> Reading:
    return read_one(kind, Target(process(), note), TABLE)


class TestContractWithKey(ContractSuite):
    kind = Custom
    values = BY_KEY
    note: ClassVar[Note] = {"told": True}
    reads_redis = True

    def plant(self, store: FakeRedis, garbage: str | None) -> None:
        store.data = {f"busy:web1:100:jobs:{name}": garbage for name in ("plain", "fresh", "quieted")}


class TestContractWithCommand(ContractSuite):
    kind = Custom
    values: ClassVar[Mapping[str, Any]] = {
        "quiet_command": ("true",),
        "busy_command": ("echo", "0"),
        "command_timeout": 5.0,
    }
    note: ClassVar[Note] = {"told": True, "zero_at": 0.0}


# --- configuration


@pytest.mark.parametrize("text", ["TSTP", "sigtstp", " SIGTSTP ", "20"])
def test_signals_are_named_as_supervisord_takes_them(text: str) -> None:
    assert parse_signal(text) == "TSTP"


@pytest.mark.parametrize("text", ["", "STOPIT", "SIG", "0", "9999", "SIG_BLOCK"])
def test_an_unknown_signal_is_a_configuration_problem(text: str) -> None:
    with pytest.raises(ValueError, match="name or number of a signal"):
        parse_signal(text)


@pytest.mark.parametrize("text", ["KILL", "9"])
def test_signal_that_ends_the_worker_is_no_quiet(text: str) -> None:
    with pytest.raises(ValueError, match="a signal that the worker can catch"):
        Custom.options["quiet_signal"].parse(text)


@pytest.mark.parametrize("text", ["%(pdi)s", "a%(process_num)02d", "%(pid)d", "%(pid", ""])
def test_an_unknown_placeholder_is_a_configuration_problem(text: str) -> None:
    with pytest.raises(ValueError, match="a text"):
        parse_template(text)


def test_any_other_percent_sign_is_literal() -> None:
    kind = custom(busy_key="100%:%d:%(pid)s%%", quiet_signal="USR2", store=FakeRedis({"100%:%d:100%%": "3"}))
    assert drain(kind, {}).busy == 3


@pytest.mark.parametrize("text", ["a 'b", ""])
def test_a_command_must_be_words(text: str) -> None:
    with pytest.raises(ValueError, match="a command"):
        parse_command(text)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"busy_key": "k"}, "either quiet_signal or quiet_command: neither is set"),
        ({"quiet_signal": "USR2"}, "either busy_key or busy_command: neither is set"),
        (
            {"quiet_signal": "USR2", "quiet_command": ("x",), "busy_command": ("x",)},
            "either quiet_signal or quiet_command: both are set",
        ),
    ],
)
def test_exactly_one_quiet_and_one_busy_must_be_set(values: dict[str, object], words: str) -> None:
    (problem,) = Custom.problems({**values, "redis": "redis://localhost"})
    assert words in problem


def test_redis_is_needed_by_busy_key_alone() -> None:
    assert (
        "busy_key needs redis" in Custom.problems({"quiet_signal": "USR2", "busy_key": "k", "redis": None})[0]
    )
    assert not Custom.problems({"quiet_signal": "USR2", "busy_command": ("x",), "redis": None})


def test_it_can_resume_exactly_when_a_signal_for_it_is_set() -> None:
    assert custom(resume_signal="CONT").traits.can_resume
    assert not custom().traits.can_resume
    signals = Signals()
    custom(signals=signals, resume_signal="CONT").resume(Target(process()), TABLE)
    assert signals.sent == [("jobs:jobs_0", "CONT")]


# --- busy


def test_an_absent_key_is_0_and_the_key_is_filled_in() -> None:
    assert drain(custom(FakeRedis(), **BY_KEY), {}).busy == 0
    assert drain(custom(FakeRedis({KEY: "7"}), **BY_KEY), {}).busy == 7


@pytest.mark.parametrize("text", ["", "none", "-1", "1.5", "1_0", "٣"])
def test_a_value_that_is_not_a_number_is_unknown_and_named(text: str) -> None:
    reading = drain(custom(FakeRedis({KEY: text}), **BY_KEY), {"told": True})
    assert reading.recognised is None and not reading.idle
    assert KEY in reading.why and "not a number" in reading.why


def test_all_workers_of_a_pool_take_two_round_trips() -> None:
    store = FakeRedis()
    targets = [Target(process(100, f"jobs_{n}")) for n in range(50)]
    assert len(custom(store, **BY_KEY).read(targets, TABLE)) == 50
    assert store.round_trips == 2


@pytest.mark.real
def test_the_size_of_a_collection_counts_and_anything_else_is_unknown(redis_server: RealRedis) -> None:
    client = redis_server.client()
    client.set("n", "4")
    client.sadd("set", "a", "b")
    client.hset("hash", mapping={"a": "1", "b": "2", "c": "3"})
    client.rpush("list", "a")
    client.zadd("zset", {"a": 1, "b": 2})
    client.xadd("stream", {"a": "1"})
    kind = custom(client, quiet_signal="USR2", busy_key="%(name)s")
    names = ("n", "set", "hash", "list", "zset", "absent", "stream")
    readings = kind.read([Target(process(100, name)) for name in names], TABLE)
    assert [readings[f"jobs:{name}"].busy for name in names] == [4, 2, 3, 1, 2, 0, None]
    assert "WRONGTYPE" in readings["jobs:stream"].why


# --- idle


def test_idle_is_believed_at_the_second_0_in_a_row_after_the_quiet() -> None:
    kind = custom(FakeRedis({KEY: "0"}), **BY_KEY)
    first = drain(kind, {"told": True})
    assert first.busy == 0 and not first.idle
    assert drain(kind, first.note).idle
    assert not drain(kind, {}).idle
    assert not read_one(kind, Target(process()), TABLE).note, "a 0 from before the quiet counts nothing"
    interrupted = drain(kind, {}).note
    assert drain(kind, interrupted).idle, "the quiet may have gone out though nobody noted it"


def test_two_looks_in_the_same_moment_are_one() -> None:
    """A TICK comes right after a step: what was taken just before the quiet may not be counted yet."""
    now = [10.0]
    defaults: dict[str, Any] = {name: option.default for name, option in Custom.options.items()}
    kind = Custom({**defaults, **BY_KEY}, tools(lambda: FakeRedis({KEY: "0"}), clock=lambda: now[0]))
    first = drain(kind, {"told": True})
    now[0] += 0.1
    second = drain(kind, first.note)
    assert not second.idle
    now[0] += 0.4
    assert drain(kind, second.note).idle


def test_a_job_or_an_unknown_reading_starts_the_row_anew() -> None:
    store = FakeRedis({KEY: "0"})
    kind = custom(store, **BY_KEY)
    once = drain(kind, {"told": True}).note

    store.data[KEY] = "1"
    after_job = drain(kind, once).note
    store.data[KEY] = "0"
    assert not drain(kind, after_job).idle

    store.error = redis.ConnectionError("away")
    after_outage = drain(kind, once).note
    store.error = None
    assert not drain(kind, after_outage).idle


def test_a_worker_that_its_quiet_suspended_is_frozen_and_not_idle() -> None:
    processes = FakeProcesses({100: "worker"})
    processes.suspended.add(100)
    kind = custom(FakeRedis(), quiet_signal="TSTP", busy_key=KEY)
    quieted = Target(process(), {"told": True, "zero_at": 0.0})
    assert read_one(kind, quieted, processes.table).frozen
    assert not read_one(kind, quieted, processes.table).idle
    assert read_one(kind, Target(process(), {}), processes.table).frozen, "the listener died at the quiet"
    assert not read_one(kind, Target(process()), processes.table).frozen, "that was not us"


@pytest.mark.parametrize("name", ["USR1", "TSTP", "WINCH"])
def test_no_drain_begins_while_the_quiet_would_end_the_worker_or_have_no_effect(name: str) -> None:
    """The worker has no handler yet, or never gets one: USR1 would end it together with its jobs."""
    processes, kind = FakeProcesses({100: "worker"}), custom(quiet_signal=name, busy_key=KEY)
    processes.caught[100] = 0
    reading = read_one(kind, Target(process()), processes.table)
    assert (reading.recognised, reading.in_service) == (True, True)
    assert f"does not handle {name}" in reading.hold and reading.remark == reading.hold
    number = signal.Signals[f"SIG{name}"]
    processes.caught[100] = 1 << (number - 1)
    assert not read_one(kind, Target(process()), processes.table).hold
    processes.caught[100], processes.blocked[100] = 0, 1 << (number - 1)
    assert not read_one(kind, Target(process()), processes.table).hold, "it waits for it with sigwait"


def test_a_drain_that_has_begun_is_not_held_by_its_signal() -> None:
    """The note says that the quiet was sent: what the process handles now says nothing about that."""
    processes, kind = FakeProcesses({100: "worker"}), custom(quiet_signal="USR1", busy_key=KEY)
    processes.caught[100] = 0
    assert not read_one(kind, Target(process(), {"told": True}), processes.table).hold


@pytest.mark.parametrize(
    "values", [{"quiet_signal": "STOP"}, {"quiet_signal": None, "quiet_command": ("true",)}]
)
def test_a_quiet_that_no_handler_takes_needs_none(values: dict[str, Any]) -> None:
    processes = FakeProcesses({100: "worker"})
    processes.caught[100] = 0
    assert not read_one(custom(busy_key=KEY, **values), Target(process()), processes.table).hold


def test_a_quiet_by_stop_is_meant_to_suspend() -> None:
    processes = FakeProcesses({100: "worker"})
    processes.suspended.add(100)
    kind = custom(FakeRedis(), quiet_signal="STOP", busy_key=KEY)
    assert not read_one(kind, Target(process(), {"told": True}), processes.table).frozen


# --- commands


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_the_quiet_signal_goes_through_supervisord() -> None:
    signals = Signals()
    assert custom(signals=signals, quiet_signal="USR2").quiet(Target(process(), {}), TABLE) == {"told": True}
    assert signals.sent == [("jobs:jobs_0", "USR2")]


def test_the_quiet_command_is_filled_in_word_by_word_and_sees_no_shell(tmp_path: Path) -> None:
    record = tmp_path / "record"
    code = f"import sys; open({str(record)!r}, 'w').write('|'.join(sys.argv[1:]))"
    command = parse_command(f'"{sys.executable}" -c "{code}" %(name)s $HOME ; %(pid)s')
    target = Target(process(name="two words"), {})
    assert custom(quiet_command=command).quiet(target, TABLE) == {"told": True}
    assert record.read_text() == "two words|$HOME|;|100"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (python("import sys; sys.exit('no such worker')"), "status 1: no such worker"),
        (("/no/such/program",), "No such file"),
        (python("print('three')"), "not a number of jobs: 'three"),
        (python("pass"), "not a number of jobs: ''"),
    ],
)
def test_a_busy_command_that_fails_is_unknown_and_named(command: tuple[str, ...], words: str) -> None:
    reading = drain(custom(busy_command=command), {"told": True, "zero_at": 0.0})
    assert reading.recognised is None and not reading.idle
    assert words in reading.why
    assert reading.note == {"told": True}
    is_answer = "not a number" in words
    assert bool(reading.source_away) is not is_answer, "a command that answered is no outage"


@pytest.mark.parametrize(
    ("command", "words"),
    [(python("raise SystemExit(3)"), "status 3"), (("/no/such/program",), "No such file")],
)
def test_a_quiet_command_that_fails_is_not_sent(command: tuple[str, ...], words: str) -> None:
    with pytest.raises(NotSent, match=words):
        custom(quiet_command=command).quiet(Target(process(), {}), TABLE)


def test_a_command_that_fails_is_named_without_its_other_words() -> None:
    """They may hold a secret, and the reason reaches logs, messages and the web page."""
    command = (*python("raise SystemExit(3)"), "-a", "s3cret")
    reading = drain(custom(busy_command=command), {"told": True, "zero_at": 0.0})
    assert reading.why == f"busy_command: {sys.executable}: status 3"
    with pytest.raises(NotSent) as failed:
        custom(quiet_command=command).quiet(Target(process(), {}), TABLE)
    assert str(failed.value) == f"{sys.executable}: status 3"


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    record = tmp_path / "pid"
    code = (
        "import subprocess, sys, time; child = subprocess.Popen(['sleep', '600']);"
        f"open({str(record)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    kind = custom(busy_command=python(code), command_timeout=5.0)
    began = time.monotonic()
    reading = drain(kind, {"told": True})
    assert "not done within 5 s" in reading.why
    assert time.monotonic() - began < 75
    child = int(record.read_text())
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_a_busy_command_counts_and_a_mere_check_does_not_fork(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    kind = custom(busy_command=python(f"open({str(mark)!r}, 'w'); print(' 2 ')"))
    in_service = read_one(kind, Target(process()), TABLE)
    assert (in_service.recognised, in_service.in_service, in_service.busy) == (True, True, None)
    assert in_service.why == "" and not mark.exists()
    assert drain(kind, {"told": True}).busy == 2 and mark.exists()


@pytest.mark.parametrize(
    ("values", "is_refused"),
    [
        ({"quiet_signal": "USR1"}, True),
        ({"quiet_signal": None, "quiet_command": ("touch", "/srv/%(pid)s")}, True),
        ({"quiet_signal": None, "quiet_command": ("touch", "/srv/quiet")}, False),
    ],
)
def test_a_shell_in_front_of_the_worker_gets_no_signal(values: dict[str, Any], is_refused: bool) -> None:
    """It would die of it, and leave the worker behind; and what is counted by its pid is nobody's."""
    kind = custom(busy_key="jobs", **values)
    wrapper = "sh -c cd /srv; node worker.js; true"
    reading = read_one(kind, Target(process()), FakeProcesses({100: wrapper}).table)
    assert (reading.recognised is False) == is_refused
    program = program_info("sh -c 'cd /srv; node worker.js; true'")
    assert bool(kind.advice(program, 60.0)) == is_refused


@pytest.mark.parametrize("option", ["quiet_command", "busy_command"])
@pytest.mark.parametrize(
    ("command", "is_refused"),
    [
        ("/nope/tool", True),
        (str(Path(__file__)), True),
        (sys.executable, False),
        ("sh", False),
        ("no-such-tool", True),
        ("./no-such-tool", True),
    ],
    ids=["missing", "not executable", "there", "in PATH", "not in PATH", "missing here"],
)
def test_a_command_that_cannot_be_executed_refuses_the_drain(
    option: str, command: str, is_refused: bool
) -> None:
    """Noticed in the drain only, it would leave the pool waiting for its end."""
    values: dict[str, Any] = {option: (command,)}
    advice = custom(**values).advice(program_info("worker"), 60.0)
    assert [one.text for one in advice if one.refuses] == (
        [f"{option}: {command} is not an executable file"] if is_refused else []
    )


@pytest.mark.parametrize(("stopsignal", "expected"), [(9, True), (15, False), (2, False)])
def test_stop_by_sigkill_cuts_jobs(stopsignal: int, expected: bool) -> None:
    advice = custom().advice(program_info("worker", stopsignal=stopsignal), 60.0)
    assert [one.cuts_jobs for one in advice] == ([True] if expected else [])
    assert not any(one.refuses for one in advice)
