"""Find supervisord settings of a program that could lose Sidekiq's jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.workers.advice import advise_on_stopsignal, advise_on_stopwaitsecs, advise_on_wrapper
from supervisor_memkill.workers.command_line import option_text
from supervisor_memkill.workers.contract import Advice

DEFAULT_TIMEOUT_SECONDS = 25
"""Sidekiq's -t from 6.0 on; 8 before."""


def advice_on(program: ProgramInfo) -> Sequence[Advice]:
    """A drained worker has no running job at its stop, so that nothing here refuses a drain."""
    return [
        *_advise_on_timeout(program),
        *advise_on_stopsignal(program, {"TERM", "INT"}, "Sidekiq puts its running jobs back only at these"),
        *advise_on_wrapper(program, "Sidekiq"),
    ]


def _advise_on_timeout(program: ProgramInfo) -> Iterator[Advice]:
    given = option_text(program.command, "-t", "--timeout")
    if given is not None and re.fullmatch(r"[0-9]{1,9}", given):
        return advise_on_stopwaitsecs(program, int(given), "the timeout on Sidekiq's command line")
    return advise_on_stopwaitsecs(
        program,
        DEFAULT_TIMEOUT_SECONDS,
        "Sidekiq's default timeout (its configuration file may set a longer one)",
    )
