"""Runs the demo: hands out jobs, watches, comments, and judges at the end."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.demo.interruption import Interruption
from supervisor_memkill.demo.judge import Account, Tally, account, broken_promises, observe
from supervisor_memkill.demo.narration import narrate, parse
from supervisor_memkill.demo.sample import Sample
from supervisor_memkill.demo.screen import Screen
from supervisor_memkill.demo.spool import Job
from supervisor_memkill.demo.stage import GROUP, HASTE_SECONDS, Leak, Stage, set_stage
from supervisor_memkill.demo.watch import Tail, Watcher
from supervisor_memkill.world.supervisord import SupervisordError

MB = 1024**2
LIMIT_BYTES = 48 * MB
LEAKS = (
    # The first two reach the limit at about the same time: one has to wait for the other.
    Leak("a", int(2.4 * MB), 90 * MB),
    Leak("b", int(2.3 * MB), 90 * MB),
    Leak("c", int(1.7 * MB), 90 * MB),
)
JOB_SECONDS = (2.0, 3.0, 4.0)
"""The durations of the jobs, one after the other."""
JOB_EVERY_SECONDS = 1.25
"""Three workers are a little faster than this, two a little slower."""

SAMPLE_SECONDS = 0.2
SLOW_SECONDS = 1.0
"""A sample that took longer is ignored: it does not show all workers at the same moment."""
LINE_SECONDS = 2.0
REPLACED_SECONDS = 100.0
"""All workers must be replaced within this time."""
REST_SECONDS = 30.0
"""After that, the last jobs and the last drain must end within this time."""
EVIDENCE_LINES = 15
Show = Callable[[str], None]

DRAIN_IS_OVER = frozenset({"drain.done", "drain.killed", "drain.let_go", "drain.not_begun"})


@dataclass(frozen=True)
class Outcome:
    """The result of the demo."""

    tally: Tally
    jobs: Account
    broken: tuple[str, ...]
    seconds: float
    log: str
    """The last lines of the listener's log."""


def run(show: Show) -> int:
    """Run the demo and return the exit status: 128 plus its number after a signal. Raises MemkillError.

    `show` writes text to standard output.
    """
    columns = shutil.get_terminal_size().columns
    screen = Screen.of(columns, sys.stdout.isatty(), os.environ)
    with Interruption() as interruption:
        with set_stage(LEAKS, LIMIT_BYTES) as stage:
            play = Play(stage, screen, show, interruption, boot_clock, time.sleep)
            outcome = play.run()
            if outcome is None:
                show("Interrupted: stopping everything ... ")
                stage.close(HASTE_SECONDS)
        if outcome is None:
            show("nothing is left.\n")
            return 128 + interruption.number
    show(screen.summary(outcome.tally, outcome.jobs, outcome.broken, outcome.seconds))
    show(f"All processes of the demo have ended, and {stage.directory} is removed.\n")
    if outcome.broken:
        show(f"The last lines of the listener's log:\n{outcome.log}")
        return 1
    return 0


class Play:
    """One run of the demo, on a stage that was just set."""

    def __init__(
        self,
        stage: Stage,
        screen: Screen,
        show: Show,
        interruption: Interruption,
        clock: Clock,
        sleep: Callable[[float], None],
    ) -> None:
        self._stage = stage
        self._screen = screen
        self._show = show
        self._interruption = interruption
        self._clock = clock
        self._sleep = sleep
        self._watcher = Watcher(stage.supervisord, stage.spool, GROUP)
        self._log = Tail(stage.log)
        self._began_at = clock()
        self._tally = Tally()
        self._last: Sample | None = None
        self._last_events: dict[str, str] = {}
        """For each worker that the listener is dealing with, the name of the last event about it."""
        self._handed_out: list[str] = []
        self._next_job_at = 0.0
        self._next_line_at = 0.0

    def run(self) -> Outcome | None:
        """Run from the first job to the last; None when it was interrupted. Raises MemkillError."""
        self._show(self._screen.introduction(self._stage.directory, LIMIT_BYTES, JOB_EVERY_SECONDS))
        if self._turn_until(lambda: self._tally.are_all_replaced and self._is_calm(), REPLACED_SECONDS):
            self._say(
                "All three workers were replaced. The last jobs are being finished."
                " Meanwhile a worker may be replaced once more."
            )
        self._turn_until(self._is_at_rest, REST_SECONDS, feeds=False)
        if self._interruption.number:
            return None
        jobs = account(self._handed_out, self._stage.spool.facts())
        return Outcome(
            self._tally,
            jobs,
            broken_promises(self._tally, jobs, self._last),
            self._now(),
            "".join(f"  {line}\n" for line in Tail(self._stage.log).lines()[-EVIDENCE_LINES:]),
        )

    def _turn_until(
        self, is_reached: Callable[[], bool], limit_seconds: float, *, feeds: bool = True
    ) -> bool:
        """Repeat turns until `is_reached`; False when that took too long, or the demo was interrupted."""
        end = self._now() + limit_seconds
        while not is_reached():
            if self._interruption.number or self._now() > end:
                return False
            self._turn(feeds)
            self._sleep(SAMPLE_SECONDS)
        return True

    def _turn(self, feeds: bool) -> None:
        self._stage.check()
        try:
            sample = self._watcher.look(self._now())
        except SupervisordError:
            return  # Not ready yet, or too busy to answer: the next sample comes soon.
        if self._now() - sample.at > SLOW_SECONDS:
            return
        had_begun = bool(self._tally.lives)
        self._tally, self._last = observe(self._tally, sample), sample
        if self._tally.lives and not had_begun:
            self._say("All three workers are in service, and the first job is handed out.")
        if self._tally.lives and feeds:
            self._feed()
        self._narrate()
        self._draw(sample)

    def _feed(self) -> None:
        if self._now() >= self._next_job_at:
            self._next_job_at = max(self._next_job_at + JOB_EVERY_SECONDS, self._now())
            number = len(self._handed_out) + 1
            job = Job(f"{number:04d}", JOB_SECONDS[number % len(JOB_SECONDS)])
            self._handed_out.append(job.name)
            self._stage.spool.hand_out(job)

    def _narrate(self) -> None:
        """Comment on the new lines of the listener's log."""
        for event in filter(None, map(parse, self._log.lines())):
            sentence = narrate(event)
            if sentence:
                self._say(sentence)
            if event.name in DRAIN_IS_OVER:
                self._last_events.pop(event.worker, None)
            elif event.name == "worker.held" or event.name.startswith("drain."):
                self._last_events[event.worker] = event.name

    def _say(self, sentence: str) -> None:
        self._show(self._screen.event(self._now(), sentence))

    def _draw(self, sample: Sample) -> None:
        if self._now() >= self._next_line_at:
            self._next_line_at = self._now() + LINE_SECONDS
            self._show(self._screen.timeline(sample, self._last_events, LIMIT_BYTES))

    def _is_calm(self) -> bool:
        """All workers are in service, and no drain is under way."""
        is_draining = any(name != "worker.held" for name in self._last_events.values())
        return self._last is not None and not self._last.out and not is_draining

    def _is_at_rest(self) -> bool:
        return self._is_calm() and self._last is not None and self._last.done == len(self._handed_out)

    def _now(self) -> float:
        return self._clock() - self._began_at
