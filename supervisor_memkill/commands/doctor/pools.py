"""Checks of the pools and of their workers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

from supervisor_memkill.commands.doctor.facts import Facts, PoolFacts
from supervisor_memkill.commands.doctor.finding import Fault, Finding, Severity
from supervisor_memkill.listener.findings import Finding as Seen
from supervisor_memkill.listener.recognition import BOOTED_SECONDS
from supervisor_memkill.notices.pool_events import LEFT_BEHIND_HINT, MeasureUnreadable
from supervisor_memkill.processes import ENDED_BY_SIGNAL, ProcessInfo, ProcessState
from supervisor_memkill.rules.back_off import BackOffCause, is_below_baseline
from supervisor_memkill.rules.pools import OddityKind
from supervisor_memkill.units import format_duration, format_size
from supervisor_memkill.workers.contract import Advice

SETTING = "the setting, in supervisord's section of the program; then: supervisorctl update"

UNMATCHED = Fault(
    "pool-matches-nothing",
    Severity.WARNING,
    "no worker of this supervisord matches a pool's programs",
    "the pool does nothing on this host",
    "correct programs in the pool's section: names of groups, or group:name",
)
OVERLAP = Fault(
    "worker-matched-twice",
    Severity.WARNING,
    "two pools match the same worker equally well",
    "the worker belongs to the pool whose section comes first; the other pool's limit does not count for it",
    "correct programs in one of the two sections",
)
UNRECOGNISED = Fault(
    "pool-unrecognised",
    Severity.ERROR,
    "no worker of a pool is recognised by its kind",
    "none of them is ever drained",
    "correct worker, redis, key_namespace or programs in the pool's section; see the framework's page",
)
BOOTING = Fault(
    "pool-booting",
    Severity.NOTE,
    "no worker of a pool is recognised, and all of them began a short time ago",
    "they are drained once they are recognised",
    "nothing; run this command again in a minute",
)
WORKER_UNRECOGNISED = Fault(
    "worker-unrecognised",
    Severity.WARNING,
    "a worker is not recognised by its kind, and other workers of its pool are recognised",
    "this worker is never drained",
    "correct what the finding names; or programs in the pool's section, if it is another kind of worker",
)
READINGS_AWAY = Fault(
    "readings-away",
    Severity.ERROR,
    "the source of a pool's readings, such as its Redis or broker, does not answer",
    "no worker of the pool is drained",
    "correct redis, broker or busy_command in the pool's section; or start what does not answer",
)
FAILED = Fault(
    "pool-check-failed",
    Severity.ERROR,
    "the look at a pool ended with an error in its kind",
    "no worker of the pool is drained",
    "report the error to the author of the kind",
)
QUIET = Fault(
    "worker-quiet",
    Severity.WARNING,
    "a worker is quiet, and no drain by supervisor-memkill is under way",
    "it takes no new job until it is restarted, and does not count as in service",
    "run supervisorctl restart NAME for it",
)
DOWN = Fault(
    "worker-down",
    Severity.WARNING,
    "a worker of a pool is FATAL or in BACKOFF, or it ended by itself and was not started again (EXITED)",
    "it does not count as in service; if a drain ended this way, the pool begins no other drain",
    "correct what the worker's own log names",
)
STUCK = Fault(
    "drain-stuck",
    Severity.WARNING,
    "a drained worker does not come back into service",
    "its pool drains no other worker",
    "correct what the worker's own log names; the listener tries again",
)
PAUSED = Fault(
    "pool-paused",
    Severity.NOTE,
    "a person paused a pool",
    "no drain begins in it",
    "run supervisor-memkill unpause POOL, if the pause is no longer needed",
)
BASELINE = Fault(
    "limit-below-baseline",
    Severity.WARNING,
    "new processes of a pool use about as much as max_rss by the end of settle, before jobs made them grow",
    "a drain gives no memory back, and each worker is drained again and again, with growing delays",
    "set a larger max_rss in the pool's section",
)
NEVER = Fault(
    "pool-never-drains",
    Severity.WARNING,
    "a pool has too few workers for its min_available, in all or for some queues",
    "none of them is ever drained",
    "set min_available = 0 in the pool's section, or run another worker",
)
LOSES = Fault(
    "settings-lose-jobs",
    Severity.ERROR,
    "a setting of supervisord would lose jobs in every drain",
    "the workers are not drained until it is changed",
    SETTING,
)
CUTS = Fault(
    "settings-cut-jobs",
    Severity.WARNING,
    "a setting of supervisord would lose the jobs that run at a stop",
    "at drain_timeout, on_timeout = stop continues to wait; a stop by hand or above hard_max_rss loses jobs",
    SETTING,
)
HINT = Fault(
    "settings-hint",
    Severity.WARNING,
    "a setting or the command of a program can do harm",
    "in some cases jobs are cut, or processes stay behind",
    SETTING,
)
OWN_LIMIT = Fault(
    "own-limit-comes-first",
    Severity.WARNING,
    "the framework's own memory limit is not above max_rss",
    "the framework ends its workers by itself, whether or not others are in service",
    "correct the framework's limit in the command of the program; then: supervisorctl update",
)
OWN_NOTE = Fault(
    "own-limit-of-children",
    Severity.NOTE,
    "the framework replaces its own child processes below max_rss, such as Celery's --max-memory-per-child",
    "no job is lost; the pool's limit is rarely reached",
    "nothing, if this is intended",
)
REMARK = Fault(
    "worker-remark",
    Severity.WARNING,
    "a worker can be drained, and has a problem, such as a wrapper without exec",
    "its drains take longer, or wait because of what the finding names",
    "correct the command of the program, or what the finding names",
)
UNMEASURED = Fault(
    "memory-unknown",
    Severity.WARNING,
    "the memory of a worker cannot be read, such as that of a worker in another container",
    "it never counts as over its limit, and is never drained because of it",
    "run supervisord and supervisor-memkill where the worker runs, as its user or as root",
)
MEASURE = Fault(
    "measure-unreadable",
    Severity.WARNING,
    "PSS or USS cannot be read, as of processes of other users in a container without SYS_PTRACE",
    "RSS is used, which counts shared memory twice: workers are drained too early",
    MeasureUnreadable.hint,
)
LEFT_BEHIND = Fault(
    "worker-left-behind",
    Severity.WARNING,
    "a process of the pool's framework runs, and nobody supervises it",
    "it continues to take jobs, and its memory is not watched",
    LEFT_BEHIND_HINT,
)
FAULTS = (
    UNMATCHED,
    OVERLAP,
    UNRECOGNISED,
    BOOTING,
    WORKER_UNRECOGNISED,
    READINGS_AWAY,
    FAILED,
    LOSES,
    CUTS,
    OWN_LIMIT,
    OWN_NOTE,
    HINT,
    REMARK,
    NEVER,
    BASELINE,
    UNMEASURED,
    MEASURE,
    QUIET,
    DOWN,
    STUCK,
    LEFT_BEHIND,
    PAUSED,
)


def check_assignment(facts: Facts) -> Iterator[Finding]:
    for oddity in facts.oddities:
        fault = UNMATCHED if oddity.kind is OddityKind.UNMATCHED else OVERLAP
        at = f"[memkill:{oddity.pool}]"
        yield fault.found(oddity.words.removeprefix(at).strip(), at)


def check_recognition(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools:
        survey = pool.survey
        if survey.failure is not None:
            yield FAILED.found(f"{type(survey.failure).__name__}: {survey.failure}", _at(pool))
        elif survey.source_away:
            yield READINGS_AWAY.found(survey.source_away, _at(pool))
        elif survey.unrecognised:
            running = [one for one in survey.findings if one.seen.process.state is ProcessState.RUNNING]
            booting = all(one.seen.uptime_seconds < BOOTED_SECONDS for one in running)
            yield (BOOTING if booting else UNRECOGNISED).found(survey.unrecognised, _at(pool))
        else:
            yield from _grouped(survey.findings, _why_unrecognised, WORKER_UNRECOGNISED)


def _why_unrecognised(seen: Seen) -> Iterable[str]:
    reading = seen.seen.reading
    if reading is not None and reading.recognised is False and seen.seen.uptime_seconds >= BOOTED_SECONDS:
        yield reading.why or "it is no worker of this kind"


def check_settings(facts: Facts) -> Iterator[Finding]:
    """All settings of all programs at once."""
    for pool in facts.pools:
        findings = pool.survey.findings
        for fault in (LOSES, CUTS, OWN_LIMIT, OWN_NOTE, HINT):
            yield from _grouped(findings, functools.partial(_advised, fault=fault), fault)
        yield from _grouped(findings, _remarks, REMARK)


def _advised(seen: Seen, fault: Fault) -> Iterable[str]:
    return [advice.text for advice in seen.advice if _fault_of(advice) is fault]


def _fault_of(advice: Advice) -> Fault:
    if advice.refuses:
        return LOSES
    if advice.comes_first:
        return OWN_NOTE if advice.is_note else OWN_LIMIT
    return CUTS if advice.cuts_jobs else HINT


def _remarks(seen: Seen) -> Iterable[str]:
    reading = seen.seen.reading
    return [reading.remark] if reading is not None and reading.remark else []


def check_sizes(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools:
        least = pool.survey.pool.config.min_available
        for too_few in pool.too_few:
            yield NEVER.found(f"min_available = {least}, and {too_few.words}", _at(pool))


def check_baseline(facts: Facts) -> Iterator[Finding]:
    """By what the listener measured after a drain, at the end of settle; else by processes that settle now.

    What an older process uses is no baseline: its jobs may have made it grow.
    """
    for pool in facts.pools:
        limit = pool.survey.terms.limit_bytes
        if limit is None:
            continue
        for one in pool.survey.findings:
            seen = _measured_by_listener(facts, one, limit) or _measured_now(pool, one, limit)
            if seen:
                yield BASELINE.found(f"{seen}; max_rss is {format_size(limit)}", _at(pool))
                break


def _measured_by_listener(facts: Facts, one: Seen, limit: int) -> str:
    """Empty: the last drain of the worker with this limit shows no baseline above the limit."""
    back_off = facts.contents.back_offs.get(one.worker)
    if back_off is None or back_off.cause is not BackOffCause.BELOW_BASELINE:
        return ""
    if back_off.limit_bytes not in (0, limit):
        return ""
    memory = back_off.memory_bytes
    size = "" if memory is None else f", which had {format_size(memory)} at the end of settle"
    return f"the listener saw it at a new process of {one.worker}{size}"


def _measured_now(pool: PoolFacts, one: Seen, limit: int) -> str:
    """Empty: the process has settled, or does not show a baseline above the limit."""
    memory, age = one.seen.memory_bytes, one.seen.uptime_seconds
    settles = one.seen.process.state is ProcessState.RUNNING and age <= pool.survey.terms.settle_seconds
    if not settles or memory is None or not is_below_baseline(memory, limit):
        return ""
    return f"{one.worker} has {format_size(memory)} after {format_duration(age)}, before the end of settle"


def check_measures(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools:
        yield from _grouped(pool.survey.findings, _unmeasured, UNMEASURED)
        if pool.survey.lost_measure:
            yield MEASURE.found(pool.survey.lost_measure, _at(pool))


def _unmeasured(seen: Seen) -> Iterable[str]:
    is_running = seen.seen.process.state is ProcessState.RUNNING
    if is_running and seen.seen.memory_bytes is None and seen.seen.memory_why:
        yield seen.seen.memory_why


EXITED_CHANGE = "correct what the worker's own log names, or autorestart in the section of the program"


def _how_it_ended(process: ProcessInfo) -> str:
    how = (
        "a signal ended it" if process.exitstatus == ENDED_BY_SIGNAL else f"exit status {process.exitstatus}"
    )
    return f"it is EXITED ({how}), and supervisord does not start it again"


def check_workers(facts: Facts) -> Iterator[Finding]:
    drains = facts.contents.drains
    for pool in facts.pools:
        for one in pool.survey.findings:
            process = one.seen.process
            if one.is_quiet and process.worker not in drains:
                yield QUIET.found(
                    f"it takes no new job, and is {process.state.name}",
                    one.worker,
                    change=f"run supervisorctl restart {one.worker}",
                )
            if process.state in (ProcessState.FATAL, ProcessState.BACKOFF):
                why = f": {process.spawnerr}" if process.spawnerr else ""
                yield DOWN.found(f"it is {process.state.name}{why}", one.worker)
            elif process.state is ProcessState.EXITED and process.worker not in drains:
                yield DOWN.found(_how_it_ended(process), one.worker, change=EXITED_CHANGE)
        settle = pool.survey.pool.config.settle_seconds
        for drain in drains.values():
            if drain.pool == pool.survey.pool.name:
                why = drain.why_not_back(settle, facts.listener.now)
                if why:
                    yield STUCK.found(why, drain.worker)
        for left in pool.survey.left_behind:
            yield LEFT_BEHIND.found(f"process {left.pid} ({left.record})", _at(pool))


def check_pauses(facts: Facts) -> Iterator[Finding]:
    for name, pause in facts.contents.pauses.items():
        left = "a person paused the pool, until unpause"
        if pause.until is not None:
            seconds = max(0.0, pause.until - facts.listener.now)
            left = f"a person paused the pool; the pause ends in {format_duration(seconds)}"
        yield PAUSED.found(left, f"[memkill:{name}]", change=f"run supervisor-memkill unpause {name}")


def _grouped(
    findings: Iterable[Seen], texts: Callable[[Seen], Iterable[str]], fault: Fault
) -> Iterator[Finding]:
    """Each text once, with the workers that it is for."""
    workers: dict[str, list[str]] = {}
    for one in findings:
        for text in texts(one):
            workers.setdefault(text, []).append(one.worker)
    for text, names in workers.items():
        more = f" and {len(names) - 1} more" if names[1:] else ""
        yield fault.found(text, f"{names[0]}{more}")


def _at(pool: PoolFacts) -> str:
    return f"[memkill:{pool.survey.pool.name}]"


CHECKS = (
    check_assignment,
    check_recognition,
    check_settings,
    check_sizes,
    check_baseline,
    check_measures,
    check_workers,
    check_pauses,
)
