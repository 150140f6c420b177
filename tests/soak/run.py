"""One soak: real workers under a real supervisord are replaced again and again under a constant feed.

Judged by what the jobs themselves wrote down: none may be lost, run twice, or cut.
"""

from __future__ import annotations

import contextlib
import functools
import io
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor_memkill.processes import ProcessState
from tests.harness import short_directory
from tests.real.frameworks import LISTENER, FrameworkFleet
from tests.real_redis import RealRedis
from tests.soak.workers import Workers

LOOK_SECONDS = 2.0
Say = Callable[[str], object]


@dataclass(frozen=True)
class Shape:
    """How a soak is set up."""

    fleets: int = 1
    """So many supervisords side by side, each with its own listener, workers, Redis and feed."""
    workers: int = 6
    """Of each fleet, as all that follows."""
    max_draining: int = 3
    job_seconds: float = 0.5
    most_waiting: int = 18
    """The feed stops while so many jobs are sent and not finished."""

    @classmethod
    def drawn(cls, seed: int) -> Shape:
        """The one of this seed."""
        draw = random.Random(seed)
        workers = draw.randint(3, 8)
        return cls(
            workers=workers,
            max_draining=draw.randint(1, workers - 1),
            job_seconds=draw.choice([0.05, 0.3, 0.5, 1.5, 3.0]),
            most_waiting=workers * draw.randint(1, 5),
        )

    def words(self) -> str:
        fleets = f"{self.fleets} fleets of " if self.fleets > 1 else ""
        return (
            f"{fleets}{self.workers} workers, {self.max_draining} drained at once, "
            f"jobs of {self.job_seconds} s, at most {self.most_waiting} unfinished"
        )


@dataclass(frozen=True)
class Account:
    """What a soak did, and what the jobs say of it."""

    framework: str
    version: str
    restarts: int
    during_a_job: int
    """Jobs that were running when their worker was told to take no more, and that it finished."""
    sent: int
    lost: int
    dropped: int
    """Of the lost ones, those that the framework's own stop is known to drop."""
    twice: int
    cut: int
    killed: int
    """Stops that ended in SIGKILL."""
    minutes: float
    stuck: str = ""
    """Why it ended early; empty if it did all its restarts."""
    story: str = ""
    """The logs."""

    @property
    def is_broken(self) -> bool:
        return bool(self.lost - self.dropped or self.twice or self.cut or self.killed)

    @property
    def status(self) -> int:
        """0: all well; 1: a job was lost, run twice or cut; 2: it did not get on."""
        return 1 if self.is_broken else 2 if self.stuck else 0

    def table(self) -> str:
        """The figures, as a table of two rows."""
        columns: dict[str, object] = {
            "framework": self.framework,
            "version": self.version,
            "restarts": self.restarts,
            "jobs during a drain": self.during_a_job,
            "sent": self.sent,
            "lost": f"{self.lost} ({self.dropped} dropped by {self.framework} itself)"
            if self.dropped
            else self.lost,
            "twice": self.twice,
            "cut": self.cut,
            "killed": self.killed,
            "minutes": f"{self.minutes:.1f}",
        }
        widths = [max(len(name), len(str(value))) for name, value in columns.items()]
        rows: list[list[object]] = [list(columns), list(columns.values())]
        return "\n".join(
            "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


class Progress:
    """Waits for a count to reach a figure, for as long as it still grows."""

    def __init__(
        self,
        patience_seconds: float,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """It gives up when a count has not grown for `patience_seconds`."""
        self._patience_seconds = patience_seconds
        self._say = say
        self._clock = clock
        self._sleep = sleep

    def wait(self, what: str, count: Callable[[], int], wanted: Callable[[], int]) -> str:
        """Return once the count of `what` (a noun, in plural) is the wanted one; why not, or empty."""
        best, since = count(), self._clock()
        while (now := count()) < wanted():
            if now > best:
                best, since = now, self._clock()
                self._say(f"{best} of {wanted()} {what}")
            elif self._clock() - since > self._patience_seconds:
                return f"no more {what} for {self._patience_seconds:g} s: {best} of {wanted()} are done"
            self._sleep(LOOK_SECONDS)
        return ""


class End:
    """When it is enough, though fewer restarts are done than were asked for."""

    def __init__(self, minutes: float | None = None) -> None:
        """`minutes`: None for no limit."""
        self.called = False
        self._at = None if minutes is None else time.monotonic() + 60 * minutes

    def call(self, *_: object) -> None:
        """End it in good order: as a handler of a signal. The second one ends it at once."""
        if self.called:
            sys.exit(143)
        self.called = True

    def has_come(self) -> bool:
        return self.called or (self._at is not None and time.monotonic() >= self._at)


def soak(
    workers: Workers,
    shape: Shape,
    restarts: int,
    patience_seconds: float,
    say: Say,
    end: End | None = None,
    keep: Path | None = None,
) -> Account:
    """Run one; nothing of it is left afterwards.

    `keep`: the folder for the logs and the record of each fleet, if a job was lost, run twice or cut.
    """
    end = end or End()
    version, began = workers.version(), time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))  # a fleet prints its logs at its end
        fleets = [stack.enter_context(running(workers, shape)) for _ in range(shape.fleets)]
        stuck = drive(fleets, restarts, Progress(patience_seconds, say), end, workers.dropped_by_itself)
        minutes = (time.monotonic() - began) / 60
        done = account(workers, version, fleets, minutes, stuck)
        if keep is not None and done.status == 1:
            for number, fleet in enumerate(fleets):
                keep_records(fleet, keep / str(number))
        return done


