"""Each journal, action, command and report of every listener comes here, and goes to its judges."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import FAILED_STARTS, Drain, State
from supervisor_memkill.rules.requests import RunningProcess
from tests.simulation.leases import local_name
from tests.simulation.process import RECORD_LIVES_SECONDS
from tests.simulation.promises.act import Act
from tests.simulation.promises.judge import TURN_SECONDS, Judge, Times
from tests.simulation.promises.processes_and_jobs import ProcessesAndJobs
from tests.simulation.promises.reasons import Reasons
from tests.simulation.promises.slots_and_peers import SlotsAndPeers
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

JOURNALLED = {
    "quiet": (State.QUIETING,),
    "stop": (State.STOPPING,),
    "start": tuple(one for one in State if one is not State.ASKING),  # A start needs no room on the disk.
    "resume": (State.RESUMING, State.QUIETING, State.DRAINING),  # A resume neither.
    "thaw": (State.QUIETING, State.DRAINING, State.SETTLING),
}


class Promises(Judge):
    """Judges every action of every listener of one world."""

    def __init__(self, world: World) -> None:
        super().__init__(world, Times())
        self.peers = SlotsAndPeers(world, self.times)
        self.reasons = Reasons(world, self.times)
        self.processes = ProcessesAndJobs(world, self.times)
        self.dumped = set[str]()
        """The tokens of the drains that ran their command."""

    def journalled(self, machine: Machine, contents: Contents, *, is_next: bool) -> None:
        """A journal was saved. `is_next`: it follows directly on the journal that the disk held until now."""
        for name, pause in contents.back_offs.items() if is_next else ():
            former = machine.disk.back_offs.get(name)
            # One that stays goes by the memory of the newest process.
            if former is None or dataclasses.replace(former, memory_bytes=pause.memory_bytes) != pause:
                self.reasons.l1_back_off(machine, name, pause)
        self.world.requests.journalled(machine, contents)
        for identity in contents.requests:
            self.times.taken_at.setdefault((machine.name, machine.boot, identity), self.world.engine.now)
        for drain in contents.drains.values():
            self.requested(machine, contents, drain)
            if drain.token not in self.times.began:
                self.world.trace.count(f"reason: {drain.reason.value}")
            self.times.began.setdefault(drain.token, self.world.engine.now)
            if drain.state in (State.ASKING, State.SETTLING):
                self.times.quieted[drain.token] = self.world.engine.now
            if drain.start_attempts > FAILED_STARTS:
                self.times.lost_from.setdefault(drain.token, self.world.engine.now)
            before = machine.disk.drains.get(drain.worker)
            if before is not None and before.state is not drain.state:
                self.world.trace.count(f"{before.state.value} -> {drain.state.value}")
            if drain.state is State.STOPPING:
                self.times.stopping.setdefault(drain.token, self.world.engine.now)
                self.times.was_read.setdefault(drain.token, machine.readable.get(drain.worker, True))

    def requested(self, machine: Machine, contents: Contents, drain: Drain) -> None:
        """A drain by request is of a process that a request names; in a paused pool no drain begins."""
        before, wanted = machine.disk.drains.get(drain.worker), RunningProcess(drain.pid, drain.start)
        is_new = drain.token not in self.times.began
        if is_new and drain.reason is Reason.RESTART:
            named = [one for one in contents.requests.values() if one.workers.get(drain.worker) == wanted]
            if not named:
                self.broken("restart", machine, f"{drain.worker} is drained, and no request names it")
        begins = before is not None and before.token == drain.token and before.state is State.ASKING
        begins = begins and drain.state not in (State.ASKING, State.LET_GO)
        pause = contents.pauses.get(drain.pool)
        if begins and not drain.is_quiet:
            self.world.requests.begins(machine, contents, drain.pool)
        if pause is None or drain.is_quiet or not (is_new or begins):
            return
        if pause.holds(hard=drain.reason.is_hard):
            self.broken("pause", machine, f"a drain of {drain.worker} begins in a paused pool")

    def acts(self, machine: Machine, what: str, name: str) -> None:
        """A listener sends an action."""
        worker, drain = machine.supervisord.workers.get(name), machine.disk.drains.get(name)
        if worker is None or worker.removed or machine.supervisord.is_shutting_down:
            return
        self.world.trace.count(f"act: {what}")
        if drain is None or drain.state not in JOURNALLED[what]:
            state = "nothing of it" if drain is None else drain.state.value
            self.broken("S3", machine, f"{what} of {name}, and the journal says {state}")
        if what == "start":
            self.processes.s5_operator(machine, worker, drain)
            self.processes.old_tree_is_gone(machine, worker)
            self.processes.kill_is_known(machine, worker, drain)
        elif worker.process is not None:
            self._judge(Act(what, machine, worker, worker.process, drain))

    def takes_evidence(self, machine: Machine, name: str, pid: int) -> None:
        """A listener runs a command for a worker that is quiet and idle: once, for the recorded process."""
        worker, drain = machine.supervisord.workers.get(name), machine.disk.drains.get(name)
        if worker is None or worker.removed or machine.supervisord.is_shutting_down:
            return
        self.world.trace.count("act: evidence")
        if drain is None or drain.state is not State.DRAINING or not (drain.evidence and drain.evidence.runs):
            self.broken("S3", machine, f"a command for {name} begins, and the journal does not say so")
        if drain.token in self.dumped:
            self.broken("once", machine, f"a second command for the same drain of {name}")
        self.dumped.add(drain.token)
        if pid != drain.pid:
            self.broken("S4", machine, f"a command for pid {pid} begins, and pid {drain.pid} is recorded")
        if worker.process is None:
            return
        act = Act("evidence", machine, worker, worker.process, drain)
        self.processes.s4_process(act)
        is_new = act.process.created > self._looked_at(machine, worker)
        if is_new or act.process.resumed_at >= machine.read_at.get(name, 1e12):
            return
        busy = act.process.busy(self.world.engine.now)
        if busy or self.world.standings.takes_jobs(worker):
            self.broken("idle", machine, f"a command for {name} begins with {busy} jobs in hand")

    def _judge(self, act: Act) -> None:
        self.processes.s4_process(act)
        if act.process.created > self._looked_at(act.machine, act.worker):
            return  # The process began between the last look and the action.
        if act.process.resumed_at >= act.machine.read_at.get(act.worker.name, 1e12):
            return  # It was resumed between the last reading and the action.
        if act.what == "stop":
            self.processes.no_job_is_lost(act)
        takes_out = act.what in ("quiet", "stop") and self.world.standings.takes_jobs(act.worker)
        if takes_out and not self._counts_as_quiet(act):
            self.reasons.s6_reason(act)
            grant = self.peers.s6_answer(act)
            self.peers.s1_slots(act)
            self.peers.broken_release(act, grant)
            self.peers.s2_peers(act, grant)
            self.peers.l4_order(act)

    def _counts_as_quiet(self, act: Act) -> bool:
        """Its quiet may have been lost, nothing will ever show it, and its deadline is over (decision.py)."""
        is_custom = act.worker.habits.kind.startswith("custom")
        is_unknown = act.drain.quiet_attempts > 0 and not act.drain.quiet_acknowledged
        return is_custom and is_unknown and self._is_timed_out(act)

    def tells(self, machine: Machine, pool: str, request: Mapping[str, Any]) -> None:
        """A listener is about to report its workers and the slots that it holds."""
        for name, _, is_up, *_ in request["workers"]:
            if is_up and not machine.readable.get(local_name(name), True):
                self.broken("S6", machine, f"{name} is said to be in service, and its reading failed")
        for name, _, is_out, _ in request["holdings"]:
            local = local_name(name)
            worker, drain = machine.supervisord.workers.get(local), machine.disk.drains.get(local)
            if worker is None or drain is None or machine.is_unsaved:
                continue
            if worker.pool != pool:
                self.broken("S1", machine, f"a slot of {pool} is asked for {name}, which is not of it")
            if is_out and self._is_in_service_for_sure(machine, worker, drain):
                self.broken("S1", machine, f"{name} is said to be out of service, and takes jobs")

    def _is_in_service_for_sure(self, machine: Machine, worker: Worker, drain: Drain) -> bool:
        """Whether it takes jobs and its listener could have seen it."""
        if drain.state not in (State.QUIETING, State.DRAINING, State.STOPPING) or worker.process is None:
            return False
        is_recorded = (worker.process.pid, worker.start) == (drain.pid, drain.start)
        is_known = drain.quiet_acknowledged or not worker.habits.kind.startswith("custom")
        now = self.world.engine.now
        if machine.wall_set_at > now - RECORD_LIVES_SECONDS:
            return False  # The record of a dead process with this pid may look like its own.
        is_seen = worker.process.resumed_at < machine.read_at.get(worker.name, now)
        is_seen = is_seen and machine.seen_back_at.get(worker.name, -1e9) < now - TURN_SECONDS
        return is_recorded and is_known and is_seen and self.world.standings.takes_jobs(worker)
