"""Celery 5.3 to 5.7 on Redis or RabbitMQ, read and quieted by its remote control.

How a drain stays safe:

- A worker is identified by the pid and the uptime that its node answers, and by a node name of this host. Two
  processes of the same name both obey what is sent to that name: neither is drained.
- The quiet is `cancel_consumer` for each of the worker's queues. The note holds these queues before, for the
  resume, which is `add_consumer`.
- `active_queues` is empty only after the queues were cancelled. By then RabbitMQ has sent all that it will
  send; what Redis still sends to a pending read is put back (kombu/transport/virtual/base.py:
  _reject_inbound_message). So a node without running tasks, in answers after that and without a gap, is idle.
- Tasks that wait for an ETA or a rate limit do not count as running: the stop gives them back to the broker.
  A task that becomes due in the very moment of the stop may be both run and given back (5.7.0, prefork: about
  one stop in 30 with four such tasks a second, and that stop took half a minute). So the stop waits for a
  moment in which no task is due, but for a limited time.
- A solo pool answers only between two tasks. No answer means unknown, and nothing is done.

Without the remote control a worker can only be drained by its stop: see `stop`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.workers.base import BaseKind, all_unknown
from supervisor_memkill.workers.celery.advice import Remapped, advice_on
from supervisor_memkill.workers.celery.broker import control_of
from supervisor_memkill.workers.celery.control import Answers, Command, Control
from supervisor_memkill.workers.celery.nodes import (
    LAST_QUESTIONS,
    QUESTIONS,
    Life,
    NodeState,
    host_of,
    is_calm,
    left_among,
    lives_of,
    name_in,
    nodes_in,
    not_unique,
    state_of,
)
from supervisor_memkill.workers.celery.notes import (
    missing_queues,
    saved_queues,
    saved_shared_queues,
    with_state,
)
from supervisor_memkill.workers.command_line import beginning, why_wrapped
from supervisor_memkill.workers.contract import (
    Advice,
    LeftBehind,
    Note,
    Reading,
    Target,
    Tools,
    Traits,
    unknown,
    unrecognised,
)
from supervisor_memkill.workers.ownership import (
    Began,
    Hosts,
    beginnings,
    is_left_behind,
    why_not_own,
    why_other_name,
)

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

ANSWER_SECONDS = 1.0
"""How long a node may take to answer; without load it takes about 10 ms."""
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
"""A silent node is asked again after a tenth of the time for which it has been silent, within these limits:
every question may cost the listener `ANSWER_SECONDS`."""

DUE_SECONDS = 2.0
"""A task with an ETA so near may become due between the last look and the stop."""
DUE_PATIENCE_SECONDS = 60.0
"""How long the stop waits for a moment without due tasks: there may be none."""

NO_ANSWER = (
    "it is booting, its solo pool runs a task, it uses another broker or control_exchange, its "
    "task_serializer is not json, or worker_enable_remote_control is off; if it never answers, set "
    "drain = stop"
)
SHOWN_NODES = 5

WITHOUT_QUEUES = "takes jobs from no queue: all were cancelled, or Celery lost them; restart the worker"
"""Celery 5.3.6 loses what `add_consumer` added when it reconnects to its broker, 5.7.0 does not
(celery/worker/consumer/consumer.py: add_task_queue). So a resumed worker may get here."""


@dataclass(frozen=True)
class _Node:
    """A process answered as this node."""

    key: tuple[int, int]
    """The supervised process: its pid, and its start by supervisord."""
    name: str
    pid: int
    """The node's own pid, which is another one behind a wrapper."""


@dataclass(frozen=True)
class _Silence:
    """A process has not answered since, and is asked again after `until`. Times are by the tools' clock."""

    key: tuple[int, int]
    since: float
    until: float
    why: str


@dataclass(frozen=True)
class _Known:
    """One target, and what is known about its process without a question to its node."""

    target: Target
    began: Mapping[int, Began]
    """When the supervised process, first, and its descendants began; empty if the process cannot be read."""
    predicted: str | None
    """The node name by the command line."""

    @property
    def worker(self) -> str:
        return self.target.process.worker

    @property
    def key(self) -> tuple[int, int]:
        return self.target.process.pid, self.target.process.start


