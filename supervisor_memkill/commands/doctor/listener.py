"""Checks of the listener: does it run, does it hear supervisord, and which configuration is in force."""

from __future__ import annotations

from collections.abc import Iterator

from supervisor_memkill import __version__
from supervisor_memkill.commands.doctor.facts import Facts
from supervisor_memkill.commands.doctor.finding import Fault, Finding, Severity
from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.listener.hearing import DEAF_PERIODS, UNKNOWN_PERIOD_SECONDS, shortest_period
from supervisor_memkill.listener.state_values import ListenerState
from supervisor_memkill.notices.events import ListenerRefused
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.policy import Hold
from supervisor_memkill.units import format_duration
from supervisor_memkill.world.event_protocol import SUBSCRIPTION, is_sent_changes

SUBSCRIBES = f"{SUBSCRIPTION} in the listener's section; then: supervisorctl update"
SHIPPED_PERIOD_SECONDS = 60.0

MISSING = Fault(
    "listener-missing",
    Severity.ERROR,
    "this supervisord has no event listener of this program",
    "no worker is watched",
    "add the section that supervisor-memkill --sample memkill prints; then: supervisorctl update",
)
NOT_LOADED = Fault(
    "listener-not-loaded",
    Severity.ERROR,
    "the listener's section is in the files, and supervisord has not read it",
    "no worker is watched",
    "run supervisorctl update",
)
IS_A_PROGRAM = Fault(
    "listener-is-a-program",
    Severity.ERROR,
    "the listener's command is in a [program:...] section",
    "supervisord sends it no event, and it ends at once",
    "write [eventlistener:NAME] in place of [program:NAME]; then: supervisorctl update",
)
DOWN = Fault(
    "listener-down",
    Severity.ERROR,
    "the listener does not run: it is STOPPED, EXITED, FATAL or in BACKOFF",
    "no worker is watched; a drain that the listener had begun does not continue",
    "correct what the listener's log names; then: supervisorctl start NAME",
)
LOOPS = Fault(
    "listener-does-not-start",
    Severity.ERROR,
    "the listener ends at each start, and supervisord starts it again and again",
    "no worker is watched, though supervisord often shows the listener as RUNNING",
    "correct what the listener's log names",
)
UNKNOWN_STATE = Fault(
    "listener-in-unknown-state",
    Severity.ERROR,
    "supervisord sends the listener no event any more (UNKNOWN), and still shows the listener as RUNNING",
    "no worker is checked",
    "remove what writes to its standard output, such as a login shell's greeting (sh -lc); then restart it",
)
HEARS_NOTHING = Fault(
    "listener-hears-no-ticks",
    Severity.ERROR,
    "the listener lives, and its last TICK is too long ago",
    "no worker is checked",
    "restart the listener with supervisorctl; nothing else may write to its standard output",
)
WITHOUT_TICKS = Fault(
    "listener-without-ticks",
    Severity.ERROR,
    "the listener's section subscribes to no TICK event",
    "no worker is ever checked",
    SUBSCRIBES,
)
RARE_TICKS = Fault(
    "listener-with-rare-ticks",
    Severity.WARNING,
    "the listener's section subscribes to TICK_3600 alone",
    "a worker is checked once an hour, and may be far over its limit by then",
    SUBSCRIBES,
)
WITHOUT_REQUESTS = Fault(
    "listener-without-requests",
    Severity.WARNING,
    "the listener's section does not subscribe to REMOTE_COMMUNICATION",
    "restart, pause and unpause do not reach the listener",
    SUBSCRIBES,
)
WITHOUT_STATES = Fault(
    "listener-without-process-events",
    Severity.NOTE,
    "the listener's section does not subscribe to PROCESS_STATE",
    "all works; the listener asks supervisord at each look, and a drain continues at the next poll_interval",
    SUBSCRIBES,
)
NOT_IN_FORCE = Fault(
    "configuration-not-in-force",
    Severity.WARNING,
    "a [memkill...] section changed after the listener read it",
    "the listener uses the former values",
    "run supervisorctl restart NAME for the listener; its drains continue afterwards",
)
OTHER_VERSION = Fault(
    "listener-of-another-version",
    Severity.WARNING,
    "the listener has another version than this command",
    "what this command shows may differ from what the listener does",
    "run supervisorctl restart NAME for the listener",
)
OUTAGE = Fault(
    "listener-outage",
    Severity.ERROR,
    "the listener does not reach supervisord, its journal or its Redis",
    "no drain begins",
    "correct what the error names",
)
HELD = Fault(
    "worker-held",
    Severity.WARNING,
    "a worker waits for its drain, and the cause does not end without a person",
    "its memory continues to grow",
    "correct what the cause names",
)
DRY_RUN = Fault(
    "listener-in-dry-run",
    Severity.NOTE,
    "the listener runs with --dry-run or dry_run = yes",
    "it logs what it would do, and drains nothing",
    "nothing, if the dry run is intended; otherwise remove the setting, then restart the listener",
)
HIDDEN = Fault(
    "listener-hidden",
    Severity.NOTE,
    "the listener's state cannot be read",
    "its TICKs, its outages and the configuration in force are not known here",
    "run this command as root, or as the user of the listener, on its machine",
)
UNREADABLE = Fault(
    "listener-state-unreadable",
    Severity.WARNING,
    "the listener runs, and its state is damaged or has the format of another version",
    "its TICKs, its outages and the configuration in force are not known, and status shows no worker",
    "run supervisorctl restart NAME for the listener; its drains continue afterwards",
)
OTHER_USER = Fault(
    "asked-as-another-user",
    Severity.NOTE,
    "this command runs as another user than the listener",
    "this command may not be able to read what the listener can read, and the other way round",
    "run this command as the user of the listener, to see what the listener sees",
)
FAULTS = (
    MISSING,
    NOT_LOADED,
    IS_A_PROGRAM,
    DOWN,
    LOOPS,
    UNKNOWN_STATE,
    HEARS_NOTHING,
    WITHOUT_TICKS,
    RARE_TICKS,
    WITHOUT_REQUESTS,
    WITHOUT_STATES,
    NOT_IN_FORCE,
    OTHER_VERSION,
    OUTAGE,
    HELD,
    DRY_RUN,
    HIDDEN,
    UNREADABLE,
    OTHER_USER,
)

