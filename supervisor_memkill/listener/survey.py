"""One look at every worker of every pool: what supervisord, the system and the kinds say of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from supervisor_memkill.clock import Clock
from supervisor_memkill.config.options import PoolConfig
from supervisor_memkill.coordination.contract import Holding, Report, Request, Rules
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import Measure, ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.policy import Sighting, Strikes, Terms, Verdict, is_in_service, judge
from supervisor_memkill.rules.pools import assign, notes
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Advice, Kind, Note, Target
from supervisor_memkill.world.memory import ProcessTable, can_measure
from supervisor_memkill.world.supervisord import Supervisord

SETTINGS_UNKNOWN = Advice("supervisord does not tell its settings, such as stopsignal", refuses=True)


@dataclass(frozen=True)
class Pool:
    """A pool ready to work with."""

    config: PoolConfig
    kind: Kind

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def rules(self) -> Rules:
        return Rules(self.config.min_available, self.config.max_draining, self.config.cooldown_seconds)

    def memory(self, process: ProcessInfo, table: ProcessTable) -> int:
        """Bytes, by the pool's `measure` and `children`. Raises Unknown."""
        children = self.config.children
        if children is None:
            children = self.kind.memory_in_children(process, table)
        return table.memory(process.pid, self.measure, children)

    @property
    def measure(self) -> Measure:
        """The pool's, else the kind's where this system has it."""
        if self.config.measure is not None:
            return self.config.measure
        return self.kind.traits.measure if can_measure(self.kind.traits.measure) else "rss"

    def advice(self, program: ProgramInfo | None) -> tuple[Advice, ...]:
        """What is wrong with a program's settings; None: supervisord did not tell them."""
        if program is None:
            return (SETTINGS_UNKNOWN,)
        return tuple(self.kind.advice(program, self.config.drain_timeout_seconds))


@dataclass(frozen=True)
class Finding:
    """One worker with the verdict on it."""

    seen: Sighting
    verdict: Verdict
    advice: tuple[Advice, ...] = ()
    """What the operator should mend in its settings."""

    @property
    def worker(self) -> str:
        return self.seen.process.worker

    @property
    def queues(self) -> frozenset[str]:
        return self.seen.reading.queues if self.seen.reading else frozenset()

    @property
    def is_quiet(self) -> bool:
        """Out of service already, and not by a drain of ours."""
        return self.seen.reading is not None and self.seen.reading.quiet is True

    def request(self, token: str | None = None) -> Request:
        """`token` None: it is only considered."""
        verdict = self.verdict
        return Request(
            self.worker,
            token,
            verdict.urgency,
            self.queues,
            hard=verdict.hard,
            already_out=self.is_quiet,
        )


@dataclass(frozen=True)
class PoolSurvey:
    """One pool at one moment."""

    pool: Pool
    terms: Terms
    findings: tuple[Finding, ...]
    """None of them where the look failed."""
    failure: Exception | None = None
    """What went wrong: a fault of one kind must not hide the other pools."""

    def finding(self, worker: str) -> Finding | None:
        return next((one for one in self.findings if one.worker == worker), None)

    def hints(self) -> Iterator[tuple[str, Advice]]:
        """Each worker with what the operator should mend about it, though it may do no harm yet."""
        for finding in self.findings:
            for advice in finding.advice:
                yield finding.worker, advice
            if finding.seen.reading is not None and finding.seen.reading.remark:
                yield finding.worker, Advice(finding.seen.reading.remark)

    def asking(self) -> list[Finding]:
        """Those that ask, the most urgent first."""
        asking = [one for one in self.findings if one.verdict.asks]
        return sorted(asking, key=lambda one: (not one.verdict.hard, -one.verdict.urgency, one.worker))

    def reports(self, *, can_begin: bool) -> list[Report]:
        """What coordination is told. One that could not begin a drain keeps nobody waiting who could."""
        return [self._report(one, asks=can_begin and one.verdict.asks) for one in self.findings]

    def _report(self, finding: Finding, *, asks: bool) -> Report:
        seen = finding.seen
        return Report(
            worker=finding.worker,
            pid=seen.process.pid,
            start=seen.process.start,
            memory_bytes=seen.memory_bytes,
            limit_bytes=self.terms.limit_bytes or 0,
            in_service=is_in_service(seen, self.terms.settle_seconds),
            state=seen.draining.value if seen.draining else seen.process.state.name,
            busy=seen.reading.busy if seen.reading else None,
            urgency=finding.verdict.urgency if asks else None,
            queues=finding.queues,
        )


