"""The report of a dry run by hand: one check of all workers, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from supervisor_memkill.clock import Clock
from supervisor_memkill.commands import dry_run_notes
from supervisor_memkill.commands.dry_run_notes import FirstWait
from supervisor_memkill.commands.proposals import Proposal, as_text
from supervisor_memkill.commands.table import Table, wrap
from supervisor_memkill.coordination.contract import CoordinationUnknown, Coordinator
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import one_line
from supervisor_memkill.listener.findings import Finding, PoolSurvey, slot_claims
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.pool_sizes import PoolSizes
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.notices.pool_events import LEFT_BEHIND_HINT, MeasureUnreadable
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.policy import Hold
from supervisor_memkill.units import format_size

HEADINGS = ("POOL", "WORKER", "PID", "MEMORY", "LIMIT", "BUSY", "PEERS", "VERDICT")
GIVES_WAY = ("PID", "POOL", "LIMIT", "PEERS", "BUSY")
"""The columns that a narrow terminal does not show, the first one first."""

FIRST_HEADINGS = ("WORKER", "PID", "MEMORY", "LOOKS LIKE")
"""While no pool is configured, and some workers are recognised."""

NOT_DRAINED = "no worker is drained until this is solved"
CANNOT_WRITE = "the listener cannot write its journal"
NOT_DRIVEN = "its drain is unfinished, and no listener works"
NO_PROGRAMS = "this supervisord has no program besides event listeners"
NO_LIMIT = (
    "no memory limit is set: choose one from the memory shown,"
    " and set it as max_rss in a [memkill:NAME] section"
)


@dataclass(frozen=True)
class Row:
    """One worker, as the table and the JSON show it; the names are those of the JSON."""

    pool: str
    worker: str
    state: str
    """In supervisord's words, such as RUNNING."""
    pid: int | None
    memory_bytes: int | None
    """None: unknown, or the worker does not run."""
    limit_bytes: int | None
    hard_limit_bytes: int | None
    busy: int | None
    """Number of running jobs; None: unknown, or the kind cannot count them."""
    peers_in_service: int | None
    """Number of other workers of the pool in service; None: unknown, or no pool is configured."""
    over: bool
    would_drain: bool
    verdict: str


