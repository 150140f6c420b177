"""The promises, judged by the true state of the world; of a listener's beliefs, only its journal counts.

Each act is judged at the moment when it is sent. What the documentation leaves open is left open here:
a slot that Redis lost, or that ran out with its machine silent, counts for nothing (`Leases`); a peer that
was lost to somebody else counts until its own listener could have told of it, and as long as the last word
of that one counts; what changed between the last look at a process and the act could not be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import FAILED_STARTS, Drain, State, StopAnswer
from supervisor_memkill.rules.from_the_stop import RESTARTED_WITHIN_SECONDS
from supervisor_memkill.rules.policy import AGE_SPREAD, BackOff, BackOffCause
from supervisor_memkill.rules.requests import RunningProcess
from supervisor_memkill.rules.shortage import Yields
from supervisor_memkill.rules.step import OnTimeout
from tests.simulation.leases import Grant, local_name
from tests.simulation.process import RECORD_LIVES_SECONDS, Process
from tests.simulation.shape import HARD_LIMIT, LIMIT
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

STOP_MARGIN_SECONDS = 5
"""On both sides: a stop this close to ours may count as ours while ours has no answer."""
NOTICED_SECONDS = 40.0
"""A worker that hangs or was quieted is noticed this late at most: three of Sidekiq's longest beats."""
LOOK_LASTS_SECONDS = 30.0
"""From a look to the action or report that is based on it, as drainer.py bounds it."""
TURN_SECONDS = 60.0
"""From a look to the step that uses it; supervisord may hang in between."""
JOURNALLED = {
    "quiet": (State.QUIETING,),
    "stop": (State.STOPPING,),
    "start": tuple(one for one in State if one is not State.ASKING),  # A start needs no room on the disk.
    "resume": (State.RESUMING, State.QUIETING, State.DRAINING),  # A resume neither.
    "thaw": (State.QUIETING, State.DRAINING, State.SETTLING),
}
HEARTBEATS_FRESH = 3


class BrokenPromise(BaseException):
    """The listener's code must not catch it."""


@dataclass(frozen=True)
class Act:
    """One action on a process, with the drain that the journal on disk holds."""

    what: str
    """``quiet``, ``stop``, ``resume`` or ``thaw``."""
    machine: Machine
    worker: Worker
    process: Process
    drain: Drain

    @property
    def config(self) -> PoolConfig:
        return self.machine.pools[self.worker.pool]

    @property
    def attempts(self) -> int:
        """How many quiets and stops of this worker are in the journal."""
        return self.drain.quiet_attempts + self.drain.stop.attempts

    @property
    def is_hard(self) -> bool:
        """It waits neither for a slot nor for running jobs."""
        is_over = self.config.hard_max_rss is not None and self.process.memory > HARD_LIMIT
        return is_over or self.is_last_resort

    @property
    def is_last_resort(self) -> bool:
        """The machine had hardly any memory left. Such a stop is repeated, however much is left by then."""
        cause = self.drain.stop.cause
        return self.drain.reason is Reason.MIN_FREE_NOW or cause is StepCause.MACHINE_IS_SHORT

    @property
    def needs_no_peers(self) -> bool:
        return self.is_last_resort and self.config.yields is Yields.ALWAYS


