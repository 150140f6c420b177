"""A look at the workers of all pools, by supervisord, the system and the kinds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.clock import Clock
from supervisor_memkill.clock import local_time as machine_local_time
from supervisor_memkill.config import program_files
from supervisor_memkill.config.program_files import ProgramFiles
from supervisor_memkill.config.supervisord_sections import StopAsGroup, unknown_stop_as_group
from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener import former_looks, observer
from supervisor_memkill.listener.doubts import can_be_doubtful, doubt
from supervisor_memkill.listener.drafts import Depth, Draft, draft_again, judged
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey, Survey
from supervisor_memkill.listener.former_looks import FormerLooks, Surroundings
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.known_processes import KnownProcesses
from supervisor_memkill.listener.largest import with_largest
from supervisor_memkill.listener.programs import Programs
from supervisor_memkill.listener.recognition import Recognition
from supervisor_memkill.listener.rivals import Rival, rivals
from supervisor_memkill.processes import ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.policy import Sighting, Strikes, Terms
from supervisor_memkill.rules.pools import Assignments, notes
from supervisor_memkill.rules.shortage import Shortage, asks_for_machine
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Note, Reading, Target
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import Supervisord

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class _Look:
    """What one look goes by."""

    contents: Contents
    table: ProcessTable
    depth: Depth
    began_at: float
    """On the boot clock."""
    counts: bool
    """It is a check: strikes count."""

    def may_take_over(self, pool: Pool) -> bool:
        """Something may be taken over from the last look at this pool."""
        return self.depth is not Depth.AFRESH and pool.name not in self.contents.pauses


class Surveyor:
    """Looks at the pools, and changes nothing."""

    def __init__(
        self,
        supervisord: Supervisord,
        pools: Sequence[Pool],
        clock: Clock,
        *,
        own_group: str,
        process_table: Callable[[], ProcessTable],
        machine_bytes: Callable[[], int],
        eventlistener_groups: Collection[str] = (),
        stop_as_group: Callable[[], StopAsGroup] = lambda: unknown_stop_as_group,
        in_files: Callable[[], ProgramFiles] = lambda: program_files.NOTHING,
        local_time: Callable[[], datetime] = machine_local_time,
        recognition: Recognition | None = None,
        known: KnownProcesses | None = None,
    ) -> None:
        """`own_group`: the listener's group in supervisord, empty when a person runs the program.

        `machine_bytes` gives the memory of the machine, for limits in percent. `stop_as_group` and `in_files`
        read supervisord's files. `local_time` gives the machine's local time, for drain_hours. `recognition`
        None: a patient one. `known` None: each look asks for all processes.
        """
        self._pools = tuple(pools)
        self._clock = clock
        self._own_group = own_group
        self._process_table = process_table
        self._machine_bytes = machine_bytes
        self._local_time = local_time
        self._listener_groups = frozenset(eventlistener_groups)
        self._programs = Programs(supervisord, stop_as_group, in_files)
        self._has_refused = False
        """In the last look at all pools, or since, the settings of a program would have lost jobs."""
        self._strikes = Strikes()
        self._former_looks = FormerLooks()
        self._assignments = Assignments([pool.config for pool in self._pools])
        self._recognition = recognition or Recognition(clock)
        self.known = known or KnownProcesses(supervisord, process_table, clock, wall=time.time)

    def pool_of(self, worker: str) -> str | None:
        """The name of the worker's pool; None if it belongs to no pool. Raises SupervisordError."""
        assignment = self._assignments.of(self.known.all_anew(), self.listener_groups())
        for pool, members in assignment.members.items():
            if any(process.worker == worker for process in members):
                return pool
        return None

    def program(self, worker: str) -> ProgramInfo | None:
        """supervisord's settings of this worker; None if supervisord did not report them."""
        return self._programs.of(worker)

    def check(self, contents: Contents, shortage: Shortage | None = None) -> Survey:
        """Look at all pools, and count strikes. Raises SupervisordError."""
        depth = Depth.MEASURED if shortage is None else Depth.AFRESH
        return self._look(self._pools, contents, shortage, depth, counts=True)

    def look(
        self,
        contents: Contents,
        only: Pool | None = None,
        shortage: Shortage | None = None,
        *,
        anew: bool = False,
        measures: bool = False,
    ) -> Survey:
        """Look at all pools, or at one, without counting strikes. Raises SupervisordError.

        `anew`: by what supervisord reports now, before an action. `measures`: the memory of each worker is
        read; else that of a worker without any reason for a drain is taken over from the last look.
        """
        if anew:
            self.known.doubt()
        pools = self._pools if only is None else (only,)
        depth = Depth.AFRESH if anew or shortage is not None else Depth.MEASURED if measures else Depth.KNOWN
        return self._look(pools, contents, shortage, depth)

    def _look(
        self,
        pools: Sequence[Pool],
        contents: Contents,
        shortage: Shortage | None,
        depth: Depth,
        *,
        counts: bool = False,
    ) -> Survey:
        began_at, table = self._clock(), self._process_table()
        # A look between two checks needs no exact times: only settled workers are taken over.
        processes = self.known.all(table, may_lag=depth is Depth.KNOWN)
        if self._programs.are_of_other(processes) or (counts and self._has_refused):
            # `supervisorctl update` ran, or an operator must run it to change a refused setting.
            self._programs.learn(processes)
        assignment = self._assignments.of(processes, self.listener_groups())
        if counts:
            self._strikes.keep(process.worker for process in processes)
        if pools == self._pools:
            self._has_refused = False
        look = _Look(contents, table, depth, began_at, counts=counts)
        surveys = [self._survey_safely(pool, assignment.members[pool.name], look) for pool in pools]
        # A look at one pool does not show the largest worker of all pools.
        if shortage is not None and (pools == self._pools or asks_for_machine(contents.drains)):
            surveys = with_largest(surveys, shortage, contents.drains, self._clock())
        if not counts:
            return Survey(tuple(surveys), ())
        supervised = frozenset(process.pid for process in processes if process.pid)
        surveys = [_with_left_behind(survey, supervised, table) for survey in surveys]
        odd = notes(assignment, [pool.config for pool in self._pools], processes)
        return Survey(tuple(surveys), tuple(odd), tuple(self._alerts(processes)))

    def _alerts(self, processes: Sequence[ProcessInfo]) -> Iterator[str]:
        yield from self._programs.alerts
        yield from (one.words for one in self.rivals(processes, self._own_group) if one.restarts_by_memory)

    def rivals(self, processes: Sequence[ProcessInfo], own_group: str) -> Iterator[Rival]:
        """The other listeners that restart workers; `own_group` as in `rivals`."""
        return rivals(self._programs.all(), processes, self.listener_groups(), own_group)

    @property
    def programs(self) -> Programs:
        """The settings of all programs, as they were learnt at the last look."""
        return self._programs

    def members(self, *, anew: bool = False) -> Mapping[str, Sequence[ProcessInfo]]:
        """The workers of each pool; `anew`: by what supervisord reports now. Raises SupervisordError."""
        processes = self.known.all_anew() if anew else self.known.all()
        return self._assignments.of(processes, self.listener_groups()).members

    def learn_programs(self) -> None:
        """Ask supervisord for the settings of all programs. Raises SupervisordError."""
        self._programs.learn(self.known.all_anew())

    def listener_groups(self) -> frozenset[str]:
        """The own group and all event listeners: an action on one could stop this listener for good.

        supervisord does not report which groups are event listeners. Their default priority is below 0; the
        sections of its configuration name the others.
        """
        return frozenset({self._own_group}) | self._programs.listener_groups() | self._listener_groups

    def _survey_safely(self, pool: Pool, processes: Sequence[ProcessInfo], look: _Look) -> PoolSurvey:
        try:
            return self._survey(pool, processes, look)
        except Exception as error:  # noqa: BLE001 - a kind may be anybody's code
            return PoolSurvey(pool, self.terms(pool.config), (), look.began_at, failure=error)

    def _survey(self, pool: Pool, processes: Sequence[ProcessInfo], look: _Look) -> PoolSurvey:
        terms, contents = self.terms(pool.config), look.contents
        targets = [
            Target(process, _note(contents.drains.get(process.worker)))
            for process in processes
            if process.state is ProcessState.RUNNING
        ]
        readings = observer.read(pool, targets, look.table)
        if readings.fault is not None:
            raise readings.fault
        unrecognised = None
        if look.counts:
            unrecognised = self._recognition.judge(pool, targets, readings.by_worker, look.table)
        surroundings = Surroundings(
            terms, processes, readings.by_worker, self._programs.by_worker, contents.back_offs
        )
        findings = self._findings_again(pool, surroundings, look)
        if findings is None:
            findings = self._findings(pool, surroundings, look)
        return PoolSurvey(pool, terms, findings, look.began_at, unrecognised=unrecognised)

    def _findings_again(
        self, pool: Pool, surroundings: Surroundings, look: _Look
    ) -> tuple[Finding, ...] | None:
        """All findings of the last look, where nothing at all has changed; None: each worker is looked at."""
        is_calm = not look.contents.drains and not look.contents.requests
        if not (look.may_take_over(pool) and look.depth is Depth.KNOWN and is_calm):
            return None
        return None if can_be_doubtful(pool) else self._former_looks.whole(pool.name, surroundings)

    def _findings(self, pool: Pool, surroundings: Surroundings, look: _Look) -> tuple[Finding, ...]:
        """Look at each worker, and keep for the next look what it may take over."""
        terms, contents = surroundings.terms, look.contents
        former = self._former_looks.of(pool.name, terms) if look.may_take_over(pool) else former_looks.NOTHING
        drafts, now = [], self._clock()
        for process in surroundings.processes:
            reading = surroundings.readings.get(process.worker)
            if reading is not None and process.worker not in contents.drains and can_be_doubtful(pool):
                reading = doubt(reading, process, contents)
            before, draft = former.get(process.worker), None
            if before is not None and before.holds(process, reading, self.program(process.worker), contents):
                draft = draft_again(before, pool, process, terms, look.table, now, look.depth)
            drafts.append(draft or self._draft(pool, process, reading, look))
        findings = judged(drafts, terms, now)
        looks = [draft.look(finding, now) for draft, finding in zip(drafts, findings, strict=True)]
        self._former_looks.keep(pool.name, terms, looks)
        self._former_looks.keep_whole(pool.name, surroundings, findings)
        return findings

    def _draft(self, pool: Pool, process: ProcessInfo, reading: Reading | None, look: _Look) -> Draft:
        """Examine one worker. Raises the error of its kind."""
        contents, table = look.contents, look.table
        memory = observer.measure(pool, process, table)
        if memory.fault is not None:
            raise memory.fault
        if look.counts:
            self._strikes.count(process, memory.size_bytes, self._limit_bytes(pool.config))
        drain = contents.drains.get(process.worker)
        program = self.program(process.worker)
        advice = pool.advice(process, program, table)
        refusals = tuple(one.text for one in advice if one.refuses)
        self._has_refused = self._has_refused or bool(refusals)
        seen = Sighting(
            process=process,
            memory_bytes=memory.size_bytes,
            reading=reading,
            draining=drain.state if drain and drain.state is not State.ASKING else None,
            strikes=self._strikes.of(process),
            back_off=contents.back_offs.get(process.worker),
            memory_why=memory.why,
            memory_least_bytes=memory.least_bytes,
            memory_lost=memory.lost,
            refusals=refusals,
            pause=contents.pauses.get(pool.name),
            restart_requested=contents.wants_restart(process),
            age_seconds=observer.age_seconds(process, table),
        )
        return Draft(seen, advice, program, memory.counts_children)

    def terms(self, config: PoolConfig) -> Terms:
        """The pool's settings, with sizes in bytes and with the hours as they are at this moment."""
        limit_bytes, warn, hours = self._limit_bytes(config), config.warn_rss, config.drain_hours
        return Terms(
            limit_bytes=limit_bytes,
            hard_limit_bytes=self._bytes(config.hard_max_rss),
            strikes=config.strikes,
            min_uptime_seconds=config.min_uptime_seconds,
            settle_seconds=config.settle_seconds,
            protect_jobs=config.protect_jobs,
            max_total_bytes=self._bytes(config.max_total_rss),
            warn_bytes=warn.resolve(limit_bytes) if warn is not None and limit_bytes is not None else None,
            max_age_seconds=config.max_age_seconds,
            closed=hours.closed_words(self._local_time()) if hours is not None else "",
        )

    def _limit_bytes(self, config: PoolConfig) -> int | None:
        """`max_rss`, or `hard_max_rss` where a share of a small machine makes that the smaller one."""
        limits = (self._bytes(config.max_rss), self._bytes(config.hard_max_rss))
        return min((limit for limit in limits if limit is not None), default=None)

    def _bytes(self, size: Size | None) -> int | None:
        if size is None or size.percent is None:
            return size.exact_bytes if size else None
        return size.resolve(self._machine_bytes())


def _with_left_behind(survey: PoolSurvey, supervised: Collection[int], table: ProcessTable) -> PoolSurvey:
    """The survey with the processes that nobody supervises, unless the source of its readings is away."""
    if survey.failure is not None or survey.source_away:
        return survey
    try:
        return dataclasses.replace(survey, left_behind=observer.left_behind(survey.pool, supervised, table))
    except Exception as error:  # noqa: BLE001 - a kind may be anybody's code
        return dataclasses.replace(survey, failure=error)


def _note(drain: Drain | None) -> Note | None:
    return drain.note if drain is not None and drain.state is not State.ASKING else None
