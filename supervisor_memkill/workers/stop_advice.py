"""What kinds that drain by their own stop advise on besides: the framework's own limits, and its children."""

from __future__ import annotations

from collections.abc import Iterator

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.units import format_duration
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.workers.settings import group_advice, option_in


def number_in(command: str, *names: str) -> float | None:
    """The number that a command line gives an option; None when it gives none that can be read."""
    try:
        return float(option_in(command, *names) or "")
    except ValueError:
        return None


def limit_advice(
    seconds: float, setting: str, framework: str, drain_timeout_seconds: float
) -> Iterator[Advice]:
    """At its stop the framework itself cuts the jobs in hand after so long; `setting` holds its value."""
    if seconds < drain_timeout_seconds:
        timeout = format_duration(drain_timeout_seconds)
        yield Advice(
            f"{setting} is below drain_timeout={timeout}: its stop is its drain, and {framework} cuts jobs "
            "that take longer; raise it, or set drain_timeout to what the longest job takes",
            refuses=True,
        )


def kill_advice(program: ProgramInfo, framework: str) -> Iterator[Advice]:
    """A SIGKILL of supervisord's would reach the parent process alone."""
    if not program.killasgroup:
        yield Advice(
            f"killasgroup=false should be true: should it come to SIGKILL, {framework}'s worker processes "
            "would live on without their parent, and keep taking jobs"
        )


def reach_advice(program: ProgramInfo) -> Iterator[Advice]:
    """stopasgroup does the framework itself no harm, and whatever a job in hand has started some."""
    if program.stopasgroup:
        yield from group_advice(program, "the stop would reach what the jobs in hand have started, too")
