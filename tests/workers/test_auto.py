"""``worker = auto``: what is held until the kind is certain, and what is passed on to it. On fakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from supervisor_memkill.errors import NotSent
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, FakeRedis, process, program_info, tools
from supervisor_memkill.workers.auto import Auto
from supervisor_memkill.workers.base import BaseKind
from supervisor_memkill.workers.contract import Note, Reading, Target, Tools, Traits
from supervisor_memkill.world.memory import ProcessTable

LARAVEL = "php8.4 /srv/app/artisan queue:work --timeout=600"
DRAMATIQ = "/venv/bin/python /venv/bin/dramatiq app.tasks"
SHELL = "sh /srv/app/worker.sh"


class TestContract(ContractSuite):
    kind = Auto
    values: ClassVar[Mapping[str, Any]] = {}
    title = DRAMATIQ


# --- a pool


class Pool:
    """Some processes of one pool, and the kind that looks at them."""

    def __init__(self, *titles: str, has_redis: bool = False) -> None:
        self.processes = FakeProcesses(dict(enumerate(titles, 100)))
        self.kind = Auto({}, tools(FakeRedis if has_redis else None))

    def read(self, notes: Mapping[int, Any] | None = None) -> Sequence[Reading]:
        targets = [Target(worker(pid), (notes or {}).get(pid)) for pid in sorted(self.processes.titles)]
        found = self.kind.read(targets, self.processes.table)
        return [found[target.process.worker] for target in targets]


def worker(pid: int) -> ProcessInfo:
    return process(pid, f"jobs_{pid}")


def test_workers_of_one_kind_are_read_by_that_kind() -> None:
    pool = Pool(DRAMATIQ, DRAMATIQ)
    assert [(one.recognised, one.in_service) for one in pool.read()] == [(True, True)] * 2
    assert (pool.kind.traits.quiets, pool.kind.traits.measure) == (False, "pss")
    assert pool.kind.memory_in_children(worker(100), pool.processes.table)
    (advice,) = pool.kind.advice(program_info("dramatiq app", stopwaitsecs=10), None)[:1]
    assert advice.refuses and "Dramatiq drains by stopping" in advice.text


def test_while_no_kind_is_known_every_worker_is_held_and_nothing_is_sent() -> None:
    pool = Pool("python run.py")
    (reading,) = pool.read()
    assert (reading.recognised, reading.in_service, reading.idle) == (False, None, False)
    assert "'python run.py'" in reading.why and "set worker = NAME in place of worker = auto" in reading.why
    assert pool.kind.traits.quiets and pool.kind.traits.confirms_quiet, "a drain from the journal waits"
    assert pool.kind.find_others([Target(worker(100))], pool.processes.table) == ""
    with pytest.raises(NotSent, match="the kind of the worker is not known"):
        pool.kind.quiet(Target(worker(100)), pool.processes.table)


def test_a_drain_from_the_journal_waits_while_no_kind_is_known() -> None:
    (reading,) = Pool("python run.py").read({100: {"since": 1.0}})
    assert (reading.recognised, reading.quiet, reading.idle) == (False, None, False)
    assert reading.note == {"since": 1.0}


def test_a_pool_with_two_kinds_is_held_with_what_to_write() -> None:
    pool = Pool(DRAMATIQ, "php bin/console messenger:consume async")
    for reading in pool.read():
        assert reading.recognised is False
        assert "dramatiq: jobs:jobs_100, messenger: jobs:jobs_101" in reading.why
        assert "write a [memkill:NAME] section for each kind" in reading.why


def test_one_worker_of_no_kind_among_others_is_held_alone() -> None:
    known, other = Pool(DRAMATIQ, "python /srv/dramatiq/run.py").read()
    assert known.recognised and other.recognised is False
    assert "no kind is known by the command line" in other.why


def test_a_kind_that_needs_settings_is_held_with_the_setting() -> None:
    (sidekiq,) = Pool("sidekiq 7.3.2 app [0 of 5 busy]").read()
    assert "look like Sidekiq workers, which need redis" in sidekiq.why
    (arq,) = Pool("arq app.WorkerSettings", has_redis=True).read()
    assert "job_completion_wait" in arq.why and "set worker = arq" in arq.why
    (celery,) = Pool("celery -A app worker").read()
    assert "needs broker" in celery.why and "set worker = celery" in celery.why


def test_with_redis_a_kind_that_needs_it_is_chosen() -> None:
    pool = Pool("sidekiq 7.3.2 app [0 of 5 busy]", has_redis=True)
    (reading,) = pool.read()
    assert "no Sidekiq record" in reading.why and pool.kind.traits.names_jobs


def test_the_kind_of_a_drain_stays_while_titles_change() -> None:
    """The note is that of one kind: another one would read it wrongly."""
    pool = Pool(DRAMATIQ, DRAMATIQ)
    pool.read()
    pool.processes.titles[100] = "php bin/console messenger:consume async"
    drained, other = pool.read({100: {"since": 1.0}})
    assert pool.kind._name == "dramatiq" and other.recognised
    assert drained.recognised is False and drained.note == {"since": 1.0}


def test_other_workers_after_a_change_of_the_program_are_of_their_own_kind() -> None:
    pool = Pool(DRAMATIQ)
    pool.read()
    pool.processes.titles = {102: "taskiq worker app:broker", 103: "taskiq worker app:broker"}
    assert all(reading.recognised for reading in pool.read()) and pool.kind._name == "taskiq"


def test_one_look_at_a_single_worker_does_not_forget_the_others() -> None:
    """A step of a drain reads one worker alone."""
    pool = Pool(DRAMATIQ, "php bin/console messenger:consume async")
    pool.read()
    target = Target(worker(100))
    reading = pool.kind.read([target], pool.processes.table)[target.process.worker]
    assert reading.recognised is False and "more than one kind" in reading.why


# --- what is passed on


class Recording(BaseKind):
    """Notes what it is asked for."""

    framework: ClassVar[str] = "Framework"
    traits = Traits(quiets=True)

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None:
        super().__init__(values, tools)
        self.asked: list[tuple[str, list[int]]] = []

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        return [f"its redis is {values['redis']}"] if values["redis"] else []

    @classmethod
    def matches_command(cls, title: str) -> bool:
        return "first" in title

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        self.asked.append(("read", [one.process.pid for one in targets]))
        return {one.process.worker: Reading(True, True, False, 0, note=one.note or {}) for one in targets}

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        self.asked.append(("quiet", [target.process.pid]))
        return {}

    def resume(self, target: Target, table: ProcessTable) -> None:
        self.asked.append(("resume", [target.process.pid]))

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        self.asked.append(("before_stop", [target.process.pid]))

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        return "others"


class Second(Recording):
    @classmethod
    def matches_command(cls, title: str) -> bool:
        return "second" in title


KNOWN = {"first": Recording, "second": Second}


class SmallPool(Pool):
    """The same with two kinds alone."""

    def __init__(self, *titles: str, has_redis: bool = False) -> None:
        super().__init__(*titles)
        self.kind = Auto({}, tools(FakeRedis if has_redis else None), KNOWN)

    @property
    def recording(self) -> Recording:
        assert isinstance(self.kind._kind, Recording)
        return self.kind._kind


def test_what_a_drain_does_is_done_by_the_kind_that_was_recognised() -> None:
    pool = SmallPool("first")
    pool.read()
    target = Target(worker(100))
    pool.kind.quiet(target, pool.processes.table)
    pool.kind.before_stop(target, pool.processes.table)
    pool.kind.resume(target, pool.processes.table)
    assert [what for what, _ in pool.recording.asked] == ["read", "quiet", "before_stop", "resume"]
    assert pool.kind.find_others([target], pool.processes.table) == "others"


def test_the_kind_is_made_once_and_keeps_what_it_knows() -> None:
    pool = SmallPool("first")
    pool.read()
    made = pool.recording
    pool.read()
    assert pool.recording is made and len(made.asked) == 2


def test_after_a_restart_of_the_listener_the_kind_of_a_drain_is_recognised_again() -> None:
    (reading,) = SmallPool("first").read({100: {"since": 1.0}})
    assert reading.recognised and reading.note == {"since": 1.0}


def test_a_worker_in_a_drain_is_read_by_its_kind_whatever_its_title_says() -> None:
    pool = SmallPool("first", "first")
    pool.read()
    pool.processes.titles[100] = "second"
    pool.read({100: {"since": 1.0}})
    assert pool.recording.asked[-1] == ("read", [100, 101])


def test_a_kind_is_asked_for_nothing_when_no_worker_is_of_it() -> None:
    pool = SmallPool("first")
    pool.read()
    pool.processes.titles[100] = "neither"
    assert [one.recognised for one in pool.read()] == [False]
    assert len(pool.recording.asked) == 1


def test_a_command_line_of_two_kinds_or_of_none_is_held_in_its_own_words() -> None:
    (both,) = SmallPool("first and second").read()
    assert "may be that of first or second" in both.why
    (none,) = SmallPool("neither").read()
    assert "no kind is known by the command line 'neither'" in none.why
    (hidden,) = SmallPool("").read()
    assert (hidden.recognised, hidden.why) == (None, "the command line of the process cannot be read")


def test_a_kind_is_judged_with_the_redis_of_the_pool() -> None:
    (reading,) = SmallPool("first", has_redis=True).read()
    assert "its redis is redis://localhost" in reading.why and "set worker = first" in reading.why
    (reading,) = SmallPool("first").read()
    assert reading.recognised


class Silent(Recording):
    """A kind of another package, which cannot say what else is there."""

    find_others = None  # type: ignore[assignment]


def test_a_kind_that_finds_no_others_is_not_asked_for_them() -> None:
    pool = SmallPool("first")
    pool.kind = Auto({}, tools(None), {"first": Silent})
    pool.read()
    assert pool.kind.find_others([Target(worker(100))], pool.processes.table) == ""
