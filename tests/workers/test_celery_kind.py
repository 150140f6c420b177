"""Celery: readings from the answers of nodes, and the commands sent to them. On a fake control."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import pytest

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.testing.contract_suite import GARBAGE, OUTAGES, ContractSuite, check_reading
from supervisor_memkill.testing.fakes import FakeProcesses, FakeRedis, process, read_one, tools
from supervisor_memkill.workers.celery.control import Answers, Command
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.celery.nodes import QUESTIONS
from supervisor_memkill.workers.celery.remote import (
    ANSWER_SECONDS,
    DUE_PATIENCE_SECONDS,
    DUE_SECONDS,
    LONGEST_PAUSE_SECONDS,
)
from supervisor_memkill.workers.contract import Kind, Note, Reading, Target

HOST = "web1.example"
PID, CHILD = 100, 101
ONE = f"one@{HOST}"
TITLE = "/srv/venv/bin/python /srv/venv/bin/celery -A app worker -n one@%h"
SCRIPT = "/srv/venv/bin/python /srv/app/work.py"
EPOCH = 1_700_000_000.0
"""When the machine was started."""
UPTIME = 850
"""Of a node by its own word. The machine runs for 1000 s, and each process began at its pid in seconds."""
SHELL = "sh -c celery -A app worker -n one@%h; true"


def queue(name: str, exchange_type: str = "direct") -> dict[str, Any]:
    return {
        "name": name,
        "exchange": {"name": name, "type": exchange_type, "durable": True},
        "routing_key": f"{name}.key",
        "durable": True,
    }


class Node:
    """One worker as its answers show it."""

    def __init__(self, name: str = ONE, pid: object = PID, *queues: str) -> None:
        self.name = name
        self.pid = pid
        self.queues: Any = [queue(one) for one in queues or ("celery",)]
        self.uptime: object = UPTIME
        self.children: Any = []
        self.total: Any = {}
        self.reserved: Any = []
        self.active: Any = []
        self.scheduled: Any = []
        self.deaf = False
        self.is_late = False
        """The node runs a command after the next question."""
        self.received: list[Command] = []

    def answer(self, question: str) -> object:
        stats = {"pid": self.pid, "uptime": self.uptime, "pool": {"processes": self.children}}
        stats["total"] = self.total
        return {"stats": stats, "active_queues": self.queues}.get(question, getattr(self, question, None))

    def do(self, command: Command) -> None:
        self.received.append(command)
        if self.is_late:
            return
        name = command.arguments.get("queue")
        if command.name == "cancel_consumer":
            self.queues = [one for one in self.queues if one["name"] != name]
        elif command.name == "add_consumer":
            self.queues = [*self.queues, queue(str(name))]


class FakeControl:
    """Nodes that answer at once; raises `error` instead once that is set."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = list(nodes)
        self.error: Exception | None = None
        self.asked: list[tuple[tuple[str, ...], tuple[str, ...] | None, bool]] = []

    def ask(
        self, names: Sequence[str], nodes: Collection[str] | None, seconds: float, *, whole: bool = False
    ) -> Answers:
        assert seconds <= ANSWER_SECONDS
        self.asked.append((tuple(names), None if nodes is None else tuple(nodes), whole))
        if self.error is not None:
            raise self.error
        heard = [one for one in self.nodes if not one.deaf and (nodes is None or one.name in nodes)]
        return {name: [(one.name, one.answer(name)) for one in heard] for name in names}

    def tell(self, node: str, commands: Sequence[Command]) -> None:
        if self.error is not None:
            raise self.error
        for one in self.nodes:
            if one.name == node and not one.deaf:
                for command in commands:
                    one.do(command)


class Machine:
    """A supervised process, its node, and the kind that looks at both."""

    def __init__(self, title: str = TITLE, node: Node | None = None) -> None:
        self.node = node or Node()
        self.control = FakeControl(self.node)
        self.processes = FakeProcesses({PID: title, CHILD: TITLE}, {CHILD: PID})
        self.now = 1000.0
        clock = tools(clock=lambda: self.now)
        self.kind = Celery({"broker": None}, clock, self.control, HOST, wall=lambda: EPOCH + self.now)

    def read(self, note: Note | None = None) -> Reading:
        reading = read_one(self.kind, Target(process(PID), note), self.processes.table)
        check_reading(reading)
        return reading

    def quiet(self, note: Note) -> Note:
        return self.kind.quiet(Target(process(PID), note), self.processes.table)

    def resume(self, note: Note) -> None:
        self.kind.resume(Target(process(PID), note), self.processes.table)

    def drained(self) -> Note:
        """The note of a worker that was quieted."""
        return self.quiet(self.read().note)


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