_ALIVE = (ProcessState.RUNNING, ProcessState.STARTING)
_FOR_A_PERSON = {one.value: one.words for one in (*Hold, *Cause) if one.needs_a_person}


def check_presence(facts: Facts) -> Iterator[Finding]:
    listener = facts.listener
    for program in listener.programs:
        yield IS_A_PROGRAM.found(f"its command is {program.command[:80]}", f"[program:{program.group}]")
    if not facts.supervisord.answers or listener.processes:
        return
    if listener.in_files:
        yield NOT_LOADED.found(
            "supervisord does not know this listener", f"[eventlistener:{listener.in_files[0]}]"
        )
    elif not listener.programs:
        yield MISSING.found("none of its event listeners runs supervisor-memkill")


def check_runs(facts: Facts) -> Iterator[Finding]:
    listener = facts.listener
    for process in listener.processes:
        if process.state not in _ALIVE:
            yield DOWN.found(
                _why_down(process, listener.last_lines.get(process.worker, "")),
                process.worker,
                change=f"correct what its log names; then: supervisorctl start {process.worker}",
            )
        elif not listener.is_alive and ListenerRefused.name in listener.last_lines.get(process.worker, ""):
            yield LOOPS.found(f"its log ends with: {listener.last_lines[process.worker]}", process.worker)
        elif process.worker in listener.in_unknown_state:
            yield UNKNOWN_STATE.found("by supervisord's log it broke the protocol of events", process.worker)


def _why_down(process: ProcessInfo, last_line: str) -> str:
    parts = [f"it is {process.state.name}"]
    if process.spawnerr:
        parts.append(process.spawnerr)
    if last_line:
        parts.append(f"its log ends with: {last_line}")
    return "; ".join(parts)


