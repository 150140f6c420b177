"""Find supervisord settings of a program that could lose Sidekiq's jobs."""

from __future__ import annotations

from collections.abc import Sequence

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.workers.advice import (
    STOP_MARGIN_SECONDS,
    advise_on_stopsignal,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
)
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.workers.sidekiq.timeout import OwnTimeout


def advice_on(program: ProgramInfo, own: OwnTimeout) -> Sequence[Advice]:
    """A drained worker has no running job at its stop, so that nothing here refuses a drain."""
    shorter = max(1, program.stopwaitsecs - STOP_MARGIN_SECONDS)
    return [
        *advise_on_stopwaitsecs(
            program,
            own.seconds,
            own.what,
            other_way=own.change.format(seconds=shorter),
            cuts_jobs=True,
        ),
        *advise_on_stopsignal(
            program, {"TERM", "INT"}, "Sidekiq puts its running jobs back only at these", cuts_jobs=True
        ),
        *advise_on_wrapper(program, "Sidekiq"),
    ]