# --- recognising


def test_a_node_with_the_pid_and_the_host_is_in_service_with_its_queues() -> None:
    machine = Machine(node=Node(ONE, PID, "high", "low"))
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.quiet) == (True, True, False)
    assert (reading.queues, reading.why, reading.remark) == (frozenset({"high", "low"}), "", "")
    assert machine.control.asked == [(QUESTIONS, (ONE,), False)], "one question round, by its name"


def test_running_tasks_are_the_reserved_and_the_active_ones() -> None:
    machine = Machine()
    machine.node.reserved, machine.node.active = [{"name": "app.mail"}], [{"name": "app.bill"}]
    reading = machine.read()
    assert (reading.busy, reading.jobs) == (2, ("app.mail", "app.bill"))


def test_begun_tasks_are_those_that_the_node_counts() -> None:
    machine = Machine()
    machine.node.total = {"app.mail": 3, "app.bill": 1}
    assert machine.read().runs == {"app.mail": 3, "app.bill": 1}


@pytest.mark.parametrize("garbage", [None, 7, [], "x"])
def test_begun_tasks_that_the_node_does_not_count_are_unknown_and_nothing_else_is(garbage: object) -> None:
    machine = Machine()
    machine.node.total = garbage
    reading = machine.read()
    assert (reading.runs, reading.in_service) == (None, True)


def test_counts_that_are_none_are_left_out() -> None:
    machine = Machine()
    machine.node.total = {"app.mail": 3, "app.bill": "2", "app.sync": True, "app.none": -1}
    assert machine.read().runs == {"app.mail": 3}


def test_questions_are_asked_in_the_order_in_which_no_task_is_missed() -> None:
    assert QUESTIONS.index("active_queues") < QUESTIONS.index("reserved") < QUESTIONS.index("active")


def test_a_queue_that_is_its_own_needs_no_peer() -> None:
    machine = Machine()
    machine.node.queues = [queue("celery"), queue(f"{ONE}.dq2"), queue("bcast.17", "fanout")]
    assert machine.read().queues == {"celery"}


def test_a_node_that_the_command_line_does_not_name_is_found_by_its_pid() -> None:
    machine = Machine(SCRIPT, Node(f"w7@{HOST}", PID))
    assert machine.read().recognised
    assert machine.read().recognised
    assert [nodes for _, nodes, _ in machine.control.asked] == [None, (f"w7@{HOST}",), (f"w7@{HOST}",)]


def test_the_same_pid_on_another_host_is_not_recognised() -> None:
    machine = Machine(SCRIPT, Node("w7@web2.example", PID))
    reading = machine.read()
    assert reading.recognised is None and "if that is this machine" in reading.why


@pytest.mark.parametrize("uptime", [4500, 920, None, True, "850", float("nan")])
def test_a_node_with_the_same_name_and_pid_but_another_uptime_is_not_believed(uptime: object) -> None:
    """Of a container with the same host name. Ours would be stopped at its tasks on the other's word."""
    machine = Machine()
    machine.node.uptime, machine.node.queues = uptime, []
    reading = machine.read()
    assert not reading.recognised and not reading.idle and reading.quiet is None
    if isinstance(uptime, int) and uptime > 1:
        assert "before this process" in reading.why and "same host name" in reading.why
    with pytest.raises(NotSent):
        machine.quiet({"node": ONE, "queues": [{"queue": "celery"}], "shared": []})
    assert machine.node.received == []


def test_a_node_that_was_started_anew_by_hup_is_known_by_the_processes_of_its_pool() -> None:
    """HUP makes Celery exec itself: the process stays, its uptime begins again."""
    machine = Machine()
    machine.now, machine.node.uptime = 20_000.0, 60
    assert machine.read().recognised is False
    machine.node.children = [CHILD]
    assert machine.read().recognised
    machine.node.children = [CHILD, 555]
    assert machine.read().recognised is False


def test_a_node_under_another_host_name_of_this_machine_is_named_or_accepted() -> None:
    machine = Machine(SCRIPT, Node("w7@old.example", PID))
    assert "set record_hosts = old.example" in machine.read().why
    known = tools(clock=lambda: machine.now)
    values = {"broker": None, "record_hosts": ("old.*",)}
    machine.kind = Celery(values, known, machine.control, HOST, wall=lambda: EPOCH + machine.now)
    assert machine.read().recognised