@dataclass
class Promises:
    """Judges every action of every listener of one world."""

    world: World
    began: dict[str, float] = field(default_factory=dict)
    """When each drain's token was first journalled."""
    quieted: dict[str, float] = field(default_factory=dict)
    """When the wait for running jobs of each token began at the earliest."""
    taken_at: dict[tuple[str, int, str], float] = field(default_factory=dict)
    """When each request was first journalled, by machine, its boot and id: no journal outlives a boot."""
    lost_from: dict[str, float] = field(default_factory=dict)
    """Since when the pool of each token must wait for its worker, which does not come back."""
    stopping: dict[str, float] = field(default_factory=dict)
    """When the stop of each token was first journalled."""
    was_read: dict[str, bool] = field(default_factory=dict)
    """Whether the last reading of the worker had succeeded when its stop was first journalled."""
    dumped: set[str] = field(default_factory=set)
    """The tokens of the drains that ran their command."""
    orderly_from: float = float("inf")
    """From then on, no fault is left that could excuse a drain of a less urgent worker."""

    def broken(self, promise: str, machine: Machine, text: str) -> NoReturn:
        self.world.trace.say(machine.name, f"BROKEN {promise}: {text}")
        raise BrokenPromise(f"{promise}: {machine.name}: {text}")

    def journalled(self, machine: Machine, contents: Contents, *, is_next: bool) -> None:
        """A journal was saved. `is_next`: it follows directly on the journal that the disk held until now."""
        for name, pause in contents.back_offs.items() if is_next else ():
            if pause != machine.disk.back_offs.get(name):
                self.l1_back_off(machine, name, pause)
        self.world.requests.journalled(machine, contents)
        for identity in contents.requests:
            self.taken_at.setdefault((machine.name, machine.boot, identity), self.world.engine.now)
        for drain in contents.drains.values():
            self.requested(machine, contents, drain)
            if drain.token not in self.began:
                self.world.trace.count(f"reason: {drain.reason.value}")
            self.began.setdefault(drain.token, self.world.engine.now)
            if drain.state in (State.ASKING, State.SETTLING):
                self.quieted[drain.token] = self.world.engine.now
            if drain.start_attempts > FAILED_STARTS:
                self.lost_from.setdefault(drain.token, self.world.engine.now)
            before = machine.disk.drains.get(drain.worker)
            if before is not None and before.state is not drain.state:
                self.world.trace.count(f"{before.state.value} -> {drain.state.value}")
            if drain.state is State.STOPPING:
                self.stopping.setdefault(drain.token, self.world.engine.now)
                self.was_read.setdefault(drain.token, machine.readable.get(drain.worker, True))

    def requested(self, machine: Machine, contents: Contents, drain: Drain) -> None:
        """A drain by request is of a process that a request names; in a paused pool no drain begins."""
        before, wanted = machine.disk.drains.get(drain.worker), RunningProcess(drain.pid, drain.start)
        is_new = drain.token not in self.began
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
            self.s5_operator(machine, worker, drain)
            self.old_tree_is_gone(machine, worker)
            self.kill_is_known(machine, worker, drain)
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
        self.s4_process(act)
        is_new = act.process.created > self._looked_at(machine, worker)
        if is_new or act.process.resumed_at >= machine.read_at.get(name, 1e12):
            return
        busy = act.process.busy(self.world.engine.now)
        if busy or self.world.standings.takes_jobs(worker):
            self.broken("idle", machine, f"a command for {name} begins with {busy} jobs in hand")

    def _judge(self, act: Act) -> None:
        self.s4_process(act)
        if act.process.created > self._looked_at(act.machine, act.worker):
            return  # The process began between the last look and the action.
        if act.process.resumed_at >= act.machine.read_at.get(act.worker.name, 1e12):
            return  # It was resumed between the last reading and the action.
        if act.what == "stop":
            self.no_job_is_lost(act)
        takes_out = act.what in ("quiet", "stop") and self.world.standings.takes_jobs(act.worker)
        if takes_out and not self._counts_as_quiet(act):
            self.s6_reason(act)
            grant = self.s6_answer(act)
            self.s1_slots(act)
            self.broken_release(act, grant)
            self.s2_peers(act, grant)
            self.l4_order(act)

    def _looked_at(self, machine: Machine, worker: Worker) -> float:
        return machine.served.get(worker.name, -1e9)

    def _counts_as_quiet(self, act: Act) -> bool:
        """Its quiet may have been lost, nothing will ever show it, and its deadline is over (decision.py)."""
        is_custom = act.worker.habits.kind.startswith("custom")
        is_unknown = act.drain.quiet_attempts > 0 and not act.drain.quiet_acknowledged
        return is_custom and is_unknown and self._is_timed_out(act)

    def _is_timed_out(self, act: Act) -> bool:
        now = self.world.engine.now
        return now - self.quieted.get(act.drain.token, now) >= act.config.idle_within_seconds

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

    # --- each promise -----------------------------------------------------------------------------

    def s1_slots(self, act: Act) -> None:
        """Never more than max_draining are out of service at once, except for hard limits and lost slots."""
        if act.is_hard:
            return
        out = [
            peer.id
            for peer in self.world.peers(act.worker)
            if self.world.standings.is_taken(peer) and not self._is_slot_lost(act, peer)
        ]
        if len(out) >= act.config.max_draining:
            self.broken("S1", act.machine, f"{act.worker.name} is taken out while {', '.join(out)} is out")

    def _is_slot_lost(self, act: Act, peer: Worker) -> bool:
        """Of the two slots, the one that was given first was not in force when the other was given.

        Or the peer's had run out when this one asked last.
        """
        if not self.world.shape.shares:
            return False
        leases = self.world.redis.leases
        had_run_out = leases.had_run_out(peer.id, act.worker.id)
        return had_run_out or not leases.are_in_conflict(peer.id, act.worker.id)

    def broken_release(self, act: Act, grant: Grant | None) -> None:
        """While a worker of the pool does not come back, no other is taken out, hard limits aside."""
        if act.is_hard or act.drain.touched:
            return
        for peer in self.world.peers(act.worker):
            machine = self.world.machine(peer.host)
            drain = machine.disk.drains.get(peer.name)
            if drain is None or drain.state not in (State.STARTING, State.SETTLING):
                continue
            lost_from = self.lost_from.get(drain.token, float("inf"))
            if machine is act.machine:
                is_known = lost_from < self.began[act.drain.token]
            else:
                heard = grant.heard.get(peer.host) if grant is not None else None
                is_known = heard is not None and lost_from < heard.looked_at - TURN_SECONDS
            if is_known and not self._is_slot_lost(act, peer):
                text = f"{act.worker.name} is taken out, and {peer.id} does not come back"
                self.broken("broken release", act.machine, text)

    def s2_peers(self, act: Act, grant: Grant | None) -> None:
        """No worker is taken out unless min_available others are in service at that moment."""
        standings, least = self.world.standings, act.config.min_available
        if act.needs_no_peers:
            return
        there = [
            peer
            for peer in standings.stand_ins(act.worker)
            if standings.in_service(peer) or self.is_excused(act, peer, grant)
        ]
        if len(there) < least:
            names = ", ".join(one.id for one in there) or "none"
            text = f"{act.worker.name} is taken out; in service: {names}; needed: {least}"
            self.broken("S2", act.machine, text)

    def is_excused(self, act: Act, peer: Worker, grant: Grant | None) -> bool:
        """Whether it is out of service unknown to its listener, or by a drain whose slot was lost."""
        standings = self.world.standings
        if standings.is_taken(peer):
            return self._is_slot_lost(act, peer)
        if peer.host == act.machine.name or grant is None:
            looked_at = max(act.machine.looked_at, self.world.engine.now - LOOK_LASTS_SECONDS)
        elif peer.host not in grant.heard or not self._is_fresh(grant, peer):
            return False
        else:
            heard = grant.heard[peer.host]
            looked_at = max(heard.looked_at, heard.at - LOOK_LASTS_SECONDS)
        standing = standings.of(peer)
        is_noticed_late = standing.served_until == standing.hidden_at
        return standing.served_until >= looked_at - (NOTICED_SECONDS if is_noticed_late else 0.0)

    def _is_fresh(self, grant: Grant, peer: Worker) -> bool:
        """Whether the last report of the peer's listener still counted, by a clock that did not jump."""
        if "redis clock" in self.world.weather.sorts:
            return True
        age = grant.at - grant.heard[peer.host].at
        return age <= HEARTBEATS_FRESH * self.world.shape.heartbeat + 1

    def l1_back_off(self, machine: Machine, name: str, pause: BackOff) -> None:
        """The pause of a worker has the cause that it states."""
        before = machine.disk.drains.get(name)
        measured = machine.measured.get(before.pid, (0, 0))[1] if before is not None else 0
        is_true = {
            BackOffCause.AFTER_RESUME: before is not None and before.state is State.RESUMING,
            BackOffCause.NOT_BEGUN: before is not None and before.state is State.QUIETING,
            BackOffCause.BELOW_BASELINE: measured > LIMIT / 2,
            BackOffCause.NOTHING_GAINED: before is not None and before.reason is Reason.MAX_TOTAL_RSS,
        }
        if not is_true[pause.cause]:
            self.broken("L1", machine, f"{name} backs off, for {pause.cause.words}")

    def s4_process(self, act: Act) -> None:
        """No signal reaches a process that is not the recorded one, or that cannot handle it."""
        worker, process, drain = act.worker, act.process, act.drain
        looked_at = self._looked_at(act.machine, worker)
        changed_at = max(worker.spawned_at, act.machine.wall_set_at)
        is_recorded = (process.pid, worker.start) == (drain.pid, drain.start)
        if not is_recorded and changed_at < looked_at:
            text = f"{act.what} reaches pid {process.pid}, and pid {drain.pid} is recorded"
            self.broken("S4", act.machine, text)
        if act.what != "quiet":
            return
        is_booted = process.is_booted(self.world.engine.now) or process.created > looked_at
        if worker.habits.kind == "sidekiq" and not is_booted:
            self.broken("S4", act.machine, f"quiet reaches pid {process.pid}, which has no record yet")
        if worker.habits.kind == "stops":
            self.broken("S4", act.machine, f"a signal reaches {worker.name}, whose stop is its only way")

    def s5_operator(self, machine: Machine, worker: Worker, drain: Drain | None) -> None:
        """A worker that the operator stopped is not started."""
        if worker.stopped_by != "operator" or worker.stopped_at >= self._looked_at(machine, worker):
            return
        if worker.stopped_at >= machine.unanswered.get(worker.name, float("inf")):
            return  # Our stop was under way then, as far as anybody can know.
        if drain is not None and drain.stop.answer is StopAnswer.NONE and drain.stop.attempts:
            earliest = drain.stop.asked_epoch - STOP_MARGIN_SECONDS
            last = max(drain.stop.asked_epoch, drain.stop.last_asked_epoch)
            latest = last + worker.stop_wait + STOP_MARGIN_SECONDS
            if earliest <= worker.stop <= latest:
                return
            taken_up = drain.stop.taken_up_epoch
            if -RESTARTED_WITHIN_SECONDS <= worker.stop - taken_up <= worker.stop_wait + STOP_MARGIN_SECONDS:
                return  # It may be a stop of ours that a hanging supervisord carried out late.
        self.broken("S5", machine, f"start of {worker.name}, which the operator stopped")

    def s6_reason(self, act: Act) -> None:
        """What the drain states as its reason is true."""
        if act.drain.stops_new_process:
            measured = act.machine.measured.get(act.process.pid, (-1e9, 0))[1]
            if act.config.hard_max_rss is None or (act.drain.stop.attempts == 1 and measured <= HARD_LIMIT):
                self.broken("S6", act.machine, f"{act.worker.name} is new, and within its hard limit")
        elif act.drain.reason.is_own_limit:
            self.s6_memory(act)
        elif act.drain.reason.is_for_machine:
            self._shortage(act)
        elif act.attempts > 1 or act.machine.wall_set_at > self.began[act.drain.token] - TURN_SECONDS:
            return
        elif act.drain.reason is Reason.RESTART:
            times = [
                self.taken_at[act.machine.name, act.machine.boot, identity]
                for identity, taken in act.machine.disk.requests.items()
                if act.worker.name in taken.workers
            ]
            if times and act.process.created > max(times):
                self.broken("restart", act.machine, f"{act.worker.name} began after every request for it")
        elif act.drain.reason is Reason.MAX_AGE:
            age, limit = self.world.engine.now - act.process.created, act.config.max_age_seconds or 0.0
            if age < limit * (1 - AGE_SPREAD):
                self.broken("S6", act.machine, f"{act.worker.name} is taken out for its age, {age:.0f} s")
        elif act.drain.reason is Reason.MAX_TOTAL_RSS:
            self._total(act)

    def _shortage(self, act: Act) -> None:
        """The machine had less than min_free left when it was read last, and the pool yields."""
        left, least = act.machine.free_read, self.world.shape.min_free
        if act.attempts > 1 or (least is not None and left < least and act.config.yields is not Yields.NO):
            return
        self.broken("S6", act.machine, f"{act.worker.name} is taken for the machine, which has {left} left")

    def _total(self, act: Act) -> None:
        """The last measurements of all processes of the pool on this machine are above the total."""
        pids = {
            process.pid
            for worker in self.world.workers_of(act.worker.pool, act.machine.name)
            for process in (worker.process, worker.last)
            if process is not None
        }
        total = sum(act.machine.measured.get(pid, (0.0, 0))[1] for pid in pids)
        limit = act.config.max_total_rss.exact_bytes if act.config.max_total_rss else None
        if limit is None or total <= limit:
            self.broken("S6", act.machine, f"{act.worker.name} is taken out for a total of {total}")

    def s6_memory(self, act: Act) -> None:
        """A failed reading never counts as over the limit: a drained worker was measured in this drain."""
        if act.attempts > 1:
            return
        at, measured = act.machine.measured.get(act.process.pid, (-1e9, 0))
        if measured <= LIMIT or at < self.began[act.drain.token]:
            text = f"{act.worker.name} is taken out, and was not measured to be over its limit"
            self.broken("S6", act.machine, text)

    def s6_answer(self, act: Act) -> Grant | None:
        """A missing answer never counts as a grant, and no slot is used that may have run out."""
        if not self.world.shape.shares:
            return None
        if act.needs_no_peers:
            return None
        if not act.machine.answers.get(act.drain.token):
            self.broken("S6", act.machine, f"{act.worker.name} is taken out, and no answer allowed it")
        grant = self.world.redis.leases.granted[act.worker.id]
        age = self.world.engine.now - grant.at
        if age >= self.world.shape.slot_ttl:
            text = f"{act.worker.name} is taken out by a slot that is {age:.0f} s old"
            self.broken("S1", act.machine, text)
        return grant

    def l4_order(self, act: Act) -> None:
        """The most urgent worker is drained first."""
        if self.world.engine.now < self.orderly_from or act.is_hard or act.attempts > 1:
            return
        for peer in self.world.peers(act.worker):
            if self._is_more_urgent(peer, act.machine.shown_memory(act.process)):
                text = f"{act.worker.name} goes before {peer.id}, which is further over its limit"
                self.broken("L4", act.machine, text)

    def _is_more_urgent(self, peer: Worker, memory: int) -> bool:
        """Further over its limit, for long enough that all listeners know it, and nothing else holds it."""
        world, machine, own = self.world, self.world.machine(peer.host), peer.process
        config, standings = machine.pools[peer.pool], self.world.standings
        if own is None or machine.shown_memory(own) <= max(LIMIT, memory) or machine.is_gone:
            return False
        if config.drain_hours is not None:
            return False  # The clocks of two machines open the hours at different moments.
        if peer.name in machine.disk.drains or backs_off(machine, peer) or peer.pool in machine.disk.pauses:
            return False
        known_after = config.min_uptime_seconds + (config.strikes + 1) * world.shape.tick
        known_after += 3 * world.shape.heartbeat + config.settle_seconds + 10
        if world.engine.now - own.created < known_after or not standings.takes_jobs(peer):
            return False
        # Of a stand-in that has just come back, the listener that asks may not have heard yet.
        known = [
            one
            for one in standings.stand_ins(peer)
            if standings.in_service(one)
            and one.process is not None
            and world.engine.now - one.process.created >= known_after
        ]
        return len(known) >= config.min_available

    def no_job_is_lost(self, act: Act) -> None:
        """A worker that can be quieted is stopped when it is idle, or after its deadline.

        After its deadline it is stopped only if its settings do not show that supervisord's SIGKILL comes
        before it gives its jobs back.
        """
        worker, machine = act.worker, act.machine
        may_cut = act.config.on_timeout is not OnTimeout.WAIT and self._is_timed_out(act)
        may_cut = may_cut and not settings_lose_jobs(worker)
        # The stop of a drain for the hard limit is repeated, whatever the memory is by then.
        is_hard = act.is_hard or act.drain.reason is Reason.HARD_MAX_RSS
        if worker.habits.kind == "stops" or is_hard or may_cut:
            return
        if not self.was_read[act.drain.token]:
            self.broken("S6", machine, f"stop of {worker.name}, whose last reading failed")
        never_quiet = self.world.standings.takes_jobs(worker)
        if never_quiet and worker.habits.kind.startswith("custom"):
            return  # Nothing shows that its quiet was lost; it was seen idle, and its own stop is graceful.
        if act.process.resumed_at >= self.stopping[act.drain.token]:
            return  # It was resumed after a stop that may have been sent: its own stop is graceful.
        busy = act.process.busy(self.world.engine.now)
        if busy or never_quiet:
            self.broken("no job lost", machine, f"stop of {worker.name} with {busy} jobs in hand")

    def old_tree_is_gone(self, machine: Machine, worker: Worker) -> None:
        """No job runs twice: no process of the old tree lives, or stopwaitsecs is over."""
        now, old = self.world.engine.now, worker.last
        if old is None or worker.stopped_by != "us" or now - (old.ended_at or now) >= worker.stop_wait - 1:
            return
        if machine.orphan(old.child) is old:
            text = f"start of {worker.name} while its old child {old.child} lives"
            self.broken("no job twice", machine, text)

    def kill_is_known(self, machine: Machine, worker: Worker, drain: Drain) -> None:
        """A stop of ours that ended in SIGKILL stands in the journal, so that it is reported."""
        is_killed = worker.last is not None and worker.last.was_killed and worker.stopped_by == "us"
        if machine.wall_set_at > self.stopping.get(drain.token, 0.0) and not machine.has_read_log:
            return  # The length of the stop, by supervisord's clock, says nothing, and its log was not read.
        if is_killed and not drain.stop.was_kill and not machine.is_unsaved:
            self.broken("kill known", machine, f"{worker.name} was killed in our stop, and nothing says so")


def settings_lose_jobs(worker: Worker) -> bool:
    """Whether its settings show that SIGKILL comes before it gives its jobs back."""
    return worker.habits.kind in ("sidekiq", "celery") and worker.habits.patience >= worker.stop_wait


def backs_off(machine: Machine, worker: Worker) -> bool:
    """Whether its drains wait: a restart freed no memory, or the worker could not be reached."""
    pause = machine.disk.back_offs.get(worker.name)
    return pause is not None and pause.applies(Reason.MAX_RSS, LIMIT, machine.clock())
