"""``worker = celery``: Celery 5.3 to 5.7, spoken to by its remote control, on Redis or RabbitMQ.

How a drain stays safe:

- A worker is known by the pid that its node tells, and by a node name of this host. Two processes of one
  name both do what is sent to it: neither is drained.
- The quiet is `cancel_consumer` for each of its queues. What they are is in the note before, for the
  resume, which is `add_consumer`.
- `active_queues` is empty only after the cancelling was done. RabbitMQ has handed over by then whatever it
  will; what Redis still hands over to a read under way is put back (kombu/transport/virtual/base.py:
  _reject_inbound_message). So no task in hand, asked after that and in the same breath, means idle.
- Tasks with an ETA or a rate limit that keeps them back are not in hand: the stop gives them to the broker.
  One that comes due in the very moment of the stop may be both run and given back (5.7.0, prefork: about
  one stop in 30 with four such tasks a second, and that stop took half a minute). So the stop waits for a
  moment in which none is due, though not for long.
- A solo pool answers between two tasks only. No answer is unknown, and holds.
"""

from __future__ import annotations

import importlib.util
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.workers.celery.advice import advice_on
from supervisor_memkill.workers.celery.broker import connection_maker, parse_broker, problems_of
from supervisor_memkill.workers.celery.control import Answers, Broker, Command, Control
from supervisor_memkill.workers.celery.nodes import (
    LAST_QUESTIONS,
    QUESTIONS,
    NodeState,
    is_calm,
    is_of_host,
    name_in,
    nodes_in,
    pids_of,
    state_of,
)
from supervisor_memkill.workers.contract import Advice, Note, Option, Reading, Target, Tools, Traits, unknown
from supervisor_memkill.workers.settings import why_between

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

TRAITS = Traits(
    quiets=True,
    confirms_quiet=True,
    repeat_quiet_after_seconds=10.0,
    can_resume=True,
    names_jobs=True,
    measure="pss",
)
"""Cancelling a queue again changes nothing. The children of a prefork pool share most of their pages."""

ANSWER_SECONDS = 1.0
"""How long a node may take to answer; without load it takes some 10 ms."""
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
"""One that does not answer is asked again after a tenth of the time for which it has been silent: every
question may cost the listener `ANSWER_SECONDS`, and all of them wait for the worker."""


DUE_SECONDS = 2.0
"""An ETA so near may come between the last look and the stop."""
DUE_PATIENCE_SECONDS = 60.0
"""With tasks due all the time there may be no better moment."""

FORSAKEN = "takes from no queue, cancelled or forgotten: a restart brings it back"
"""What `add_consumer` added, Celery 5.3.6 forgets when it connects anew to its broker, 5.7.0 does not
(celery/worker/consumer/consumer.py: add_task_queue). So may a worker that was resumed."""


@dataclass(frozen=True)
class _Node:
    """A process told that it is this node."""

    key: tuple[int, int]
    """The supervised process: pid, and start by supervisord."""
    name: str
    pid: int
    """The node's own, which behind a wrapper is another."""


@dataclass(frozen=True)
class _Silence:
    """A process has not answered since, and is asked again later. Times are of the tools' clock."""

    key: tuple[int, int]
    since: float
    until: float
    why: str


@dataclass(frozen=True)
class _Known:
    """One target, and what is known of its process without asking."""

    target: Target
    pids: tuple[int, ...]
    """The supervised pid, then those of its descendants; empty when it cannot be read."""
    predicted: str | None
    """The node name by its command line."""

    @property
    def worker(self) -> str:
        return self.target.process.worker

    @property
    def key(self) -> tuple[int, int]:
        return self.target.process.pid, self.target.process.start


