"""``supervisor-memkill --dry-run`` by hand: one check now, which changes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import (
    CONFIG,
    FAILURE,
    JSON,
    SERVER_OPTIONS,
    SUCCESS,
    Command,
    Option,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from supervisor_memkill.commands.context import Context
    from supervisor_memkill.commands.dry_run_notes import FirstWait
    from supervisor_memkill.commands.dry_run_report import Report
    from supervisor_memkill.config.values import Config

NO_CONFIGURATION = (
    "the configuration of this supervisord was not found, neither by its command line nor with its address"
    " where supervisorctl looks; name the file with --config"
)

OPTION = Option(
    "--dry-run",
    "by hand: check all workers once, show each decision as a table; run by supervisord: log each decision;"
    " changes nothing in either case",
    {"action": "store_true"},
)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check once and show the report; FAILURE when something does not answer. Raises MemkillError."""
    import dataclasses

    from supervisor_memkill.clock import boot_clock
    from supervisor_memkill.commands import dry_run_notes, dry_run_report
    from supervisor_memkill.commands.by_hand import find_by_hand
    from supervisor_memkill.commands.context import build
    from supervisor_memkill.commands.found_listener import find_listener
    from supervisor_memkill.listener import journal

    configuration = find_by_hand(arguments, environ)
    supervisord = configuration.supervisord(arguments, environ)
    context = build(configuration, supervisord, environ, own_group="")
    listener = find_listener(configuration, context)
    journal_path = listener.journal
    contents = journal.peek(journal_path)
    report = dry_run_report.check(
        context.surveyor,
        context.coordinator(contents),
        contents,
        boot_clock,
        first_wait=_first_wait(context.config),
        has_pools=bool(context.config.pools),
        has_listener=not listener.is_dead,
        unwritable=listener.unwritable,
    )
    owner = journal.hidden_by(journal_path)
    notes = list(report.notes)
    if owner is None:  # Else a note below names the owner.
        notes += dry_run_notes.of_listener(listener, contents, boot_clock())
    outages = list(dry_run_notes.of_outages(listener, notes, boot_clock()))
    notes += outages
    if not configuration.is_found:
        notes.insert(0, NO_CONFIGURATION)
    notes += [f"{one}: its sections are not known" for one in configuration.reading.unread]
    notes += configuration.misplaced
    if owner is not None:
        notes.append(
            f"the journal {journal_path} belongs to the user with the uid {owner}: this dry run does not see"
            " the drains that are under way; run it as root or as that user"
        )
    if problem := journal.peek_problem(journal_path):
        notes.append(f"no worker is drained until this is solved: journal {problem}")
    files = tuple(map(str, context.files))
    is_whole = report.is_whole and not outages
    report = dataclasses.replace(report, notes=tuple(notes), files=files, is_whole=is_whole)
    if not context.config.pools:
        report = _with_proposals(report, context, configuration.eventlistener_groups)
    output.show(
        dry_run_report.as_json(report)
        if arguments.json
        else dry_run_report.as_table(output.as_shown(report), output.columns())
    )
    return SUCCESS if report.is_whole else FAILURE


def _with_proposals(report: Report, context: Context, listener_groups: Collection[str]) -> Report:
    """The report with the sections to write, and the workers' memory as their kinds measure it."""
    import dataclasses
    import shlex
    import shutil
    import sys

    from supervisor_memkill.commands import dry_run_report, proposals
    from supervisor_memkill.commands.context import pool_of
    from supervisor_memkill.errors import Unknown
    from supervisor_memkill.processes import ProcessInfo
    from supervisor_memkill.workers.recognise import known_kinds
    from supervisor_memkill.world.memory import ProcessTable

    table, known = ProcessTable(), known_kinds()

    def measure(kind: str, process: ProcessInfo) -> int | None:
        try:
            return pool_of(kind, context).memory(process, table).most_bytes
        except Unknown:
            return None

    everything = [process for members in context.surveyor.members().values() for process in members]
    seen = proposals.look(everything, table, known, measure)
    found = proposals.propose(seen, everything, known)
    if not found:
        return report
    memory = {one.process.worker: one.memory_bytes for one in seen}
    rows = [
        dataclasses.replace(row, memory_bytes=memory.get(row.worker, row.memory_bytes)) for row in report.rows
    ]
    program = "supervisor-memkill"
    command = program if shutil.which(program) else f"{shlex.quote(sys.executable)} -m supervisor_memkill"
    return dataclasses.replace(
        report,
        rows=tuple(rows),
        notes=tuple(note for note in report.notes if note != dry_run_report.NO_LIMIT),
        proposals=tuple(found),
        listener="" if "memkill" in listener_groups else proposals.listener_section(command),
    )


def _first_wait(config: Config) -> FirstWait | None:
    from supervisor_memkill.commands.dry_run_notes import FirstWait
    from supervisor_memkill.coordination.contract import MAX_SILENT_HEARTBEATS

    if config.redis is None:
        return None
    all_have_reported = MAX_SILENT_HEARTBEATS * config.heartbeat_seconds
    return FirstWait(min(all_have_reported, config.slot_ttl_seconds), config.slot_ttl_seconds)


COMMAND = Command("--dry-run", OPTION.help, run, (OPTION, CONFIG, JSON, *SERVER_OPTIONS))
