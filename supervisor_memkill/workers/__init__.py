"""The public API for authors of kinds, together with `supervisor_memkill.testing`.

Everything that a kind in another package needs is imported from here. All other modules are internal.

Importing this package is cheap: the rules import its contract, and must not load psutil or redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.units import parse_positive_duration
from supervisor_memkill.workers.advice import (
    advise_on_drain_timeout,
    advise_on_job_limit,
    advise_on_killasgroup,
    advise_on_killed_group,
    advise_on_memory_limit,
    advise_on_reached_children,
    advise_on_stopasgroup,
    advise_on_stopsignal,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
)
from supervisor_memkill.workers.base import BaseKind, all_unknown, source_away, tree_pids
from supervisor_memkill.workers.command_line import (
    TimeOption,
    has_worker_below,
    is_shell,
    is_shell_without_exec,
    option_number,
    option_text,
    why_wrapped,
)
from supervisor_memkill.workers.contract import (
    Advice,
    Kind,
    LeftBehind,
    Note,
    Option,
    Reading,
    Target,
    Tools,
    Traits,
    unknown,
    unrecognised,
)
from supervisor_memkill.workers.stopping import GracefulStop, SignOfReadiness, StopThenWait, parse_text
from supervisor_memkill.workers.templates import fill, parse_command, parse_template

if TYPE_CHECKING:
    from supervisor_memkill.world.memory import ProcessTable
    from supervisor_memkill.world.redis_client import ask

__all__ = [
    "Advice",
    "BaseKind",
    "GracefulStop",
    "Kind",
    "LeftBehind",
    "MemkillError",
    "NotSent",
    "Note",
    "Option",
    "ProcessInfo",
    "ProcessTable",
    "ProgramInfo",
    "Reading",
    "SignOfReadiness",
    "StopThenWait",
    "Target",
    "TimeOption",
    "Tools",
    "Traits",
    "Unknown",
    "advise_on_drain_timeout",
    "advise_on_job_limit",
    "advise_on_killasgroup",
    "advise_on_killed_group",
    "advise_on_memory_limit",
    "advise_on_reached_children",
    "advise_on_stopasgroup",
    "advise_on_stopsignal",
    "advise_on_stopwaitsecs",
    "advise_on_wrapper",
    "all_unknown",
    "ask",
    "fill",
    "has_worker_below",
    "is_shell",
    "is_shell_without_exec",
    "option_number",
    "option_text",
    "parse_command",
    "parse_positive_duration",
    "parse_template",
    "parse_text",
    "source_away",
    "tree_pids",
    "unknown",
    "unrecognised",
    "why_wrapped",
]


def __getattr__(name: str) -> Any:
    """Import at first use what loads psutil or redis."""
    if name == "ProcessTable":
        from supervisor_memkill.world.memory import ProcessTable

        return ProcessTable
    if name == "ask":
        from supervisor_memkill.world.redis_client import ask

        return ask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
