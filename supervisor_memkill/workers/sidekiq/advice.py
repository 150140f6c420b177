"""What in a program's supervisord settings could cost Sidekiq its jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.workers.settings import option_in, signal_advice, wait_advice, wrapper_advice

DEFAULT_TIMEOUT_SECONDS = 25
"""Sidekiq's -t from 6.0 on; 8 before."""


def advice_on(program: ProgramInfo) -> Sequence[Advice]:
    """All that a drain waits for happens before the stop, so nothing here refuses one."""
    return [
        *_advice_on_waiting(program),
        *signal_advice(program, {"TERM", "INT"}, "Sidekiq puts its jobs back on TERM only"),
        *wrapper_advice(program, "Sidekiq"),
    ]


def _advice_on_waiting(program: ProgramInfo) -> Iterator[Advice]:
    given = option_in(program.command, "-t", "--timeout")
    if given is not None and re.fullmatch(r"[0-9]{1,9}", given):
        return wait_advice(program, int(given), "the timeout on Sidekiq's command line")
    return wait_advice(
        program,
        DEFAULT_TIMEOUT_SECONDS,
        "Sidekiq's own timeout, by default (its configuration may say more)",
    )
