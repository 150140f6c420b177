"""The report of a dry run by hand: one check of all workers, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from supervisor_memkill.clock import Clock
from supervisor_memkill.coordination.contract import CoordinationUnknown, Coordinator
from supervisor_memkill.listener.findings import Finding, PoolSurvey, slot_claims
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.pool_sizes import PoolSizes, in_words
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.units import format_size
from supervisor_memkill.workers.contract import Advice

HEADINGS = ("POOL", "WORKER", "PID", "MEMORY", "LIMIT", "BUSY", "PEERS", "VERDICT")

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
    """Number of other workers of the pool in service; None: unknown."""
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


def check(surveyor: Surveyor, coordinator: Coordinator, contents: Contents, clock: Clock) -> Report:
    """Check all workers once.

    `clock` is the boot clock. `coordinator` must be a throwaway one: the check takes slots in it, to find out
    which worker would wait.
    """
    survey = surveyor.check(contents)
    rows: list[Row] = []
    notes, unknown = list(survey.notes), list[str]()
    if any(pool.terms.limit_bytes is None for pool in survey.pools):
        notes.append(NO_LIMIT)
    for pool in survey.pools:
        try:
            standings = _standings(pool, coordinator, contents, clock)
            notes += _never(pool, coordinator)
        except CoordinationUnknown as error:
            standings = {one.worker: _unknown_standing(one, error) for one in pool.findings}
            unknown.append(f"[memkill:{pool.pool.name}] no worker is drained until this is solved: {error}")
        rows += [_row(pool, one, standings[one.worker]) for one in pool.findings]
        notes += _hints(pool)
        if pool.failure is not None:
            unknown.append(f"[memkill:{pool.pool.name}] could not be checked: {pool.failure!r}")
    return Report(tuple(rows), tuple(dict.fromkeys([*notes, *unknown])), is_whole=not unknown)


def _never(survey: PoolSurvey, coordinator: Coordinator) -> list[str]:
    """A note if the pool can never drain. Raises CoordinationUnknown."""
    least = survey.pool.config.min_available
    workers = PoolSizes().too_few(survey, least, coordinator) if survey.findings else None
    if workers is None or survey.terms.limit_bytes is None:
        return []
    where = f"[memkill:{survey.pool.name}]"
    way_out = "set min_available = 0, or run another worker"
    return [f"{where} min_available = {least}, and {in_words(workers)}: {way_out}"]


def _hints(survey: PoolSurvey) -> list[str]:
    """Each hint once, with the workers that it is for."""
    workers: dict[str, list[str]] = {}
    for worker, advice in survey.hints():
        workers.setdefault(_words(advice), []).append(worker)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {words}"
        for words, names in workers.items()
    ]


def _words(advice: Advice) -> str:
    if advice.refuses:
        return f"{advice.text} (not drained until this is changed)"
    if advice.cuts_jobs:
        return f"{advice.text} (until this is changed, on_timeout = stop waits for the running jobs)"
    return advice.text


@dataclass(frozen=True)
class _Standing:
    """How coordination would answer for one worker."""

    peers: int | None
    would_drain: bool
    words: str


def _standings(
    survey: PoolSurvey, coordinator: Coordinator, contents: Contents, clock: Clock
) -> dict[str, _Standing]:
    """The standing of each worker; the most urgent one asks first. Raises CoordinationUnknown."""
    pool = survey.pool
    held = slot_claims(contents.drains.values(), pool.config, clock())
    coordinator.publish(pool.name, pool.rules, survey.reports(can_begin=True), held)
    standings = {}
    for finding in survey.findings:
        answer = coordinator.consider(pool.name, pool.rules, finding.request())
        standings[finding.worker] = _Standing(answer.others_in_service, False, finding.verdict.words)
    for finding in survey.asking():
        answer = coordinator.acquire(pool.name, pool.rules, finding.request(finding.worker))
        words = "would be drained now" if answer.granted else f"would wait: {answer.words}"
        peers = standings[finding.worker].peers
        standings[finding.worker] = _Standing(peers, answer.granted, f"{finding.verdict.words}, {words}")
    return standings


def _unknown_standing(finding: Finding, error: CoordinationUnknown) -> _Standing:
    words = finding.verdict.words
    if finding.verdict.asks:
        words = f"{words}, would wait: {error}"
    return _Standing(None, False, words)


def _row(survey: PoolSurvey, finding: Finding, standing: _Standing) -> Row:
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
        peers_in_service=standing.peers,
        over=finding.verdict.is_over,
        would_drain=standing.would_drain,
        verdict=words,
    )


def as_table(report: Report) -> str:
    """The report as text for people."""
    lines = [HEADINGS, *(_cells(row) for row in report.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS) - 1)]
    text = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]])
        for line in lines
    ]
    return "\n".join([*text, *(f"note: {note}" for note in report.notes)]) + "\n"


def _cells(row: Row) -> Sequence[str]:
    return (
        row.pool,
        row.worker,
        str(row.pid or "-"),
        "-" if row.memory_bytes is None else format_size(row.memory_bytes),
        "-" if row.limit_bytes is None else format_size(row.limit_bytes),
        "-" if row.busy is None else str(row.busy),
        "-" if row.peers_in_service is None else str(row.peers_in_service),
        row.verdict,
    )


def as_json(report: Report) -> str:
    """The report as JSON for programs."""
    return (
        json.dumps({"workers": [asdict(row) for row in report.rows], "notes": report.notes}, indent=2) + "\n"
    )
