"""Celery: silence, quiet, idle and resume, by the answers of nodes. On a fake control."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import pytest

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.testing.contract_suite import GARBAGE, OUTAGES, ContractSuite
from supervisor_memkill.testing.fakes import FakeRedis, process, tools
from supervisor_memkill.workers.celery.control import Answers
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.celery.nodes import QUESTIONS
from supervisor_memkill.workers.celery.remote import (
    DUE_PATIENCE_SECONDS,
    DUE_SECONDS,
    LONGEST_PAUSE_SECONDS,
)
from supervisor_memkill.workers.contract import Kind, Note, Target
from tests.workers.celery_machine import (
    EPOCH,
    HOST,
    ONE,
    PID,
    TITLE,
    FakeControl,
    Machine,
    Node,
    queue,
)


class TestContract(ContractSuite):
    kind = Celery
    values: ClassVar[Mapping[str, Any]] = {"broker": "amqp://localhost//"}
    title = TITLE
    note: ClassVar[Note] = {"node": ONE, "queues": [{"queue": "celery"}], "shared": ["celery"]}

    def make(self, store: FakeRedis) -> Kind:
        return Celery(self.values, tools(), FakeControl(Node()), HOST)


@pytest.mark.parametrize("error", [error for error in OUTAGES if isinstance(error, MemkillError)])
def test_without_the_broker_everything_is_unknown_and_the_note_is_kept(error: Exception) -> None:
    machine = Machine()
    machine.control.error = error
    reading = machine.read({"kept": 1})
    assert (reading.recognised, reading.quiet, reading.busy, reading.idle) == (None, None, None, False)
    assert reading.note == {"kept": 1} and reading.why


@pytest.mark.parametrize(
    "garbage", [*GARBAGE, {}, [1], [{}], [{"name": 1}], {"error": "KeyError()"}, 7, True]
)
@pytest.mark.parametrize("question", ["pid", "queues", "reserved", "active"])
def test_an_answer_that_is_none_is_unknown(question: str, garbage: object) -> None:
    machine = Machine()
    note = machine.drained()
    if (question, garbage) == ("pid", 7):
        return  # that is a pid
    setattr(machine.node, question, garbage)
    reading = machine.read(note)
    if (question, garbage) in [("reserved", [{}]), ("reserved", [{"name": 1}])] or question == "active":
        assert not reading.idle
    else:
        assert (reading.recognised, reading.idle) == (None, False)


# --- silence


def test_silence_is_unknown_and_is_not_asked_again_at_once() -> None:
    machine = Machine()
    note = machine.drained()
    machine.node.deaf = True
    asked = len(machine.control.asked)
    for _ in range(600):
        reading = machine.read(note)
        assert (reading.recognised, reading.quiet, reading.idle) == (None, None, False)
        assert "does not answer" in reading.why and reading.note == note
        machine.now += 0.1
    assert 10 <= len(machine.control.asked) - asked <= 40
    machine.node.deaf = False
    machine.now += LONGEST_PAUSE_SECONDS
    assert machine.read(note).idle


def test_a_silent_worker_hides_no_other() -> None:
    machine = Machine()
    machine.processes.titles[200] = TITLE.replace("one", "two")
    machine.control.nodes.append(Node(f"two@{HOST}", 200))
    machine.control.nodes[1].uptime = 750
    machine.node.deaf = True
    targets = [Target(process(PID, "one")), Target(process(200, "two"))]
    one, two = machine.kind.read(targets, machine.processes.table).values()
    assert (one.recognised, two.recognised) == (None, True)


# --- quiet, idle, resume


def test_its_queues_are_noted_before_the_quiet_and_cancelled_by_it() -> None:
    machine = Machine(node=Node(ONE, PID, "high", "low"))
    note = machine.read().note
    assert [one["queue"] for one in note["queues"]] == ["high", "low"]
    assert machine.quiet(note) == note
    sent = [(command.name, command.arguments) for command in machine.node.received]
    assert sent == [("cancel_consumer", {"queue": "high"}), ("cancel_consumer", {"queue": "low"})]
    reading = machine.read(note)
    assert (reading.quiet, reading.in_service, reading.queues) == (True, False, frozenset({"high", "low"}))
    assert reading.note == note, "what a resume needs is kept"


def test_before_the_quiet_a_second_node_of_the_name_is_searched_for_the_whole_time() -> None:
    machine = Machine()
    machine.drained()
    assert machine.control.asked[-1] == (QUESTIONS, (ONE,), True)


@pytest.mark.parametrize("change", ["pid", "twin", "deaf", "queues", "away"])
def test_the_quiet_is_not_sent_when_anything_changed_since_the_reading(change: str) -> None:
    machine = Machine()
    note = machine.read().note
    twin = Node()
    if change == "pid":
        machine.node.pid = 555
    elif change == "twin":
        machine.control.nodes.append(twin)
    elif change == "deaf":
        machine.node.deaf = True
    elif change == "queues":
        machine.node.queues.append(queue("new"))
    else:
        machine.control.error = Unknown("broker: away")
    with pytest.raises(NotSent, match="more than one worker" if change == "twin" else None):
        machine.quiet(note)
    assert machine.node.received == twin.received == []


def test_a_worker_is_idle_only_if_it_is_quiet_and_has_no_running_task() -> None:
    machine = Machine()
    assert not machine.read().idle and not machine.read({}).idle
    note = machine.drained()
    assert machine.read(note).idle
    assert not machine.read().idle, "without a note nothing was done to it"
    machine.node.reserved = [{"name": "app.mail"}]
    assert not machine.read(note).idle
    machine.node.reserved, machine.node.active = [], [{"name": "app.mail"}]
    assert not machine.read(note).idle


def eta(seconds: float, offset_hours: int = 0) -> dict[str, Any]:
    """A task that comes due at this second of the machine's life."""
    zone = timezone(timedelta(hours=offset_hours))
    return {"eta": datetime.fromtimestamp(EPOCH + seconds, zone).isoformat(), "request": {"name": "app.mail"}}


