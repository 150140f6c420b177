"""Processes and jobs: what an action does to the process of its worker, and to the jobs of that process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import Drain, StopAnswer
from supervisor_memkill.rules.from_the_stop import RESTARTED_WITHIN_SECONDS
from supervisor_memkill.rules.step import OnTimeout
from tests.simulation.promises.act import Act
from tests.simulation.promises.judge import Judge
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

STOP_MARGIN_SECONDS = 5
"""On both sides: a stop this close to ours may count as ours while ours has no answer."""


class ProcessesAndJobs(Judge):
    """Judges S4 and S5, that no job is lost or runs twice, and that a kill is known."""

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
        if not self.times.was_read[act.drain.token]:
            self.broken("S6", machine, f"stop of {worker.name}, whose last reading failed")
        never_quiet = self.world.standings.takes_jobs(worker)
        if never_quiet and worker.habits.kind.startswith("custom"):
            return  # Nothing shows that its quiet was lost; it was seen idle, and its own stop is graceful.
        if act.process.resumed_at >= self.times.stopping[act.drain.token]:
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
        if machine.wall_set_at > self.times.stopping.get(drain.token, 0.0) and not machine.has_read_log:
            return  # The length of the stop, by supervisord's clock, says nothing, and its log was not read.
        if is_killed and not drain.stop.was_kill and not machine.is_unsaved:
            self.broken("kill known", machine, f"{worker.name} was killed in our stop, and nothing says so")


def settings_lose_jobs(worker: Worker) -> bool:
    """Whether its settings show that SIGKILL comes before it gives its jobs back."""
    return worker.habits.kind in ("sidekiq", "celery") and worker.habits.patience >= worker.stop_wait