@contextlib.contextmanager
def running(workers: Workers, shape: Shape) -> Iterator[FrameworkFleet]:
    """One fleet, with a Redis of its own."""
    names = [f"soak_{number}" for number in range(shape.workers)]
    with contextlib.ExitStack() as stack:
        server = RealRedis(stack.enter_context(short_directory()), program=workers.server())
        stack.callback(server.stop)
        server.start()
        yield stack.enter_context(workers.open(server, names, options(shape)))


def options(shape: Shape) -> dict[str, Any]:
    """Of each fleet: a worker asks for a drain by its age, as soon as it runs."""
    return {
        "job_seconds": shape.job_seconds,
        # Often enough to replace the jobs that are done: more often costs time of the workers.
        "feed_every_seconds": shape.job_seconds / shape.most_waiting,
        "bloat_seconds": 86_400,
        "environment": {"APP_MOST_WAITING": str(shape.most_waiting)},
        "pool": {
            "max_rss": "1GB",
            "max_age": "2s",
            "max_draining": shape.max_draining,
            "min_available": shape.workers - shape.max_draining,
        },
    }


def drive(
    fleets: Sequence[FrameworkFleet],
    restarts: int,
    progress: Progress,
    end: End,
    dropped: Callable[[FrameworkFleet], set[str]],
) -> str:
    """Replace workers until so many restarts are done, then let the jobs end; why not, or empty.

    The jobs are waited for in any case: one that still runs is neither lost nor cut. Those that the framework
    itself `dropped` are not.
    """
    with contextlib.ExitStack() as feeds:
        for fleet in fleets:
            feeds.enter_context(fleet.feeding())
            fleet.listen()
        stuck = progress.wait(
            "restarts", lambda: restarts_of(fleets), lambda: 0 if end.has_come() else restarts
        )
        # A worker that the listener leaves quiet or stopped takes no jobs, and all others do.
        for fleet in fleets:
            stop_listener(fleet)
            fleet.wait_for(functools.partial(is_none_stopping, fleet))
        # Some brokers give what a stop left behind to a worker that gets another job.
        sent = {fleet: set(fleet.pushed()) for fleet in fleets}
        progress.wait(
            "jobs",
            lambda: sum(len(sent[fleet] & fleet.finished().keys()) for fleet in fleets),
            lambda: sum(len(sent[fleet] - dropped(fleet)) for fleet in fleets),
        )
    lacking = progress.wait(
        "jobs",
        lambda: sum(len(fleet.finished()) for fleet in fleets),
        lambda: sum(len(set(fleet.pushed()) - dropped(fleet)) for fleet in fleets),
    )
    return "; ".join(filter(None, [stuck, lacking]))


def stop_listener(fleet: FrameworkFleet) -> None:
    """On a machine with too much to do, the command may be given up while supervisord still obeys it.

    What the jobs of an hour wrote down must not be lost for that.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        fleet.supervisord.ctl("stop", LISTENER)
    fleet.wait_for(lambda: fleet.supervisord.process(LISTENER).state is ProcessState.STOPPED)


def is_none_stopping(fleet: FrameworkFleet) -> bool:
    """No worker is at its end: none can still take a job that it will not run."""
    return all(fleet.process(name).state is not ProcessState.STOPPING for name in fleet.names)


def keep_records(fleet: FrameworkFleet, folder: Path) -> None:
    """Copy its logs, the jobs that were sent, and what the jobs wrote down."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in fleet.directory.glob("*.log"):
        shutil.copy(log, folder)
    (folder / "sent").write_text("\n".join(fleet.pushed()))
    (folder / "runs").write_text("\n".join(map(str, fleet.runs())))


def restarts_of(fleets: Sequence[FrameworkFleet]) -> int:
    return sum(sum(fleet.replaced().values()) for fleet in fleets)


def account(
    workers: Workers, version: str, fleets: Sequence[FrameworkFleet], minutes: float, stuck: str = ""
) -> Account:
    """What the jobs and the listeners wrote down."""
    lost = {fleet: set(fleet.lost()) for fleet in fleets}
    return Account(
        framework=workers.title,
        version=version,
        restarts=restarts_of(fleets),
        during_a_job=sum(len(fleet.in_hand_then_finished()) for fleet in fleets),
        sent=sum(len(fleet.pushed()) for fleet in fleets),
        lost=sum(map(len, lost.values())),
        dropped=sum(len(lost[fleet] & workers.dropped_by_itself(fleet)) for fleet in fleets),
        twice=sum(len(fleet.twice()) for fleet in fleets),
        cut=sum(run.finished is None for fleet in fleets for run in fleet.runs()),
        killed=sum(len(fleet.events("drain.killed")) for fleet in fleets),
        minutes=minutes,
        stuck=stuck,
        story="\n".join(fleet.story() for fleet in fleets),
    )