def test_of_two_with_one_name_the_one_that_nobody_supervises_is_named() -> None:
    machine = Machine()
    machine.control.nodes.append(Node(ONE, 200))
    machine.processes.titles[200], machine.processes.leaders[200] = TITLE, 199
    assert "nobody supervises 200 any more, end it" in machine.read().why
    (found,) = machine.kind.left_behind({PID}, machine.processes.table)
    assert (found.pid, found.record) == (200, ONE)
    assert [nodes for _, nodes, _ in machine.control.asked] == [(ONE,)], "the broker is not asked for it"


def test_of_a_name_that_a_process_has_which_nobody_supervises_that_process_is_named() -> None:
    """Its answer came first, and the worker's own was not waited for."""
    machine = Machine(node=Node(ONE, 200))
    machine.processes.titles[200], machine.processes.leaders[200] = TITLE, 199
    assert "200, which nobody supervises any more" in machine.read().why


def test_while_the_broker_is_away_each_reading_says_so() -> None:
    machine = Machine()
    machine.control.error = Unknown("broker: Connection refused")
    assert machine.read().source_away == "broker: Connection refused"
    machine.control.error = None
    assert machine.read().source_away == ""


def test_a_fixed_name_on_the_command_line_is_accepted_on_any_host() -> None:
    machine = Machine("celery -A app worker -n mail", Node("celery@mail", PID))
    assert machine.read().recognised


@pytest.mark.parametrize("pids", [(PID, 555), (555, PID), (PID, PID)])
def test_two_answers_under_one_name_are_not_recognised(pids: tuple[int, int]) -> None:
    """Both run what one of them receives."""
    machine = Machine(node=Node(ONE, pids[0]))
    machine.control.nodes.append(Node(ONE, pids[1]))
    reading = machine.read()
    assert (reading.recognised, reading.in_service) == (False, None)
    assert "more than one worker has the name" in reading.why and "-n" in reading.why


def test_two_programs_with_one_name_are_not_recognised_even_if_one_is_silent() -> None:
    machine = Machine()
    machine.processes.titles[200] = TITLE
    targets = [Target(process(PID, "one")), Target(process(200, "two"))]
    readings = machine.kind.read(targets, machine.processes.table)
    assert [reading.recognised for reading in readings.values()] == [False, False]
    assert machine.control.asked == []


def test_a_name_that_another_process_has_is_not_recognised() -> None:
    machine = Machine(node=Node(ONE, 555))
    reading = machine.read()
    assert reading.recognised is False and "555" in reading.why


def test_behind_a_shell_it_is_not_recognised_and_exec_is_named() -> None:
    machine = Machine(SHELL, Node(ONE, CHILD))
    reading = machine.read()
    assert (reading.recognised, reading.in_service) == (False, True), "a peer it is all the same"
    assert "with exec" in reading.why and str(CHILD) in reading.why


def test_behind_another_wrapper_celery_itself_gets_a_shutdown() -> None:
    machine = Machine("uv run celery -A app worker -n one@%h", Node(ONE, CHILD))
    reading = machine.read()
    assert reading.recognised and "must pass signals on to it" in reading.remark
    machine.kind.before_stop(Target(process(PID), reading.note), machine.processes.table)
    assert [command.name for command in machine.node.received] == ["shutdown"]


def test_without_a_wrapper_only_supervisord_stops_the_worker() -> None:
    machine = Machine()
    note = machine.read().note
    machine.kind.before_stop(Target(process(PID), note), machine.processes.table)
    assert machine.node.received == []


def test_a_process_that_is_gone_is_unknown() -> None:
    machine = Machine()
    machine.processes.titles.clear()
    assert machine.read().recognised is None


def test_a_fresh_process_is_not_taken_for_the_one_before_it() -> None:
    machine = Machine(SCRIPT, Node(f"w7@{HOST}", PID))
    assert machine.read().recognised
    machine.node.deaf = True
    later = Target(process(PID, start=process().start + 9))
    assert read_one(machine.kind, later, machine.processes.table).recognised is None
    assert machine.control.asked[-1][1] is None, "asked for by its pid"


def test_a_namesake_that_answers_only_some_questions_leaves_all_unknown() -> None:
    """It is unknown which of the two has running tasks."""
    machine = Machine()
    note = machine.drained()

    class Echo(FakeControl):
        def ask(
            self, names: Sequence[str], nodes: Collection[str] | None, seconds: float, *, whole: bool = False
        ) -> Answers:
            answers = dict(super().ask(names, nodes, seconds, whole=whole))
            return {**answers, "reserved": [*answers["reserved"], (ONE, [])]}

    known = tools(clock=lambda: machine.now)
    machine.kind = Celery({}, known, Echo(machine.node), HOST, wall=lambda: EPOCH + machine.now)
    reading = machine.read(note)
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
