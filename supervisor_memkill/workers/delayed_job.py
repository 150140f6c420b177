"""``worker = delayed_job``: Delayed Job's ``rake jobs:work`` and ``delayed_job run``, drained by stopping.

Facts, tried with 4.1.9, 4.1.13 and 4.2.0, those about ``--pool`` with 4.1.9 (lib/delayed/worker.rb,
command.rb, plugins/clear_locks.rb):

- At TERM or INT the worker finishes the running job and exits with status 0. A second signal changes nothing.
- Other signals, such as QUIT, HUP and USR1, raise an error inside the job: it counts as failed and runs again
  later, and the worker goes on.
- With ``Delayed::Worker.raise_signal_exceptions`` TERM cuts the job. Nothing shows this from outside.
- A job that SIGKILL cuts stays locked for ``max_run_time`` (4 hours), then it runs again.
- ``delayed_job -n 2 run``, ``--pool=mail:2`` and a second ``--pool`` run their workers one after the other,
  in one process: each stop signal ends one of them, and the next one begins. ``delayed_job start`` leaves the
  process that supervisord started.
- One ``--pool`` of one worker is that worker in the process itself, as without ``--pool``. A pool without a
  number has one worker. With ``--pool`` the script ignores ``-n``, ``-i`` and ``--queues``. A pool of 0 ends.
- ``--prefix`` changes the process title to ``PREFIX/delayed_job``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from supervisor_memkill.workers.command_line import has_words, program_in, words_run
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

SCRIPT = "delayed_job"
DAEMON_WORDS = frozenset({"start", "restart", "reload"})
_NUMBER = re.compile("-n|--n[a-z_-]*")
_POOL = re.compile("--pool?|--po")
"""optparse accepts the beginning of a name, if no other option begins so (lib/delayed/command.rb)."""
_ONE = re.compile("0*1")
"""The number of workers is one."""


class DelayedJob(StopThenWait):
    """Identified by the command line. The jobs run in the process itself."""

    framework = "Delayed Job"
    command_text = "jobs:work"
    other_command_texts: ClassVar[tuple[str, ...]] = (SCRIPT,)
    own_programs = frozenset({"rake", "rails", "bundle", SCRIPT})
    stop = GracefulStop(
        other_signals="at any other signal Delayed Job fails its running job, and goes on",
    )

    @classmethod
    def matches_command(cls, title: str) -> bool:
        """Also the title that it gives itself, ``delayed_job.7``."""
        program = "".join(words_run(title)[:1])
        return has_words(title, cls.command_text) or program.partition(".")[0] == SCRIPT

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """``delayed_job.7`` is the program too."""
        is_itself = program_in(table.title(process.pid)).startswith(SCRIPT)
        return not is_itself and super().memory_in_children(process, table)

    def more_advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Iterator[Advice]:
        options = program.command.partition(SCRIPT)[2]
        if DAEMON_WORDS.intersection(options.split()):
            yield Advice(
                "command: run `delayed_job run` instead: the workers would leave the process that "
                "supervisord started",
                refuses=True,
            )
        if _is_several(options):
            yield Advice(
                "command: -n and --pool run several workers one after the other, and each stop signal ends "
                "only one of them: use numprocs instead, and --queues or one --pool=QUEUES:1 for the queues",
                refuses=True,
            )


def _is_several(options: str) -> bool:
    """By what follows the script: ``nice -n 5 delayed_job run`` is one worker."""
    words = re.sub("[\"']", "", options).split()
    pools = _values_of(_POOL, words)
    numbers = [*_values_of(_NUMBER, words), *(pool.partition(":")[2] or "1" for pool in pools)]
    return len(pools) > 1 or not all(_ONE.fullmatch(number) for number in numbers)


def _values_of(option: re.Pattern[str], words: Sequence[str]) -> Sequence[str]:
    """All values of an option, each in the next word, after ``=``, or joined to a name of one letter."""
    found = [value for name, value in pairwise(words) if option.fullmatch(name)]
    for word in words:
        name, is_joined, value = word.partition("=")
        if is_joined and option.fullmatch(name):
            found.append(value)
        elif not word.startswith("--") and option.fullmatch(word[:2]) and word[2:]:
            found.append(word[2:])
    return found
