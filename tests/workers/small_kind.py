"""A kind for a framework that does not exist: the cost of one more kind that drains by stopping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from supervisor_memkill.workers import (
    GracefulStop,
    Option,
    ProgramInfo,
    StopThenWait,
    TimeOption,
    Traits,
    option_text,
    parse_text,
)


class Honeybee(StopThenWait):
    """Identified by the command line. The processes share memory pages, which pss counts once."""

    framework = "Honeybee"
    command_text = "honeybee work"
    traits = Traits(quiets=False, measure="pss")
    options: ClassVar[Mapping[str, Option]] = {
        **StopThenWait.options,
        "hive": Option(parse_text, None, "the name of the worker's hive"),
    }
    stop = GracefulStop(
        signals=frozenset({"TERM"}),
        other_signals="at any other signal Honeybee drops the running jobs",
        job_limit=TimeOption(("-t", "--stop-timeout"), default=30.0),
        then=TimeOption(("--flush-timeout",), default=5.0),
        stopasgroup_harm="child processes drop their jobs at a second signal",
    )

    def stop_of(self, program: ProgramInfo) -> GracefulStop:
        """Only the process pool has child processes, which survive their parent."""
        if option_text(program.command, "--pool") == "process":
            return replace(self.stop, children_survive_kill=True)
        return replace(self.stop, stopasgroup_harm="")
