"""What in a program's supervisord settings could cost Sidekiq its jobs."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from supervisor_memkill.processes import ProgramInfo

DEFAULT_TIMEOUT_SECONDS = 25
"""Sidekiq's -t from 6.0 on; 8 before."""
SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})


def advice_on(program: ProgramInfo) -> Sequence[str]:
    """One sentence for each such setting."""
    return [*_advice_on_waiting(program), *_advice_on_signal(program), *_advice_on_wrapper(program)]


def _advice_on_waiting(program: ProgramInfo) -> Iterable[str]:
    given = re.search(r"\s(?:-t|--timeout)[\s=]*([0-9]+)", program.command)
    timeout = int(given[1]) if given else DEFAULT_TIMEOUT_SECONDS
    source = "set on its command line" if given else "its default from 6.0 on; its configuration may say more"
    if program.stopwaitsecs <= timeout:
        yield (
            f"stopwaitsecs={program.stopwaitsecs} must be above Sidekiq's timeout of {timeout} s ({source}), "
            f"such as {timeout + 5}: a SIGKILL loses the jobs in hand"
        )


def _advice_on_signal(program: ProgramInfo) -> Iterable[str]:
    if program.stopsignal not in (signal.SIGTERM, signal.SIGINT):
        yield f"stopsignal={program.stopsignal} should be TERM: Sidekiq puts its jobs back on TERM only"


def _advice_on_wrapper(program: ProgramInfo) -> Iterable[str]:
    if _is_wrapped_without_exec(program.command):
        orphan = "" if program.killasgroup else ", and without killasgroup=true SIGKILL leaves it behind"
        yield f"its command is a shell without exec: stopsignal reaches the shell, not Sidekiq{orphan}"


def _is_wrapped_without_exec(command: str) -> bool:
    """``sh -c 'cd app; bundle exec sidekiq'``: there exec is Bundler's word, not the shell's."""
    try:
        shell, option, script, *_ = shlex.split(command)
    except ValueError:
        return False
    is_shell = PurePath(shell).name in SHELLS and re.fullmatch(r"-[a-z]*c", option) is not None
    return is_shell and re.search(r"(?:^|[;&|(\n])\s*exec\s", script) is None
