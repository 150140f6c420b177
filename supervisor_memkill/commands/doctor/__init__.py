"""``supervisor-memkill doctor``: finds everything that is wrong, and names the line to change."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import CONFIG, FAILURE, JSON, SERVER_OPTIONS, SUCCESS, Command

HELP = "find everything that is wrong with the configuration and around it; changes nothing"


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show all findings; FAILURE if one is an error or a warning. Raises MemkillError for wrong use."""
    from supervisor_memkill.commands.doctor import report
    from supervisor_memkill.commands.doctor.catalogue import examine
    from supervisor_memkill.commands.doctor.read import read_facts

    facts = read_facts(arguments, environ)
    findings = examine(facts)
    style = report.Style(output.columns(), output.has_colour(environ))
    output.show(report.as_json(findings, facts) if arguments.json else report.as_text(findings, facts, style))
    return FAILURE if any(one.severity.is_fault for one in findings) else SUCCESS


COMMAND = Command("doctor", HELP, run, (CONFIG, JSON, *SERVER_OPTIONS))
