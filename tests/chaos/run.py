"""One run: the rounds of a plan, a calm every so often, and what the judges say of it all."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.chaos.calm import CalmJudge
from tests.chaos.doings import Doings, Kill
from tests.chaos.hand import Hand
from tests.chaos.jobs import Evidence, JobsJudge, Verdict, runs_of
from tests.chaos.judges import Broken, Owed, unpaid
from tests.chaos.observer import Observer
from tests.chaos.plan import POOLS, Round, make_plan
from tests.chaos.stage import Stage
from tests.chaos.story import Line, lines_of, story
from tests.chaos.terms import IN_HAND
from tests.harness import short_directory, wait_for
from tests.programs.job_body import PUSHED, RECORD

START_SECONDS = 60.0
CALM_SECONDS = 150.0
"""How long all may take to be well once everything is healed: for what takes no part too long (`CalmJudge`)
and does not end. Four Sidekiqs that go one after the other take 20 to 30 in all, and each 10 to 20 more on a
machine that is five times as slow."""
GOES_ON_SECONDS = 60.0
JOBS_SECONDS = 60.0
STORIES = 5
T = TypeVar("T")
_STOPPED = re.compile(r"stopped: (\w+) \(exit status 0\)")
_SIGKILL = re.compile(r"killing '(\w+)' \((\d+)\) with SIGKILL")


@dataclass
class Summary:
    """What came of a run."""

    rounds: int = 0
    acts: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    sprung: Counter[str] = field(default_factory=Counter)
    taken_out: dict[str, int] = field(default_factory=dict)
    most_out: dict[str, int] = field(default_factory=dict)
    done: int = 0
    """By the listeners' own word: drains that ended with a fresh worker in service."""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    calms: list[float] = field(default_factory=list)
    """How long each took, in seconds."""
    minutes: float = 0.0
    slow_looks: int = 0

    def words(self) -> str:
        lines = [f"rounds {self.rounds} ({self.skipped} skipped), {self.minutes:.1f} minutes"]
        lines += [f"  {times:3d} {act}" for act, times in sorted(self.acts.items())]
        lines += ["traps sprung: " + ", ".join(f"{place} {n}" for place, n in sorted(self.sprung.items()))]
        lines += [f"calms: {' '.join(f'{seconds:.0f}s' for seconds in self.calms)}"]
        lines += [f"drains seen: {self.taken_out}, done by the listeners' word: {self.done}"]
        lines += [
            f"most out at once by the tool: {self.most_out}; looks too slow to count: {self.slow_looks}"
        ]
        for pool, one in self.verdicts.items():
            lines.append(
                f"{pool} jobs: sent {one.sent}, lost {len(one.lost)}, twice {len(one.twice)}, "
                f"excused {len(one.excused)}, dropped by the framework {len(one.dropped)} "
                f"(of at most {one.most_dropped}, {one.stops} stops)"
            )
        lines += [f"broken promises: {len(self.broken)}"]
        lines += [f"  {one.promise}: {one.words}" for one in self.broken]
        return "\n".join(lines)


