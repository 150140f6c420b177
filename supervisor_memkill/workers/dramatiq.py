"""``worker = dramatiq``: Dramatiq, drained by stopping.

Facts, tried with 2.2.1 (dramatiq/cli.py, dramatiq/worker.py):

- At TERM or INT the parent sends TERM to its worker processes. They begin no more messages, finish the
  running ones, put the prefetched ones back and exit, all with status 0.
- A second TERM kills a worker process at once. ``stopasgroup`` sends that second TERM, beside the parent's.
  With INT it does not: worker processes ignore INT.
- A message that takes longer than ``--worker-shutdown-timeout`` is cut, and so it is by SIGKILL. The broker
  gives it to another worker when the dead worker's heartbeat is 60 s old, and it runs a second time.
- django-dramatiq 0.15.0 (``manage.py rundramatiq``) replaces itself with ``dramatiq``: the pid stays.
- HUP is a reload in place: the process never ends. Any other signal ends the parent alone.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from supervisor_memkill.workers.command_line import TimeOption, commands_in, words_run
from supervisor_memkill.workers.contract import Traits
from supervisor_memkill.workers.queues import QUEUES, arguments_and_options, words_after
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo
    from supervisor_memkill.workers.contract import Option

MANY_OPTIONS = frozenset({"--path", "-P", "--queues", "-Q"})
VALUE_OPTIONS = frozenset(
    {
        *("--processes", "-p", "--threads", "-t", "--pid-file", "--log-file", "--fork-function", "-f"),
        *("--worker-fork-timeout", "--worker-shutdown-timeout", "--watch", "--watch-include", "-i"),
        *("--watch-exclude", "-x"),
    }
)
"""The options that have a value, up to 2.2.1 (dramatiq/cli.py); those above have any number of them."""


class Dramatiq(StopThenWait):
    """Identified by the command line. The processes share memory pages, which pss counts once."""

    framework = "Dramatiq"
    command_text = "dramatiq"
    traits = Traits(quiets=False, measure="pss")
    options: ClassVar[Mapping[str, Option]] = {**StopThenWait.options, **QUEUES}
    stop = GracefulStop(
        other_signals="at HUP Dramatiq reloads and never ends, at others its worker processes outlive it",
        job_limit=TimeOption(("--worker-shutdown-timeout",), default=600_000, seconds_per_unit=0.001),
        stopasgroup_harm="worker processes get a second signal from their parent, and drop their jobs at it",
        children_survive_kill=True,
    )

    @classmethod
    def matches_command(cls, title: str) -> bool:
        """Also django-dramatiq's ``rundramatiq``, which replaces itself with ``dramatiq`` (exec)."""
        is_django = "rundramatiq" in commands_in(title)
        return is_django or words_run(title)[:1] in (["dramatiq"], ["dramatiq-gevent"])

    @classmethod
    def queues_in(cls, title: str) -> frozenset[str]:
        """Those of ``--queues``; without it all queues of its modules."""
        words = words_after(title, "dramatiq", "dramatiq-gevent", "rundramatiq")
        modules, options = arguments_and_options(words, VALUE_OPTIONS, MANY_OPTIONS)
        queues = [*options.get("--queues", ()), *options.get("-Q", ())]
        return frozenset(queues or {f"all queues of {' '.join(sorted(modules))}"})

    def stop_of(self, program: ProgramInfo) -> GracefulStop:
        """Worker processes ignore INT: a stop of the whole group by INT does no harm."""
        return replace(self.stop, stopasgroup_harm="") if program.stopsignal == signal.SIGINT else self.stop