@pytest.mark.parametrize("zone", [0, 5, -8])
def test_the_stop_does_not_wait_for_tasks_that_become_due_later(zone: int) -> None:
    """The stop gives them back."""
    machine = Machine()
    note = machine.drained()
    machine.node.scheduled = [eta(machine.now + DUE_SECONDS + 1, zone), eta(machine.now + 9999, zone)]
    assert machine.read(note).idle
    machine.node.scheduled.append(eta(machine.now + DUE_SECONDS - 1, zone))
    assert not machine.read(note).idle


@pytest.mark.parametrize(
    "scheduled",
    [None, {}, "x", [7], [{}], [{"eta": None}], [{"eta": "soon"}], [{"eta": "9999-99-99"}], [eta(0)]],
)
def test_the_stop_waits_for_a_limited_time_while_a_task_may_become_due(scheduled: object) -> None:
    """It may be both run and given back: so a better moment is waited for."""
    machine = Machine()
    note = machine.drained()
    machine.node.scheduled = scheduled
    began = machine.now
    reading = machine.read(note)
    while not reading.idle:
        assert reading.quiet and "comes due" in reading.why
        machine.now += 1.0
        reading = machine.read(reading.note)
    assert began + DUE_PATIENCE_SECONDS <= machine.now <= began + DUE_PATIENCE_SECONDS + 1


def test_a_task_that_became_due_between_two_questions_counts_as_running() -> None:
    machine = Machine()
    note = machine.drained()

    class Due(FakeControl):
        def ask(
            self, names: Sequence[str], nodes: Collection[str] | None, seconds: float, *, whole: bool = False
        ) -> Answers:
            answers = super().ask(names, nodes, seconds, whole=whole)
            if "scheduled" in names:
                return {**answers, "reserved": [(ONE, [{"name": "app.mail"}])]}
            return answers

    machine.kind = Celery({}, tools(), Due(machine.node), HOST)
    assert not machine.read(note).idle


def test_a_worker_without_queues_is_not_in_service() -> None:
    machine = Machine()
    machine.node.queues = []
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.quiet) == (True, False, True)
    assert "no queue" in reading.why


def test_a_resume_adds_what_the_note_holds_and_is_sure_of_it() -> None:
    machine = Machine(node=Node(ONE, PID, "high", "low"))
    note = machine.drained()
    machine.node.received.clear()
    machine.resume(note)
    assert [command.name for command in machine.node.received] == ["add_consumer"] * 2
    assert machine.node.received[0].arguments == {
        "queue": "high",
        "exchange": "high",
        "exchange_type": "direct",
        "routing_key": "high.key",
    }
    assert machine.read().in_service
    machine.resume(note)
    assert len(machine.node.received) == 2, "nothing was missing"


@pytest.mark.parametrize("trouble", ["late", "deaf", "away", "pid"])
def test_a_resume_that_is_not_confirmed_raises_and_can_be_repeated(trouble: str) -> None:
    machine = Machine()
    note = machine.drained()
    machine.node.is_late = trouble == "late"
    machine.node.deaf = trouble == "deaf"
    machine.control.error = Unknown("broker: away") if trouble == "away" else None
    machine.node.pid = 555 if trouble == "pid" else PID
    with pytest.raises(MemkillError):
        machine.resume(note)
    machine.node.is_late = machine.node.deaf = False
    machine.control.error, machine.node.pid = None, PID
    machine.resume(note)
    assert machine.read().in_service


def test_memory_is_its_trees_and_shared_pages_count_once() -> None:
    machine = Machine()
    assert machine.kind.memory_in_children(process(PID), machine.processes.table)
    assert machine.kind.traits.measure == "pss"
