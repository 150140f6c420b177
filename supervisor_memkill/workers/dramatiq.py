"""``worker = dramatiq``: Dramatiq, drained by its own stop.

What a drain stands on, tried with 2.2.1 (dramatiq/cli.py, dramatiq/worker.py):

- At TERM or INT the parent sends TERM to its worker processes; they begin no more messages, finish those
  in hand, put the prefetched ones back and exit, all with status 0.
- A second TERM kills a worker process at once. ``stopasgroup`` sends one itself, beside the parent's; INT
  by it does not, as worker processes ignore INT.
- What takes longer than ``--worker-shutdown-timeout`` is cut, and so it is by SIGKILL: the broker gives the
  message to another worker when the dead one's heartbeat is 60 s old, and it runs a second time.
- HUP is a reload in place: the process never ends. Any other signal ends the parent alone.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.workers.contract import Advice, Traits
from supervisor_memkill.workers.settings import (
    drain_advice,
    group_advice,
    signal_advice,
    wait_advice,
    wrapper_advice,
)
from supervisor_memkill.workers.stop_advice import kill_advice, limit_advice, number_in, reach_advice
from supervisor_memkill.workers.stopping import StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo

SHUTDOWN_OPTION = "--worker-shutdown-timeout"
DEFAULT_SHUTDOWN_MILLISECONDS = 600_000
"""dramatiq/cli.py (2.2.1)."""


class Dramatiq(StopThenWait):
    """Knows it by its command line; its processes share pages, which pss counts once."""

    framework = "Dramatiq"
    program = "dramatiq"
    traits = Traits(quiets=False, measure="pss")

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        return [
            *signal_advice(
                program,
                {"TERM", "INT"},
                "at HUP Dramatiq reloads and never ends, at others its worker processes outlive it",
                refuses=True,
            ),
            *drain_advice(program, drain_timeout_seconds),
            *_advice_on_its_limit(program, drain_timeout_seconds),
            *_advice_on_group(program),
            *kill_advice(program, "Dramatiq"),
            *wrapper_advice(program, "Dramatiq", refuses=True),
        ]


def _advice_on_its_limit(program: ProgramInfo, drain_timeout_seconds: float) -> Iterator[Advice]:
    given = number_in(program.command, SHUTDOWN_OPTION)
    milliseconds = DEFAULT_SHUTDOWN_MILLISECONDS if given is None else given
    default = ", its default," if given is None else ""
    setting = f"{SHUTDOWN_OPTION}={milliseconds:.0f} (milliseconds){default}"
    yield from limit_advice(milliseconds / 1000, setting, "Dramatiq", drain_timeout_seconds)
    yield from wait_advice(program, milliseconds / 1000, SHUTDOWN_OPTION)


def _advice_on_group(program: ProgramInfo) -> Iterator[Advice]:
    if program.stopsignal != signal.SIGINT:
        why = "worker processes get a second signal from their parent, and drop their jobs at it"
        yield from group_advice(program, why, refuses=True)
    else:
        yield from reach_advice(program)