def check_ticks(facts: Facts) -> Iterator[Finding]:
    state = _living(facts)
    if state is None or facts.listener.in_unknown_state:
        return
    period = state.origin.tick_seconds
    if period == 0:
        return  # Its section has no TICK.
    limit = DEAF_PERIODS * (period or UNKNOWN_PERIOD_SECONDS)
    silent = facts.listener.now - max(state.ticked_at or 0.0, state.started_at)
    if silent > limit and facts.listener.unwritable:
        yield OUTAGE.found(f"{facts.listener.unwritable}: the listener cannot write its journal", "journal")
    elif silent > limit:
        since = "since its start" if state.ticked_at is None else "since the last one"
        yield HEARS_NOTHING.found(f"no TICK came for {format_duration(silent)}, {since}", state.origin.name)


def check_events(facts: Facts) -> Iterator[Finding]:
    """By the files: supervisord does not report what a listener subscribes to."""
    for group in facts.listener.in_files:
        events = facts.listener.events.get(group)
        if events is None:
            continue
        at, shown = f"[eventlistener:{group}]", f"events = {','.join(sorted(events))}"
        period = shortest_period(events)
        if period == 0:
            yield WITHOUT_TICKS.found(shown, at)
        elif period is not None and period > SHIPPED_PERIOD_SECONDS:
            yield RARE_TICKS.found(shown, at)
        if not events & {"REMOTE_COMMUNICATION", "EVENT"}:
            yield WITHOUT_REQUESTS.found(shown, at)
        if not is_sent_changes(events):
            yield WITHOUT_STATES.found(shown, at)


def check_configuration_in_force(facts: Facts) -> Iterator[Finding]:
    state = _living(facts)
    if state is None:
        return
    restart = f"run supervisorctl restart {state.origin.name or 'memkill'}; its drains go on afterwards"
    for change in facts.listener.changes:
        yield NOT_IN_FORCE.found(change, change=restart)
    if state.version != __version__:
        yield OTHER_VERSION.found(
            f"the listener is {state.version}, and this command is {__version__}", change=restart
        )


def check_outages(facts: Facts) -> Iterator[Finding]:
    state = _living(facts)
    for what, outage in ({} if state is None else state.away).items():
        since = format_duration(max(0.0, facts.listener.now - outage.since))
        yield OUTAGE.found(f"{what} does not answer the listener for {since}: {outage.error}", what)


def check_held(facts: Facts) -> Iterator[Finding]:
    """What the listener itself decided at its last look."""
    state = _living(facts)
    for pool in () if state is None else state.pools:
        for worker in pool.workers:
            if worker.reason and worker.cause in _FOR_A_PERSON:
                yield HELD.found(worker.verdict, worker.worker, change=_FOR_A_PERSON[worker.cause])


def check_how_it_looks(facts: Facts) -> Iterator[Finding]:
    listener = facts.listener
    state = _living(facts)
    if state is not None and state.dry_run:
        yield DRY_RUN.found("it changes nothing", state.origin.name)
    if listener.hidden:
        yield HIDDEN.found(listener.hidden)
    running = [one.worker for one in listener.processes if one.state in _ALIVE]
    if listener.unreadable and running:
        restart = f"run supervisorctl restart {running[0]}; its drains go on afterwards"
        yield UNREADABLE.found(listener.unreadable, running[0], change=restart)
    if listener.user and listener.asking_user and listener.user != listener.asking_user:
        yield OTHER_USER.found(
            f"this command has the user {listener.asking_user}, and the listener the user {listener.user}"
        )


def _living(facts: Facts) -> ListenerState | None:
    return facts.listener.state if facts.listener.is_alive else None


CHECKS = (
    check_presence,
    check_runs,
    check_ticks,
    check_events,
    check_configuration_in_force,
    check_outages,
    check_held,
    check_how_it_looks,
)