@dataclass(frozen=True)
class Report:
    """The result of one check."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    """What the operator should know or change, one sentence each."""
    is_whole: bool = True
    """False: something could not be checked, and a note says what."""
    files: tuple[str, ...] = ()
    """The files of the configuration: the main one, and those with our sections."""
    proposals: tuple[Proposal, ...] = ()
    """Sections to write, while no pool is configured."""
    listener: str = ""
    """The section of the listener, to write with them; empty if there is one."""


def check(
    surveyor: Surveyor,
    coordinator: Coordinator,
    contents: Contents,
    clock: Clock,
    *,
    first_wait: FirstWait | None = None,
    has_pools: bool = True,
    has_listener: bool = True,
    unwritable: str = "",
) -> Report:
    """Check all workers once.

    `clock` is the boot clock. `coordinator` must be a throwaway one: the check takes slots in it, to find out
    which worker would wait. `first_wait` None: coordination is in process. `has_pools` False: no pool is
    configured. `has_listener` False: surely no listener works. `unwritable`: why the listener can write no
    journal, without which it drains nothing; empty: it can, or that is not known.
    """
    survey = surveyor.check(contents)
    rows: list[Row] = []
    notes, unknown = [one.words for one in survey.oddities if has_pools], list[str]()
    notes += survey.alerts
    if not has_pools and not any(pool.findings for pool in survey.pools):
        notes.append(NO_PROGRAMS)
    elif any(pool.terms.limit_bytes is None for pool in survey.pools):
        notes.append(NO_LIMIT)
    for pool in survey.pools:
        try:
            standings = _standings(pool, coordinator, contents, clock, first_wait, can_write=not unwritable)
            notes += dry_run_notes.of_coordination(pool, coordinator, contents, first_wait)
            notes += _never(pool, coordinator)
        except CoordinationUnknown as error:
            standings = {one.worker: _unknown_standing(one, error) for one in pool.findings}
            unknown.append(f"[memkill:{pool.pool.name}] {NOT_DRAINED}: {error}")
        for one in pool.findings:
            standing = standings[one.worker]
            if one.verdict.hold is Hold.UNDER_WAY and not has_listener:
                standing = replace(standing, words=f"{NOT_DRIVEN} ({one.verdict.detail})")
            rows.append(_row(pool, one, standing, has_pool=has_pools))
        if has_pools:
            notes += [*dry_run_notes.of_young_workers(pool), *dry_run_notes.hints(pool), *_left_behind(pool)]
        if pool.source_away:
            unknown.append(f"[memkill:{pool.pool.name}] {NOT_DRAINED}: {pool.source_away}")
        if pool.lost_measure:
            event = MeasureUnreadable(pool.pool.name, pool.pool.measure, pool.lost_measure)
            notes.append(f"[memkill:{event.pool}] {event.why}; RSS is shown instead: {event.hint}")
        if pool.unrecognised:
            notes.append(f"[memkill:{pool.pool.name}] none of its workers is recognised: {pool.unrecognised}")
        if pool.failure is not None:
            unknown.append(f"[memkill:{pool.pool.name}] could not be checked: {pool.failure!r}")
    if unwritable:
        unknown.append(f"{NOT_DRAINED}: {unwritable}, and {CANNOT_WRITE}")
    return Report(tuple(rows), tuple(dict.fromkeys([*notes, *unknown])), is_whole=not unknown)


def _never(survey: PoolSurvey, coordinator: Coordinator) -> list[str]:
    """A note for what of the pool can never drain. Raises CoordinationUnknown."""
    if survey.terms.limit_bytes is None:
        return []
    least = survey.pool.config.min_available
    begin = f"[memkill:{survey.pool.name}] min_available = {least}"
    way_out = "set min_available = 0, or run another worker"
    return [
        f"{begin}, and {one.words}: {way_out}{' for them' if one.queues else ''}"
        for one in PoolSizes().each_too_few(survey, least, coordinator)
    ]


def _left_behind(survey: PoolSurvey) -> list[str]:
    return [
        f"[memkill:{survey.pool.name}] nobody supervises process {one.pid} ({one.record}) any more, and it "
        f"goes on taking jobs: {LEFT_BEHIND_HINT}"
        for one in survey.left_behind
    ]


@dataclass(frozen=True)
class _Standing:
    """How coordination would answer for one worker."""

    peers: int | None
    would_drain: bool
    words: str


def _standings(
    survey: PoolSurvey,
    coordinator: Coordinator,
    contents: Contents,
    clock: Clock,
    first_wait: FirstWait | None,
    *,
    can_write: bool,
) -> dict[str, _Standing]:
    """The standing of each worker; the most urgent one asks first. Raises CoordinationUnknown."""
    pool = survey.pool
    held = slot_claims(contents.drains.values(), pool.config, clock())
    coordinator.publish(pool.name, pool.rules, survey.reports(can_begin=True), held)
    standings = {}
    for finding in survey.findings:
        answer = coordinator.consider(pool.name, pool.rules, finding.request())
        standings[finding.worker] = _Standing(answer.others_in_service, False, finding.verdict.words)
    is_new = first_wait is not None and coordinator.view(pool.name).is_new
    granted = "would be drained after the first wait" if is_new else "would be drained now"
    for finding in survey.asking():
        answer = coordinator.acquire(pool.name, pool.rules, finding.request(finding.worker))
        words = granted if answer.granted else f"would wait: {survey.words_of(finding, answer)}"
        words = words if can_write else f"would wait: {CANNOT_WRITE}"
        peers = standings[finding.worker].peers
        standings[finding.worker] = _Standing(
            peers, answer.granted and can_write, f"{finding.verdict.words}, {words}"
        )
    return standings


def _unknown_standing(finding: Finding, error: CoordinationUnknown) -> _Standing:
    words = finding.verdict.words
    if finding.verdict.asks:
        words = f"{words}, would wait: {error}"
    return _Standing(None, False, words)


def _row(survey: PoolSurvey, finding: Finding, standing: _Standing, *, has_pool: bool) -> Row:
    seen, pool, words = finding.seen, survey.pool, standing.words
    running = seen.process.state is ProcessState.RUNNING
    if seen.reading is not None and seen.reading.why and seen.reading.why not in words:
        words = f"{words}; {seen.reading.why}"
    return Row(
        pool=pool.name,
        worker=finding.worker,
        state=seen.process.state.name,
        pid=seen.process.pid or None,
        memory_bytes=seen.memory_bytes,
        limit_bytes=survey.terms.limit_bytes,
        hard_limit_bytes=survey.terms.hard_limit_bytes,
        busy=seen.reading.busy if running and seen.reading else None,
        peers_in_service=standing.peers if has_pool else None,
        over=finding.verdict.is_over,
        would_drain=standing.would_drain,
        verdict=words,
    )


def as_table(report: Report, columns: int | None = None) -> str:
    """The report as text for people, in lines of so many characters; None: of any length."""
    if report.proposals:
        kinds = {worker: one.framework for one in report.proposals for worker in one.workers}
        rows = [_first_cells(row, kinds.get(row.worker, "-")) for row in report.rows]
        table = Table(FIRST_HEADINGS, rows, ())
    else:
        table = Table(HEADINGS, [_cells(row) for row in report.rows], GIVES_WAY)
    text, left_out = table.fit(columns)
    notes = list(report.notes)
    if left_out:
        notes.append(f"this terminal is too narrow for {', '.join(left_out)}")
    shown = [text] if report.rows else []
    read = [wrap(f"configuration: {', '.join(report.files)}", columns)] if report.files else []
    noted = [wrap(f"note: {one_line(note)}", columns) for note in notes]
    proposed = [f"\n{as_text(report.proposals, report.listener, columns)}"] if report.proposals else []
    return "\n".join([*shown, *read, *noted, *proposed]).removesuffix("\n") + "\n"


def _first_cells(row: Row, looks_like: str) -> Sequence[str]:
    memory = row.state if row.memory_bytes is None else format_size(row.memory_bytes)
    return [one_line(cell) for cell in (row.worker, str(row.pid or "-"), memory, looks_like)]


def _cells(row: Row) -> Sequence[str]:
    cells = (
        row.pool,
        row.worker,
        str(row.pid or "-"),
        "-" if row.memory_bytes is None else format_size(row.memory_bytes),
        "-" if row.limit_bytes is None else format_size(row.limit_bytes),
        "-" if row.busy is None else str(row.busy),
        "-" if row.peers_in_service is None else str(row.peers_in_service),
        row.verdict,
    )
    return [one_line(cell) for cell in cells]


def as_json(report: Report) -> str:
    """The report as JSON for programs."""
    shown = {
        "workers": [asdict(row) for row in report.rows],
        "notes": report.notes,
        "files": report.files,
        "proposals": [asdict(one) for one in report.proposals],
    }
    return json.dumps(shown, indent=2) + "\n"