class Run:
    """A stage, its observer and a hand."""

    def __init__(self, stage: Stage, command: str, say: Callable[[str], None]) -> None:
        """`command` plays the same plan again."""
        self._stage = stage
        self._command = command
        self._say = say
        self._doings = Doings()
        self._hand = Hand(stage, self._doings)
        self._observer = Observer(stage, self._doings)
        self._told = 0
        self._judged: dict[str, set[str]] = {pool: set() for pool in POOLS}
        self.summary = Summary()

    def play(self, plan: Sequence[Round], calm_every: int) -> Summary:
        began = time.monotonic()
        self._stage.start()
        self._observer.start()
        try:
            wait_for(lambda: not self._observer.owed(), START_SECONDS, lambda: str(self._observer.owed()))
            self._observer.bloats = True
            for todo in plan:
                self._round(todo)
                if todo.number % calm_every == 0 or todo is plan[-1]:
                    self._calm(last=todo is plan[-1])
        finally:
            self._observer.stop()
            self._sum_up(time.monotonic() - began)
        return self.summary

    def _round(self, todo: Round) -> None:
        began = time.monotonic()
        words = self._hand.do(todo)
        self._hand.pause(todo.pause_seconds)
        self._check()
        self.summary.rounds += 1
        self._say(f"{todo.words()}: {words} [{time.monotonic() - began:.1f}s]")

    def _check(self) -> None:
        """Tell of what broke since the last time."""
        self._observer.check()
        for feed in self._stage.feeds:
            feed.assert_alive()
        broken = self._observer.broken[self._told :]
        self._told += len(broken)
        for one in broken:
            self._tell(one)

    def _tell(self, broken: Broken) -> None:
        self.summary.broken.append(broken)
        if len(self.summary.broken) <= STORIES:
            self._say(story(broken, self._lines(), self._command))
        else:
            self._say(f"--- {broken.promise} broken: {broken.words}")

    def _lines(self) -> Iterator[Line]:
        yield from ((at, "hand", words) for at, words in self._hand.deeds)
        yield from ((at, "seen", words) for at, words in self._observer.changes)
        for name, host in self._stage.hosts.items():
            yield from lines_of(host.supervisord.log("memkill.log"), f"{name} listener")
            yield from lines_of(host.supervisord.log(), f"{name} superv.")

    # --- calm -----------------------------------------------------------------------------------

    def _calm(self, *, last: bool) -> None:
        """Undo everything: L1, L2 and the jobs."""
        began = time.monotonic()
        self._hand.heal()
        self._observer.bloats = False
        left = self._wait_until_well()
        seconds = time.monotonic() - began
        self.summary.calms.append(seconds)
        broken = unpaid(left, time.time(), seconds)
        if broken is not None:
            self._tell(broken)
        self._judge_jobs(last=last)
        before = self._observer.taken_out()
        self._observer.bloats = True
        if not last:
            stuck = self._wait(lambda: self._idle_pools(before), GOES_ON_SECONDS)
            if stuck:
                words = f"no drain within {GOES_ON_SECONDS:g}s after the calm: {', '.join(stuck)}"
                self._tell(Broken("L1", time.time(), words))
        self._check()
        self._say(
            f"    calm after {seconds:.1f}s, with jobs and drains again {time.monotonic() - began:.1f}s"
        )

    def _wait_until_well(self) -> list[Owed]:
        """Wait until nothing is owed; what still is when the time for any of it is over."""
        end, judge = time.monotonic() + CALM_SECONDS, CalmJudge()
        while left := self._observer.owed():
            sample, too_big = self._observer.sample, self._observer.too_big()
            late = judge.look(sample, too_big, self._stage.held_back())
            if late or time.monotonic() > end:
                return [*late, *left]
            self._hand.pause(0.3)
            self._check()
        return []

    def _idle_pools(self, before: dict[str, int]) -> list[str]:
        now = self._observer.taken_out()
        return [pool for pool in POOLS if now[pool] <= before[pool]]

    def _wait(self, left: Callable[[], list[T]], seconds: float) -> list[T]:
        """Wait until nothing is left; what is left when the time is over."""
        end = time.monotonic() + seconds
        while found := left():
            if time.monotonic() > end:
                return found
            self._hand.pause(0.3)
            self._check()
        return []

    # --- jobs -----------------------------------------------------------------------------------

    def _judge_jobs(self, *, last: bool) -> None:
        """Of all jobs that were pushed before the calm; at the end of all."""
        if last:
            for feed in self._stage.feeds:
                feed.end()
        for pool in POOLS:
            sent = len(self._pushed(pool))
            self._wait(lambda pool=pool, sent=sent: self._open_jobs(pool, sent), JOBS_SECONDS)  # type: ignore[misc]
            verdict = self._verdict(pool, sent)
            self.summary.verdicts[pool] = verdict
            too_many = f"dropped by the framework, more than {verdict.most_dropped} at {verdict.stops} stops"
            for words, jobs in (
                ("lost", verdict.lost),
                ("begun twice", verdict.twice),
                (too_many, verdict.dropped if verdict.drops_too_many else ()),
            ):
                fresh = sorted(set(jobs) - self._judged[pool])
                self._judged[pool] |= set(jobs)
                if fresh:
                    self._tell(
                        Broken(
                            "jobs",
                            self._moment(pool, fresh[0]),
                            f"{pool}: {words}: {self._told_of(pool, fresh)}",
                        )
                    )

    def _open_jobs(self, pool: str, sent: int) -> list[str]:
        """Jobs without a finish or an excuse."""
        verdict = self._verdict(pool, sent)
        return [*verdict.lost]

    def _verdict(self, pool: str, sent: int) -> Verdict:
        with self._stage.client(pool) as client:
            taken: set[str] = set()
            if pool == "rq":
                taken |= set(client.lrange("rq:queue:default:intermediate", 0, -1))
                taken |= {entry.partition(":")[0] for entry in client.zrange("rq:failed:default", 0, -1)}
                taken |= {entry.partition(":")[0] for entry in client.zrange("rq:wip:default", 0, -1)}
            evidence = Evidence(
                self._pushed(pool)[:sent],
                runs_of(self._facts(pool)),
                [*self._doings.kills, *self._cut_by_supervisord()],
                frozenset(taken),
                [at for at, worker in self._stops() if worker.startswith(f"{pool}_")],
            )
        return JobsJudge(pool, IN_HAND[pool], evidence).verdict()

    def _pushed(self, pool: str) -> list[str]:
        with self._stage.client(pool) as client:
            return [str(job) for job in client.lrange(PUSHED, 0, -1)]

    def _facts(self, pool: str) -> list[list[object]]:
        with self._stage.client(pool) as client:
            return [json.loads(line) for line in client.lrange(RECORD, 0, -1)]

    def _told_of(self, pool: str, jobs: Sequence[str]) -> str:
        """What the jobs wrote down of themselves."""
        facts = [fact for fact in self._facts(pool) if fact[1] in jobs]
        return f"{', '.join(jobs)}; {facts[:12]}"

    def _moment(self, pool: str, job: str) -> float:
        """When this job was begun, or the next one that was."""
        runs, pushed = runs_of(self._facts(pool)), self._pushed(pool)
        later = [runs[other][-1].started for other in pushed[pushed.index(job) :] if other in runs]
        return later[0] + 10 if later else time.time()

    def _cut_by_supervisord(self) -> Iterator[Kill]:
        """SIGKILLs of supervisord's at a stop, a restart or an update of the hand's."""
        for name, at, words in self._said_by_supervisords():
            match = _SIGKILL.search(words)
            if match and self._doings.touched(f"{name}/{match[1]}", at, at):
                yield Kill(at, frozenset({int(match[2])}), frozenset({f"{name}/{match[1]}"}))

    def _stops(self) -> Iterator[tuple[float, str]]:
        """When a worker had stopped gracefully, whoever told it to."""
        for _, at, words in self._said_by_supervisords():
            match = _STOPPED.search(words)
            if match:
                yield at, match[1]

    def _said_by_supervisords(self) -> Iterator[tuple[str, float, str]]:
        for name, host in self._stage.hosts.items():
            for at, _, words in lines_of(host.supervisord.log(), name):
                yield name, at, words

    # --- the sum --------------------------------------------------------------------------------

    def _sum_up(self, seconds: float) -> None:
        summary, hand, observer = self.summary, self._hand, self._observer
        summary.acts = Counter({sort.value: times for sort, times in hand.done.items()})
        summary.skipped = hand.skipped.total()
        summary.sprung = hand.sprung
        summary.taken_out = observer.taken_out()
        summary.most_out = {pool: judge.most_out for pool, judge in observer.judges.items()}
        summary.done = sum(
            host.supervisord.log("memkill.log").count(word)
            for host in self._stage.hosts.values()
            for word in (" drain.done ", " drain.killed ")
        )
        summary.slow_looks = observer.slow_looks
        summary.minutes = seconds / 60


def run(
    seed: int, rounds: int, calm_every: int, say: Callable[[str], None], keep: Path | None = None
) -> Summary:
    """Play the plan of this seed; nothing is left running."""
    command = f"python -m tests.chaos --seed {seed} --rounds {rounds} --calm-every {calm_every}"
    with short_directory() as directory:
        stage = Stage(directory)
        try:
            return Run(stage, command, say).play(make_plan(seed, rounds), calm_every)
        finally:
            if keep is not None:
                _keep_logs(directory, keep)
            stage.stop()


def _keep_logs(directory: Path, keep: Path) -> None:
    for log in directory.glob("*/*.log"):
        to = keep / log.relative_to(directory)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(log.read_bytes())
