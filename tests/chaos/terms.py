"""What both hosts are told, and how long things may take by it. Pure."""

from __future__ import annotations

LIMIT_MEGABYTES, BLOAT_MEGABYTES = 120, 130
"""A fresh worker takes 30 to 50. Each grows by some more of its own: so its turn comes at any place."""
MIN_AVAILABLE = {"sidekiq": 2, "rq": 3}
"""Of four workers. With 3, one that the hand took away is enough to keep the others waiting; with 2, two."""
MAX_DRAINING = 1
IN_HAND = {"sidekiq": 2, "rq": 1}
"""The most jobs that one worker has in hand."""
JOB_SECONDS = 0.6
HEARTBEAT_SECONDS = 1.0
SLOT_TTL_SECONDS = 5.0
POLL_SECONDS = 0.2
SETTLE_SECONDS = 1.0
STOP_WAIT_SECONDS = 30
SIDEKIQ_STOP_SECONDS = 8
"""Sidekiq's own time for the jobs in hand."""
BEATS = {"a": 1.0}
"""Seconds between two records of this host's Sidekiqs; the others' are Sidekiq's own."""
LONGEST_BEAT_SECONDS = 10.0
"""Sidekiq's own: 5 up to Sidekiq 6, 10 since."""
TICK_SECONDS = 5.0
"""Between two checks that may find a worker over its limit."""

# --- how long things may take -----------------------------------------------------------------------

NOISE_SECONDS = 8.0
"""For a step or two on a machine that does other things besides, five programs to a core."""
COMING_SECONDS = 30.0
"""Until a fresh process is RUNNING and has a record: 2 where nothing else runs, 14 on such a machine."""
HELD_BACK_SECONDS = 30.0
"""A quiet that got lost is sent again after so long; a worker that could not be told is asked again no
later, unless that fails three times in a row."""


def pool_of(worker: str) -> str:
    """Of a worker as the chaos run names it: ``a/sidekiq_0``."""
    return worker.partition("/")[2].partition("_")[0]


def confirm_seconds(worker: str) -> float:
    """From its going out of service until its listener knows of it, and holds its slot come what may."""
    return _beat_seconds(worker) if pool_of(worker) == "sidekiq" else JOB_SECONDS + 2.0


def gone_seconds(worker: str) -> float:
    """How long it may be quiet and stopped, until it is started, while nothing hinders its listener.

    stopwaitsecs is no part of it: no job and no framework here needs as long.
    """
    # The first record that says quiet may have counted its jobs before: idle is believed in the next.
    quiets = 2 * _beat_seconds(worker) if pool_of(worker) == "sidekiq" else 0.0
    return HEARTBEAT_SECONDS + quiets + JOB_SECONDS + 3 * POLL_SECONDS + NOISE_SECONDS


def wait_seconds(*, held_back: bool) -> float:
    """How long a pool in which all serve and one is over its limit may wait to begin.

    `held_back`: a quiet may have got lost, or a drain was not begun.
    """
    granted_again = SLOT_TTL_SECONDS  # after a loss of data
    return TICK_SECONDS + granted_again + NOISE_SECONDS + (HELD_BACK_SECONDS if held_back else 0.0)


def _beat_seconds(worker: str) -> float:
    return BEATS.get(worker.partition("/")[0], LONGEST_BEAT_SECONDS)