@dataclass(frozen=True)
class Survey:
    """Every pool at one moment."""

    pools: tuple[PoolSurvey, ...]
    notes: tuple[str, ...]
    """What is odd about which worker belongs to which pool; told by checks only."""


def holdings(drains: Collection[Drain], pool: str) -> list[Holding]:
    """The slots that these drains hold in a pool."""
    return [
        Holding(drain.worker, drain.token, drain.is_out)
        for drain in drains
        if drain.pool == pool and drain.state is not State.ASKING
    ]


class Surveyor:
    """Looks at the pools; changes nothing."""

    def __init__(
        self,
        supervisord: Supervisord,
        pools: Sequence[Pool],
        clock: Clock,
        *,
        own_group: str,
        tables: Callable[[], ProcessTable],
        machine_bytes: Callable[[], int],
        eventlistener_groups: Collection[str] = (),
        stop_as_group: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        """`own_group`: the listener's, empty by hand; `machine_bytes`: what percentages are of.

        `stop_as_group`: the stopasgroup of each group for which it is known.
        """
        self._supervisord = supervisord
        self._pools = tuple(pools)
        self._clock = clock
        self._own_group = own_group
        self._tables = tables
        self._machine_bytes = machine_bytes
        self._listener_groups = frozenset(eventlistener_groups)
        self._stop_as_group = stop_as_group
        self._programs: dict[str, ProgramInfo] = {}
        self._lives: dict[str, tuple[int, int]] = {}
        """Pid and start of each process when its settings were learnt."""
        self._has_refused = False
        """Some program's settings would have lost jobs, when all pools were looked at last or since."""
        self._strikes = Strikes()

    def pool_of(self, worker: str) -> str | None:
        """The pool that has this worker; None: no pool has it. Raises SupervisordError."""
        assignment = assign(
            self._supervisord.all_processes(), [pool.config for pool in self._pools], self._excluded_groups()
        )
        for pool, members in assignment.members.items():
            if any(process.worker == worker for process in members):
                return pool
        return None

    def program(self, worker: str) -> ProgramInfo | None:
        """supervisord's settings of this worker; None when it did not tell them."""
        return self._programs.get(worker)

    def check(self, contents: Contents) -> Survey:
        """A look at all pools that strikes are counted by. Raises SupervisordError."""
        return self._look(self._pools, contents, counts=True)

    def look(self, contents: Contents, only: Pool | None = None) -> Survey:
        """A look at all pools, or one, between checks. Raises SupervisordError."""
        return self._look(self._pools if only is None else (only,), contents, counts=False)

    def _look(self, pools: Sequence[Pool], contents: Contents, *, counts: bool) -> Survey:
        processes = self._supervisord.all_processes()
        if self._programs_may_be_others(processes, counts=counts):
            self._learn_programs(processes)
        configs = [pool.config for pool in self._pools]
        assignment = assign(processes, configs, self._excluded_groups())
        if counts:
            self._strikes.keep(process.worker for process in processes)
        table = self._tables()
        if pools == self._pools:
            self._has_refused = False
        surveys = [
            self._survey_safely(pool, assignment.members[pool.name], contents, table, counts=counts)
            for pool in pools
        ]
        odd = notes(assignment, configs, processes) if counts else ()
        return Survey(tuple(surveys), tuple(odd))

    def learn_programs(self) -> None:
        """Ask for the programs' settings. Raises SupervisordError."""
        self._learn_programs(self._supervisord.all_processes())

    def _learn_programs(self, processes: Sequence[ProcessInfo]) -> None:
        """supervisord tells of its files as it read them last, and `reread` alone puts nothing in force.

        What is in force changes with `update`, which ends the process: so what was known of a process
        stays as long as it lives.
        """
        known, lives = self._stop_as_group(), {one.worker: (one.pid, one.start) for one in processes}
        told = {program.worker: program for program in self._supervisord.programs()}
        fresh = {worker: _with_stop_as_group(program, known) for worker, program in told.items()}
        for worker, life in lives.items():
            former = self._programs.get(worker)
            lives_on = life[0] != 0 and life == self._lives.get(worker)
            if lives_on and worker in fresh and former is not None and former.stopasgroup is not None:
                fresh[worker] = former
        self._programs, self._lives = fresh, lives

    def _programs_may_be_others(self, processes: Sequence[ProcessInfo], *, counts: bool) -> bool:
        """`supervisorctl update` ran, or is what a refused setting waits for."""
        present = {process.worker for process in processes}
        return present != self._programs.keys() or (counts and self._has_refused)

    def _excluded_groups(self) -> frozenset[str]:
        """The own group and every event listener: acting on one could stop us for good.

        supervisord does not say which groups are listeners; their priority is below 0 unless it was
        set, and the sections of its configuration name the others.
        """
        listeners = {program.group for program in self._programs.values() if program.group_priority < 0}
        return frozenset({self._own_group}) | listeners | self._listener_groups

    def _survey_safely(
        self,
        pool: Pool,
        processes: Sequence[ProcessInfo],
        contents: Contents,
        table: ProcessTable,
        *,
        counts: bool,
    ) -> PoolSurvey:
        try:
            return self._survey(pool, processes, contents, table, counts=counts)
        except Exception as error:  # noqa: BLE001 - a kind may be anybody's code
            return PoolSurvey(pool, self.terms(pool.config), (), failure=error)

    def _survey(
        self,
        pool: Pool,
        processes: Sequence[ProcessInfo],
        contents: Contents,
        table: ProcessTable,
        *,
        counts: bool,
    ) -> PoolSurvey:
        terms = self.terms(pool.config)
        drains = contents.drains
        targets = [
            Target(process, _note(drains.get(process.worker)))
            for process in processes
            if process.state is ProcessState.RUNNING
        ]
        readings = pool.kind.read(targets, table) if targets else {}
        findings = []
        for process in processes:
            memory, why = _memory(pool, process, table)
            if counts:
                self._strikes.count(process, memory, terms.limit_bytes)
            drain = drains.get(process.worker)
            advice = pool.advice(self.program(process.worker))
            refusals = tuple(one.text for one in advice if one.refuses)
            self._has_refused = self._has_refused or bool(refusals)
            seen = Sighting(
                process=process,
                memory_bytes=memory,
                reading=readings.get(process.worker),
                draining=drain.state if drain and drain.state is not State.ASKING else None,
                strikes=self._strikes.of(process),
                back_off=contents.back_offs.get(process.worker),
                memory_why=why,
                refusals=refusals,
            )
            findings.append(Finding(seen, judge(seen, terms, self._clock()), advice))
        return PoolSurvey(pool, terms, tuple(findings))

    def terms(self, config: PoolConfig) -> Terms:
        """The pool's settings with its sizes in bytes."""
        return Terms(
            limit_bytes=self._bytes(config.max_rss),
            hard_limit_bytes=self._bytes(config.hard_max_rss),
            strikes=config.strikes,
            min_uptime_seconds=config.min_uptime_seconds,
            settle_seconds=config.settle_seconds,
            protect_jobs=config.protect_jobs,
        )

    def _bytes(self, size: Size | None) -> int | None:
        if size is None or size.percent is None:
            return size.exact_bytes if size else None
        return size.resolve(self._machine_bytes())


def _with_stop_as_group(program: ProgramInfo, known: Mapping[str, bool]) -> ProgramInfo:
    """supervisord takes no stopasgroup=true beside killasgroup=false (supervisor/options.py)."""
    told = known.get(program.group, known.get(program.worker))
    stop_as_group = told if program.killasgroup else False
    return dataclasses.replace(program, stopasgroup=stop_as_group)


def _note(drain: Drain | None) -> Note | None:
    return drain.note if drain is not None and drain.state is not State.ASKING else None


def _memory(pool: Pool, process: ProcessInfo, table: ProcessTable) -> tuple[int | None, str]:
    """Bytes, or None and why."""
    if process.state is not ProcessState.RUNNING:
        return None, ""
    try:
        return pool.memory(process, table), ""
    except Unknown as error:
        return None, str(error)