class Celery:
    """Finds each worker's node, cancels its queues, and believes it idle by the rule above."""

    options: ClassVar[Mapping[str, Option]] = {
        "broker": Option(
            parse_broker, None, "URL of Celery's broker, amqp:// or redis://; by default the pool's redis"
        ),
    }
    needs_redis: ClassVar[bool] = False
    traits = TRAITS

    def __init__(
        self,
        values: Mapping[str, Any],
        tools: Tools,
        control: Control | None = None,
        hostname: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`hostname` is the one that Celery gives its nodes; `wall` is epoch seconds, as an ETA is."""
        self._tools = tools
        self._control = control or Broker(connection_maker(values.get("broker"), tools))
        self._hostname = hostname or socket.gethostname()
        self._wall = wall
        self._nodes: dict[str, _Node] = {}
        self._silences: dict[str, _Silence] = {}

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return TRAITS

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        return problems_of(values, _is_installed)

    # --- reading --------------------------------------------------------------------------------

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        known = [self._look_at(target, table) for target in targets]
        readings = {one.worker: reading for one in known if (reading := self._unasked(one, known, table))}
        asked = [one for one in known if one.worker not in readings]
        if asked:
            try:
                readings.update(self._ask(asked, table))
            except MemkillError as error:
                readings.update({one.worker: unknown(str(error), one.target.note) for one in asked})
        return readings

    def _look_at(self, target: Target, table: ProcessTable) -> _Known:
        return _Known(
            target, _pids(target.process, table), name_in(table.title(target.process.pid), self._hostname)
        )

    def _unasked(self, one: _Known, others: Sequence[_Known], table: ProcessTable) -> Reading | None:
        """The reading of a process that nothing needs to be, or may be, asked of."""
        if not one.pids:
            return unknown("its process cannot be read", one.target.note)
        name = self._name(one)
        if name and any(other is not one and self._name(other) == name for other in others):
            return _unrecognised(one.target, _shared(name))
        silence = self._silence(one)
        if silence is not None and self._tools.clock() < silence.until:
            return unknown(silence.why, one.target.note)
        return None

    def _name(self, one: _Known) -> str | None:
        """Its node's name: told by the node before, else by its command line until that proved wrong."""
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
        if None in names.values():
            names.update(self._discovered([one for one in asked if names[one.worker] is None]))
        nodes = sorted({name for name in names.values() if name is not None})
        answers = self._control.ask(QUESTIONS, nodes, ANSWER_SECONDS) if nodes else {}
        return {one.worker: self._reading(one, names[one.worker], answers, table) for one in asked}

    def _discovered(self, nameless: Sequence[_Known]) -> Mapping[str, str | None]:
        """The node of each whose command line does not lead to it, among all nodes that answer."""
        answers = self._control.ask(["stats"], None, ANSWER_SECONDS)
        return {one.worker: self._discover(one, answers) for one in nameless}

    def _discover(self, one: _Known, answers: Answers) -> str | None:
        found = [
            name
            for name in nodes_in(one.pids, answers)
            if is_of_host(name, self._hostname) or name == one.predicted
        ]
        return found[0] if len(found) == 1 else None

    def _reading(self, one: _Known, name: str | None, answers: Answers, table: ProcessTable) -> Reading:
        if name is None:
            return self._silent(one, "no Celery node of this host answers with its pid")
        try:
            pids = pids_of(name, answers)
            if not pids:
                return self._silent(one, f"{name} does not answer")
            self._silences.pop(one.worker, None)
            if len(pids) > 1:
                return _unrecognised(one.target, _shared(name))
            if pids[0] not in one.pids:
                self._nodes.pop(one.worker, None)
                return _unrecognised(one.target, f"the node {name} is another process, with pid {pids[0]}")
            self._nodes[one.worker] = _Node(one.key, name, pids[0])
            reading = self._of_node(one.target, state_of(name, answers), table)
            return self._unless_due(name, reading) if reading.idle else reading
        except Unknown as error:
            return unknown(str(error), one.target.note)

    def _unless_due(self, name: str, reading: Reading) -> Reading:
        """Not idle while a task is about to come due, unless that goes on for too long. Raises Unknown."""
        now = self._tools.clock()
        since = reading.note.get("due_since")
        since = since if isinstance(since, (int, float)) and since <= now else now
        if now - since >= DUE_PATIENCE_SECONDS:
            return reading
        answers = self._control.ask(LAST_QUESTIONS, [name], ANSWER_SECONDS)
        if is_calm(name, answers, self._wall() + DUE_SECONDS):
            return reading
        why = "a task comes due: its stop waits for a moment without"
        return replace(reading, idle=False, why=why, note={**reading.note, "due_since": since})

    def _silent(self, one: _Known, words: str) -> Reading:
        why = (
            f"{words}: it is booting, its solo pool is at work, it has another broker, "
            "or worker_enable_remote_control is off"
        )
        silence, now = self._silence(one), self._tools.clock()
        since = silence.since if silence else now
        pause = min(max((now - since) / 10, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._silences[one.worker] = _Silence(one.key, since, now + pause, why)
        return unknown(why, one.target.note)

    def _of_node(self, target: Target, state: NodeState, table: ProcessTable) -> Reading:
        title = table.title(target.process.pid)
        is_wrapped = state.pid != target.process.pid
        takes = bool(state.queues)
        note = _note(target.note or {}, state)
        behind = f"Celery {state.pid} runs behind {title[:60]!r}"
        if is_wrapped and (between := why_between(title, "Celery")):
            why = f"Celery {state.pid} runs below: {between}"
            return replace(_unrecognised(target, why), in_service=takes)
        return Reading(
            recognised=True,
            in_service=takes,
            quiet=not takes,
            busy=len(state.jobs),
            idle=target.note is not None and not takes and not state.jobs,
            jobs=state.jobs,
            queues=state.shared_queues or frozenset(_shared_in(note)),
            why="" if takes or target.note is not None else FORSAKEN,
            remark=f"{behind}, which must pass its signals on" if is_wrapped else "",
            note=note,
        )

    # --- acts -----------------------------------------------------------------------------------

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        note = dict(target.note or {})
        try:
            state = self._certain_state(target, table)
        except Unknown as error:
            raise NotSent(str(error)) from error
        saved = {queue["queue"] for queue in _saved(note)}
        taken = [queue["queue"] for queue in state.queues]
        if not saved.issuperset(taken):
            # What a resume needs is in the journal before anything is cancelled.
            raise NotSent(f"{state.name} takes from other queues than a moment ago")
        self._control.tell(state.name, [Command("cancel_consumer", {"queue": name}) for name in taken])
        return note

    def resume(self, target: Target, table: ProcessTable) -> None:
        """Done when it says that it takes from all its queues again; until then it raises Unknown."""
        state = self._certain_state(target, table)
        missing = _missing(target, state)
        if not missing:
            return
        self._control.tell(state.name, [Command("add_consumer", queue) for queue in missing])
        answers = self._control.ask(QUESTIONS, [state.name], ANSWER_SECONDS)
        if _missing(target, state_of(state.name, answers)):
            raise Unknown(f"{state.name} was told to take from its queues again, and does not yet")

    def _certain_state(self, target: Target, table: ProcessTable) -> NodeState:
        """What its node says, when nobody else answers to that name in a whole second. Raises Unknown."""
        one = self._look_at(target, table)
        name = (target.note or {}).get("node") or self._name(one)
        if not isinstance(name, str):
            raise Unknown("its node is not known")
        answers = self._control.ask(QUESTIONS, [name], ANSWER_SECONDS, whole=True)
        pids = pids_of(name, answers)
        if len(pids) > 1:
            raise Unknown(_shared(name))
        if not pids or pids[0] not in one.pids:
            raise Unknown(f"{name} does not answer" if not pids else f"{name} is another process by now")
        return state_of(name, answers)

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        """Behind a wrapper, Celery's own warm shutdown: supervisord's TERM may reach the wrapper only."""
        process = target.process
        node = self._nodes.get(process.worker)
        if node is None or node.key != (process.pid, process.start) or node.pid == process.pid:
            return
        state = self._certain_state(target, table)
        self._control.tell(state.name, [Command("shutdown")])

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Yes: the tasks run in the processes of its pool."""
        return True

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        return advice_on(program)


def _is_installed(package: str) -> bool:
    # find_spec raises for kombu once it is imported: it puts a lazy module without __spec__ in its own place.
    return package in sys.modules or importlib.util.find_spec(package) is not None


def _pids(process: ProcessInfo, table: ProcessTable) -> tuple[int, ...]:
    try:
        return tuple(found.pid for found in table.tree(process.pid))
    except Unknown:
        return ()


def _shared(name: str) -> str:
    return (
        f"more than one worker is called {name}: give each program its own, such as -n %(program_name)s@%%h"
    )


def _unrecognised(target: Target, why: str) -> Reading:
    return replace(unknown(why, target.note), recognised=False)


def _missing(target: Target, state: NodeState) -> Sequence[Mapping[str, Any]]:
    """The queues that it took from before its quiet, and does not now."""
    taken = {queue["queue"] for queue in state.queues}
    return [queue for queue in _saved(target.note or {}) if queue["queue"] not in taken]


def _saved(note: Note) -> Sequence[Mapping[str, Any]]:
    """The queues in a note; a journal of another version may hold anything."""
    queues = note.get("queues")
    found = queues if isinstance(queues, list) else []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("queue"), str)]


def _shared_in(note: Note) -> Sequence[str]:
    shared = note.get("shared")
    return [one for one in shared if isinstance(one, str)] if isinstance(shared, list) else []


def _note(note: Note, state: NodeState) -> Note:
    """With all queues that it was ever seen to take from: what the quiet cancels, and a resume adds."""
    saved = {queue["queue"]: queue for queue in _saved(note)}
    saved.update({queue["queue"]: dict(queue) for queue in state.queues})
    shared = sorted({*_shared_in(note), *state.shared_queues})
    return {**note, "node": state.name, "queues": list(saved.values()), "shared": shared}
