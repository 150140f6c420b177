"""What is said of drains: each change once, in the log."""

from __future__ import annotations

from supervisor_memkill.clock import Clock
from supervisor_memkill.notices.log import EventLog
from supervisor_memkill.rules.decision import Seen, Step
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.units import format_duration, format_size
from supervisor_memkill.workers.contract import Reading

SLOW_SETTLING_SECONDS = 60.0
"""A fresh worker that is not in service so long after `settle` is worth a word."""


class Telling:
    """The words for what a drain does and meets."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    def step(self, before: Drain, step: Step, seen: Seen) -> None:
        """What changed with this step."""
        drain, reading = step.drain, seen.reading
        if drain.state is not before.state:
            self._state(before, drain, step.cause)
        elif step.action is not None:
            self._log.changed(
                f"again:{drain.worker}",
                "drain.again",
                worker=drain.worker,
                state=drain.state,
                action=step.action,
            )
        waits = drain.state in (State.QUIETING, State.DRAINING)
        if waits and reading is not None and (reading.busy is not None or reading.why):
            self._log.changed(
                f"busy:{drain.worker}",
                "drain.busy",
                worker=drain.worker,
                busy=reading.busy,
                why=reading.why or None,
            )
        if drain.state is State.SETTLING:
            self._settling(drain, seen.survivors, reading)

    def _state(self, before: Drain, drain: Drain, cause: str) -> None:
        begins = before.state is State.ASKING
        self._log.info(
            f"drain.{drain.state.value}",
            worker=drain.worker,
            pid=drain.pid,
            rss=size(drain.memory_before_bytes) if begins else None,
            max_rss=size(drain.limit_bytes) if begins else None,
            reason=drain.reason if begins else None,
            cause=cause or None,
        )
        if before.state is State.SETTLING and drain.state is State.STARTING:
            self._log.changed(
                f"ended:{drain.worker}",
                "drain.start_failed",
                level="warning",
                worker=drain.worker,
                error=cause,
                hint="it is tried again, and its pool drains no other meanwhile",
            )

    def _settling(self, drain: Drain, survivors: tuple[int, ...], reading: Reading | None) -> None:
        if survivors:
            self._log.changed(
                f"survivors:{drain.worker}",
                "drain.old_processes_live",
                level="error",
                worker=drain.worker,
                pids=survivors,
                hint="it counts as drained when they are gone: they still hold memory, and perhaps a job",
            )
        if drain.running_since is not None and self._clock() - drain.running_since > SLOW_SETTLING_SECONDS:
            self._log.changed(
                f"slow:{drain.worker}",
                "drain.not_in_service_yet",
                level="warning",
                worker=drain.worker,
                pid=drain.pid,
                why=reading.why if reading else None,
            )

    def kind_failed(self, worker: str, error: Exception) -> None:
        """A kind raised what none may raise."""
        self._log.changed(
            f"kind:{worker}",
            "kind.failed",
            level="error",
            worker=worker,
            error=f"{type(error).__name__}: {error}",
        )

    def done(self, drain: Drain, after_bytes: int | None) -> None:
        """What the drain took, and what it gave back."""
        self._log.info(
            "drain.done",
            worker=drain.worker,
            pid=drain.pid,
            reason=drain.reason,
            before=size(drain.memory_before_bytes),
            after=size(after_bytes),
            quiet=_duration(drain.quiet_seconds),
            stopped=_duration(drain.stopped_seconds),
            took=_duration(self._clock() - drain.began_at),
        )

    def below_baseline(self, drain: Drain, after_bytes: int, pause_seconds: float) -> None:
        """The limit is lower than what a fresh worker needs."""
        self._log.error(
            "limit.below_baseline",
            worker=drain.worker,
            pid=drain.pid,
            rss=size(after_bytes),
            max_rss=size(drain.limit_bytes),
            pause=_duration(pause_seconds),
            hint="a fresh worker needs this much: raise max_rss",
        )

    def forget(self, worker: str) -> None:
        """Its next drain is told of anew."""
        for topic in ("act", "again", "busy", "ended", "kind", "slow", "survivors"):
            self._log.forget(f"{topic}:{worker}")


def size(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else format_size(size_bytes)


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
