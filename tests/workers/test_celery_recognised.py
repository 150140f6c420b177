"""Celery: which node is a worker's own. On a fake control."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from supervisor_memkill.errors import NotSent, Unknown
from supervisor_memkill.testing.fakes import process, read_one, tools
from supervisor_memkill.workers.celery.control import Answers
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.celery.nodes import QUESTIONS, state_of
from supervisor_memkill.workers.contract import Target
from tests.workers.celery_machine import (
    CHILD,
    EPOCH,
    HOST,
    ONE,
    PID,
    SCRIPT,
    SHELL,
    TITLE,
    FakeControl,
    Machine,
    Node,
    queue,
)


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


def test_a_solo_node_of_another_container_is_not_known_by_the_pid_that_it_names_as_its_pools() -> None:
    """Containers of one image and host name have workers of the same pid. Ours is silent while it works."""
    machine = Machine()
    machine.now, machine.node.uptime, machine.node.queues = 20_000.0, 60, []
    machine.node.children = [PID]
    reading = machine.read({"node": ONE, "queues": [{"queue": "celery"}], "shared": []})
    assert reading.recognised is False and not reading.idle


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_missing_answer_names_the_way_out_if_a_tasks_arguments_may_be_the_reason(question: str) -> None:
    machine = Machine()
    full = machine.control.ask(QUESTIONS, None, 1.0)
    with pytest.raises(Unknown) as caught:
        state_of(ONE, {**full, question: []})
    assert f"{ONE} answered not in time to {question}" in str(caught.value)
    assert ("set drain = stop" in str(caught.value)) is (question == "reserved")


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
