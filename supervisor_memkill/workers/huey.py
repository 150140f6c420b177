"""``worker = huey``: Huey, drained by stopping.

Facts, tried with 2.5.5 and 3.5.4, worker types thread and process (huey/consumer.py):

- At its graceful signal the consumer takes no more jobs, finishes the running ones and exits with status 0.
  That signal is INT; ``-g TERM`` makes it TERM (in 3.4.0, not yet in 3.3.1). At the other of the two the
  running jobs are dropped, which loses them, and the exit status is 0 as well. A second graceful signal does
  the same.
- ``-t`` (in 3.4.0) cuts jobs that take longer; without it Huey waits without limit.
- HUP is a restart in place: the process never ends.
- Huey takes a job off its queue when the job begins: a job that is cut is lost.
- Worker processes ignore the graceful signal, so ``stopasgroup`` does no harm. They survive a SIGKILL of
  their parent.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from supervisor_memkill.workers.command_line import TimeOption, has_words, option_text, words_run
from supervisor_memkill.workers.contract import Advice, Option, Traits
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo


def parse_graceful(text: str) -> str:
    """INT or TERM. Raises ValueError."""
    name = text.strip().upper().removeprefix("SIG")
    if name not in ("INT", "TERM"):
        raise ValueError("INT or TERM")
    return name


class Huey(StopThenWait):
    """Identified by the command line. The processes share memory pages, which pss counts once."""

    framework = "Huey"
    command_text = "huey"
    traits = Traits(quiets=False, measure="pss")
    options: ClassVar[Mapping[str, Option]] = {
        **StopThenWait.options,
        "graceful_signal": Option(
            parse_graceful,
            None,
            "INT or TERM: Huey's graceful signal, if Django's settings.HUEY sets it and not the command line",
        ),
    }
    stop = GracefulStop(
        other_signals="at any other signal Huey loses the running jobs",
        job_limit=TimeOption(("-t", "--shutdown-timeout")),
    )

    @classmethod
    def matches_command(cls, title: str) -> bool:
        """``huey_consumer``, also as a module, or Django's ``manage.py run_huey``."""
        return words_run(title)[:1] in (["huey_consumer"], ["huey_consumer.py"]) or any(
            has_words(title, text) for text in ("run_huey", "huey.bin.huey_consumer")
        )

    def stop_of(self, program: ProgramInfo) -> GracefulStop:
        """The graceful signal and the worker type are options of the consumer."""
        given = option_text(program.command, "-g", "--graceful-signal") or self.values.get("graceful_signal")
        graceful = given or "INT"
        hint = ", unless Huey (from 3.4) is started with -g TERM" if graceful == "INT" else ""
        return replace(
            self.stop,
            signals=frozenset({graceful}),
            other_signals=self.stop.other_signals + hint,
            children_survive_kill=option_text(program.command, "-k", "--worker-type") == "process",
        )

    def more_advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Iterator[Advice]:
        yield from _advise_on_uv(program)
        yield from _advise_on_django(program)


def _advise_on_uv(program: ProgramInfo) -> Iterator[Advice]:
    """Tried: 0.5 and 0.6 swallow the first INT, 0.7 and later pass it on; all pass TERM on."""
    if PurePath(program.command.split(" ")[0]).name == "uv" and program.stopsignal == signal.SIGINT:
        yield Advice(
            "uv run before 0.7 swallows the first INT: start the consumer without uv, or use -g TERM and "
            "stopsignal=TERM",
            refuses=True,
        )


def _advise_on_django(program: ProgramInfo) -> Iterator[Advice]:
    """``manage.py run_huey`` takes its options from settings.HUEY['consumer'] (huey/contrib/djhuey)."""
    if "run_huey" in program.command:
        yield Advice(
            "the options in Django's settings.HUEY['consumer'] are not visible here: make sure that no job "
            "takes longer than its shutdown_timeout, and that its graceful_signal is the same as stopsignal"
        )