class ByRemoteControl(BaseKind):
    """Finds each worker's node, cancels its queues, and believes it idle by the rule above."""

    framework = "Celery"
    traits = Traits(
        quiets=True,
        confirms_quiet=True,
        repeat_quiet_after_seconds=10.0,
        can_resume=True,
        names_jobs=True,
        measure="pss",
    )
    """Cancelling a queue again changes nothing. The children of a prefork pool share most of their pages."""

    def __init__(
        self,
        values: Mapping[str, Any],
        tools: Tools,
        control: Control | None = None,
        hostname: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`hostname` is the host part of Celery's node names; `wall` returns epoch seconds, as in an ETA."""
        super().__init__(values, tools)
        self._control = control or control_of(values, tools)
        self._hosts = Hosts(hostname or socket.gethostname(), values.get("record_hosts") or ())
        self._wall = wall
        self._nodes: dict[str, _Node] = {}
        self._silences: dict[str, _Silence] = {}
        self._remapped = Remapped()

    # --- reading --------------------------------------------------------------------------------

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        self._remapped.learn(targets, table)
        known = [self._look_at(target, table) for target in targets]
        readings = {one.worker: reading for one in known if (reading := self._unasked(one, known, table))}
        asked = [one for one in known if one.worker not in readings]
        if asked:
            try:
                readings.update(self._ask(asked, table))
            except MemkillError as error:
                readings.update(all_unknown([one.target for one in asked], error))
        return readings

    def _look_at(self, target: Target, table: ProcessTable) -> _Known:
        return _Known(
            target,
            beginnings(target.process, table, self._wall, self.tools.clock),
            name_in(table.title(target.process.pid), self._hosts.own),
        )

    def _unasked(self, one: _Known, others: Sequence[_Known], table: ProcessTable) -> Reading | None:
        """The reading of a process whose node need not, or must not, be asked; None for others."""
        if not one.began:
            return unknown("the process cannot be read", one.target.note)
        name = self._name(one)
        if name and any(other is not one and self._name(other) == name for other in others):
            return unrecognised(not_unique(name), one.target.note)
        silence = self._silence(one)
        if silence is not None and self.tools.clock() < silence.until:
            return unknown(silence.why, one.target.note)
        return None

    def _name(self, one: _Known) -> str | None:
        """The node's name: from its last answer, otherwise from the command line until that proved wrong."""
        node = self._nodes.get(one.worker)
        if node is not None and node.key == one.key:
            return node.name
        return None if self._silence(one) else one.predicted

    def _silence(self, one: _Known) -> _Silence | None:
        silence = self._silences.get(one.worker)
        return silence if silence is not None and silence.key == one.key else None

    def _ask(self, asked: Sequence[_Known], table: ProcessTable) -> Mapping[str, Reading]:
        """Ask all of them at once. Raises MemkillError."""
        names = {one.worker: self._name(one) for one in asked}
        nameless = [one for one in asked if names[one.worker] is None]
        everybody = self._control.ask(["stats"], None, ANSWER_SECONDS) if nameless else {}
        names.update({one.worker: self._discover(one, everybody) for one in nameless})
        nodes = sorted({name for name in names.values() if name is not None})
        answers = self._control.ask(QUESTIONS, nodes, ANSWER_SECONDS) if nodes else {}
        readings = {}
        for one in asked:
            name = names[one.worker]
            if name is None:
                readings[one.worker] = self._silent(one, self._why_nameless(one, everybody))
            else:
                readings[one.worker] = self._reading(one, name, answers, table)
        return readings

    def _discover(self, one: _Known, everybody: Answers) -> str | None:
        """The node of a worker whose command line does not show the name, among all nodes that answer."""
        nodes = nodes_in(one.began, self._wall(), everybody)
        found = [name for name in nodes if host_of(name) in self._hosts or name == one.predicted]
        return found[0] if len(found) == 1 else None

    def _why_nameless(self, one: _Known, everybody: Answers) -> str:
        hosts = {host_of(name) for name in nodes_in(one.began, self._wall(), everybody)}
        if hosts and not any(host in self._hosts for host in hosts):
            return why_other_name(one.target.process.pid, self._hosts, hosts)
        return f"no Celery node of this host answers with its pid: {NO_ANSWER}"

    def _reading(self, one: _Known, name: str, answers: Answers, table: ProcessTable) -> Reading:
        try:
            lives = lives_of(name, answers)
            if not lives:
                return self._silent(one, f"{name} does not answer: {NO_ANSWER}")
            self._silences.pop(one.worker, None)
            if len(lives) > 1:
                return unrecognised(not_unique(name, left_among(lives, one.began, table)), one.target.note)
            (life,) = lives
            if not life.is_of(one.began, self._wall()):
                self._nodes.pop(one.worker, None)
                return unrecognised(self._why_another(one, name, life, table), one.target.note)
            self._nodes[one.worker] = _Node(one.key, name, life.pid)
            reading = self._of_node(one.target, state_of(name, answers), table)
            return self._unless_due(name, reading) if reading.idle else reading
        except Unknown as error:
            return unknown(str(error), one.target.note)

    def _why_another(self, one: _Known, name: str, life: Life, table: ProcessTable) -> str:
        if is_left_behind(life.pid, one.began, table):
            return f"the node {name} is another process, {life.pid}, which nobody supervises any more: end it"
        if life.pid not in one.began:
            return f"the node {name} is another process, with pid {life.pid}"
        return why_not_own(name, self._wall() - life.uptime_seconds, one.began[life.pid])

    def _unless_due(self, name: str, reading: Reading) -> Reading:
        """Not idle while a task is about to become due, for a limited time. Raises Unknown."""
        now = self.tools.clock()
        since = reading.note.get("due_since")
        since = since if isinstance(since, (int, float)) and since <= now else now
        if now - since >= DUE_PATIENCE_SECONDS:
            return reading
        answers = self._control.ask(LAST_QUESTIONS, [name], ANSWER_SECONDS)
        if is_calm(name, answers, self._wall() + DUE_SECONDS):
            return reading
        why = "a task becomes due: the stop waits for a moment without due tasks"
        return replace(reading, idle=False, why=why, note={**reading.note, "due_since": since})

    def _silent(self, one: _Known, why: str) -> Reading:
        silence, now = self._silence(one), self.tools.clock()
        since = silence.since if silence else now
        pause = min(max((now - since) / 10, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._silences[one.worker] = _Silence(one.key, since, now + pause, why)
        return unknown(why, one.target.note)

    def _of_node(self, target: Target, state: NodeState, table: ProcessTable) -> Reading:
        title = table.title(target.process.pid)
        is_wrapped = state.pid != target.process.pid
        takes = bool(state.queues)
        note = with_state(target.note or {}, state)
        behind = f"Celery {state.pid} runs behind {beginning(title)!r}"
        if is_wrapped and (wrapped := why_wrapped(title, "Celery")):
            why = f"Celery {state.pid} runs below a wrapper: {wrapped}"
            return replace(unrecognised(why, target.note), in_service=takes)
        return Reading(
            recognised=True,
            in_service=takes,
            quiet=not takes,
            busy=len(state.jobs),
            idle=target.note is not None and not takes and not state.jobs,
            jobs=state.jobs,
            runs=state.runs,
            queues=state.shared_queues or frozenset(saved_shared_queues(note)),
            why="" if takes or target.note is not None else WITHOUT_QUEUES,
            remark=f"{behind}, which must pass signals on to it" if is_wrapped else "",
            note=note,
        )

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        nodes = sorted({name for name, _ in self._control.ask(["stats"], None, ANSWER_SECONDS)["stats"]})
        if not nodes:
            return "no Celery node at all answers at this broker"
        more = f" and {len(nodes) - SHOWN_NODES} more" if len(nodes) > SHOWN_NODES else ""
        shown = ", ".join(name[:60] for name in nodes[:SHOWN_NODES])
        return f"the Celery nodes that answer at this broker are {shown}{more}"

    # --- acts -----------------------------------------------------------------------------------

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        note = dict(target.note or {})
        try:
            state = self._certain_state(target, table)
        except Unknown as error:
            raise NotSent(str(error)) from error
        saved = {queue["queue"] for queue in saved_queues(note)}
        taken = [queue["queue"] for queue in state.queues]
        if not saved.issuperset(taken):
            # What a resume needs must be in the journal before anything is cancelled.
            raise NotSent(f"{state.name} takes jobs from other queues than a moment ago")
        self._control.tell(state.name, [Command("cancel_consumer", {"queue": name}) for name in taken])
        return note

    def resume(self, target: Target, table: ProcessTable) -> None:
        """Raises Unknown until the node answers that it takes jobs from all its queues again."""
        state = self._certain_state(target, table)
        missing = missing_queues(target.note or {}, state)
        if not missing:
            return
        self._control.tell(state.name, [Command("add_consumer", queue) for queue in missing])
        answers = self._control.ask(QUESTIONS, [state.name], ANSWER_SECONDS)
        if missing_queues(target.note or {}, state_of(state.name, answers)):
            raise Unknown(f"{state.name} does not take jobs from all its queues yet, after add_consumer")

    def _certain_state(self, target: Target, table: ProcessTable) -> NodeState:
        """The node's answers, if nobody else answers to its name within `ANSWER_SECONDS`. Raises Unknown."""
        one = self._look_at(target, table)
        name = (target.note or {}).get("node") or self._name(one)
        if not isinstance(name, str):
            raise Unknown("the name of its node is unknown")
        answers = self._control.ask(QUESTIONS, [name], ANSWER_SECONDS, whole=True)
        lives = lives_of(name, answers)
        if len(lives) > 1:
            raise Unknown(not_unique(name))
        if not lives or not lives[0].is_of(one.began, self._wall()):
            raise Unknown(f"{name} does not answer" if not lives else f"{name} is another process now")
        return state_of(name, answers)

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        """Behind a wrapper, ask for Celery's warm shutdown: supervisord's TERM may reach only the wrapper."""
        process = target.process
        node = self._nodes.get(process.worker)
        if node is None or node.key != (process.pid, process.start) or node.pid == process.pid:
            return
        state = self._certain_state(target, table)
        self._control.tell(state.name, [Command("shutdown")])

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        """Those whose command line shows a node name: no question to the broker."""
        titles = {pid: table.title(pid) for pid in table.left_behind(supervised)}
        names = {pid: name_in(title, self._hosts.own) for pid, title in titles.items()}
        return [LeftBehind(pid, name) for pid, name in names.items() if name is not None]

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Yes: the tasks run in the child processes of the worker's pool."""
        return True

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        return advice_on(program, is_remapped=self._remapped.is_remapped(program.worker))
