"""Why a drain begins, changes its state, or ends."""

from __future__ import annotations

from supervisor_memkill.worded import Worded


class Reason(Worded):
    """Why a worker is drained."""

    MAX_RSS = "max_rss", "memory above max_rss"
    HARD_MAX_RSS = "hard_max_rss", "memory above hard_max_rss"
    """Such a drain waits neither for a slot nor for running jobs."""
    MAX_TOTAL_RSS = "max_total_rss", "the largest worker while the pool's memory here is above max_total_rss"
    MIN_FREE = "min_free", "the largest worker while the machine has less memory left than min_free"
    MIN_FREE_NOW = "min_free_now", "the largest worker while the machine has hardly any memory left"
    """Such a drain waits neither for a slot nor for running jobs."""
    RESTART = "restart", "a person requested a restart"
    MAX_AGE = "max_age", "up for longer than max_age"
    ADOPTED = "adopted", "the worker is quiet because of a drain that ended, or that a damaged journal lost"

    @property
    def is_own_limit(self) -> bool:
        """The memory of the worker alone decides, so that it is read again before anything is done."""
        return self in (Reason.MAX_RSS, Reason.HARD_MAX_RSS, Reason.ADOPTED)

    @property
    def is_hard(self) -> bool:
        """It waits neither for a slot nor for running jobs."""
        return self in (Reason.HARD_MAX_RSS, Reason.MIN_FREE_NOW)

    @property
    def takes_largest(self) -> bool:
        """Whichever worker is the largest is taken: its own limit does not matter."""
        return self is Reason.MAX_TOTAL_RSS or self.is_for_machine

    @property
    def is_for_machine(self) -> bool:
        """The memory of the machine is short."""
        return self in (Reason.MIN_FREE, Reason.MIN_FREE_NOW)

    @property
    def asks(self) -> str:
        """The worker's state while it asks for this reason, as the beginning of a sentence."""
        return "over its limit" if self in (Reason.MAX_RSS, Reason.HARD_MAX_RSS) else self.words


class StepCause(Worded):
    """Why a drain changed its state or ended."""

    # Before the listener stops the worker.
    ALREADY_QUIET = "already_quiet", "the worker was quiet before the drain began"
    CONFIRMED = "confirmed", "the worker confirmed that it is quiet"
    CANNOT_CONFIRM = "cannot_confirm", "this kind cannot confirm that a worker is quiet"
    TAKES_JOBS = "takes_jobs", "the worker takes jobs again"
    IDLE = "idle", "no job is running"
    DRAINS_BY_STOPPING = "drains_by_stopping", "this kind drains by stopping"
    OVER_HARD_LIMIT = "over_hard_limit", "memory is above hard_max_rss"
    MACHINE_IS_SHORT = "machine_is_short", "the machine has hardly any memory left"
    DRAIN_TIMEOUT = "drain_timeout", "drain_timeout is over"
    CANNOT_RESUME = "cannot_resume", "the worker does not confirm that it takes jobs again"
    # After the listener asked supervisord to stop the worker.
    ENDED_AFTER_QUIET = (
        "ended_after_quiet",
        "the process ended by itself after it was asked to take no new job",
    )
    ENDED_BY_ITSELF = "ended_by_itself", "the process ended by itself"
    KILLED = "killed", "the worker did not end by itself: a signal such as SIGKILL ended it"
    SURVIVORS = "survivors", "old processes are still alive"
    STOPPED_NEW_PROCESS = (
        "stopped_new_process",
        "somebody else restarted the worker, and the listener's stop reached the new process",
    )
    RESTARTED_BY_OTHERS = "restarted_by_others", "somebody else restarted the worker"
    NEW_PROCESS_ENDED = "new_process_ended", "the new process ended by itself"
    STOP_NOT_NEEDED = (
        "stop_not_needed",
        "the new process still runs, and it is within hard_max_rss, or too few other workers are in service",
    )
    NEW_PROCESS_IS_QUIET = "new_process_is_quiet", "the new process is quiet: it must be restarted, too"
    # The drain did not begin.
    REFUSED = "refused", "the worker got no slot"
    PROCESS_CHANGED = "process_changed", "the worker has another process now, or does not run"
    NOT_DRAINABLE_NOW = "not_drainable_now", "a second look shows that the worker must not be drained now"
    TOO_FEW_PEERS = "too_few_peers", "too few other workers are in service"
    PROTECTED_JOB = "protected_job", "a protected job is running"
    NOT_OVER_LIMIT = "not_over_limit", "a second look shows memory within max_rss"
    NOT_OVER_HARD_LIMIT = "not_over_hard_limit", "a second look shows memory within hard_max_rss"
    MACHINE_RECOVERED = "machine_recovered", "a second look shows that the machine has memory left"
    QUIET_NOT_SENT = "quiet_not_sent", "the request to take no new job could not be sent"
    # The drain ended without a restart by the listener.
    GONE = "gone", "the worker is no longer in supervisord's configuration"
    STOPPED_BY_OTHERS = "stopped_by_others", "somebody else stopped the worker"
    STARTED_AND_STOPPED_BY_OTHERS = (
        "started_and_stopped_by_others",
        "somebody else started the worker and stopped it again",
    )
    ENDED_UNTOUCHED = "ended_untouched", "the process ended by itself before the listener did anything to it"
    ENDED_BEFORE_STOP = "ended_before_stop", "the process ended by itself before the stop was sent"
    BACK_AT_WORK = "back_at_work", "somebody put the worker back to work"
    QUIET_LOST = "quiet_lost", "the worker still takes jobs, and there is no slot for it any more"
    STOP_REFUSED = "stop_refused", "the worker still runs, and there is no slot for it any more"
    RESUMED = "resumed", "the worker takes jobs again, as on_timeout = resume demands"
