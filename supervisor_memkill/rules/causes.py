"""Why a drain begins, changes its state, or ends."""

from __future__ import annotations

from supervisor_memkill.worded import Worded


class Reason(Worded):
    """Why a worker is drained."""

    MAX_RSS = "max_rss", "memory above max_rss"
    HARD_MAX_RSS = "hard_max_rss", "memory above hard_max_rss"
    """It waits neither for a slot nor for running jobs."""
    ADOPTED = "adopted", "found quiet after the journal was damaged"


class StepCause(Worded):
    """Why a drain changed its state or ended."""

    # Before our stop.
    ALREADY_QUIET = "already_quiet", "the worker is quiet already"
    CONFIRMED = "confirmed", "the worker confirmed that it is quiet"
    CANNOT_CONFIRM = "cannot_confirm", "this kind cannot confirm a quiet"
    TAKES_JOBS = "takes_jobs", "the worker takes jobs again"
    IDLE = "idle", "no job is running"
    DRAINS_BY_STOPPING = "drains_by_stopping", "this kind drains by stopping"
    OVER_HARD_LIMIT = "over_hard_limit", "memory is above hard_max_rss"
    DRAIN_TIMEOUT = "drain_timeout", "drain_timeout is over"
    CANNOT_RESUME = "cannot_resume", "the quiet could not be undone"
    # From our stop on.
    ENDED_AFTER_QUIET = "ended_after_quiet", "the process ended by itself after our quiet"
    ENDED_BY_ITSELF = "ended_by_itself", "the process ended by itself"
    SURVIVORS = "survivors", "old processes are still alive"
    RESTARTED_BY_OTHERS = "restarted_by_others", "somebody else restarted the worker"
    FRESH_ENDED = "fresh_ended", "the new process ended by itself"
    FRESH_IS_QUIET = "fresh_is_quiet", "our quiet reached the new process"
    # The end of a drain that did not begin.
    REFUSED = "refused", "the slot was refused"
    PROCESS_CHANGED = "process_changed", "the process changed"
    NOT_DRAINABLE_NOW = "not_drainable_now", "a second look shows that it must not be drained now"
    TOO_FEW_PEERS = "too_few_peers", "too few other workers are in service"
    PROTECTED_JOB = "protected_job", "a protected job is running"
    NOT_OVER_LIMIT = "not_over_limit", "a second look shows memory within max_rss"
    NOT_OVER_HARD_LIMIT = "not_over_hard_limit", "a second look shows memory within hard_max_rss"
    QUIET_NOT_SENT = "quiet_not_sent", "the quiet was not sent"
    # The end of a drain that leaves the worker to others.
    GONE = "gone", "the worker is gone from supervisord's configuration"
    STOPPED_BY_OTHERS = "stopped_by_others", "somebody else stopped the worker"
    STARTED_AND_STOPPED_BY_OTHERS = (
        "started_and_stopped_by_others",
        "somebody else started the worker and stopped it again",
    )
    ENDED_UNTOUCHED = "ended_untouched", "the process ended by itself before anything of ours reached it"
    ENDED_BEFORE_STOP = "ended_before_stop", "the process had ended by itself before our stop"
    BACK_AT_WORK = "back_at_work", "somebody put the worker back to work"
    QUIET_LOST = "quiet_lost", "the quiet had no effect, and the slot is refused now"
    STOP_REFUSED = "stop_refused", "the stop had no effect, and the slot is refused now"
    RESUMED = "resumed", "the quiet was undone"
