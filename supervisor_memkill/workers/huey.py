"""``worker = huey``: Huey, drained by stopping.

Facts, tried with 2.5.5 and 3.5.4, worker types thread and process (huey/consumer.py):

- At its graceful signal the consumer takes no more jobs, finishes the running ones and exits with status 0.
  That signal is INT; ``-g TERM`` makes it TERM (in 3.4.0, not yet in 3.3.1). At the other of the two the
  running jobs are dropped, which loses them, and the exit status is 0 as well. A second graceful signal does
  the same.
- ``-t`` (in 3.4.0) cuts jobs that take longer; without it Huey waits without limit.
- HUP is a restart in place: the process never ends.
- Huey takes a job off its queue when the job begins: a job that is cut is lost.
- django-huey 1.3.1 (``manage.py djangohuey --queue NAME``) is such a consumer, for one queue.
- Worker processes ignore the graceful signal, so ``stopasgroup`` does no harm. They survive a SIGKILL of
  their parent.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from supervisor_memkill.workers.command_line import (
    TimeOption,
    commands_in,
    has_words,
    option_text,
    words_run,
)
from supervisor_memkill.workers.contract import Advice, Option, Traits
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo

DJANGO_COMMANDS = {
    "run_huey": "settings.HUEY['consumer']",
    "djangohuey": "settings.DJANGO_HUEY",
}
"""Of Huey itself and of django-huey, each with the settings that it reads."""
DEFAULT_QUEUE = "the default of settings.DJANGO_HUEY"
"""In place of the queue of a django-huey consumer without ``--queue``: only the settings have its name."""


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
        """``huey_consumer``, also as a module, or a command of Django's ``manage.py``."""
        return (
            words_run(title)[:1] in (["huey_consumer"], ["huey_consumer.py"])
            or has_words(title, "huey.bin.huey_consumer")
            or bool(_django_command(title))
        )

    @classmethod
    def queues_in(cls, title: str) -> frozenset[str]:
        """Consumers of django-huey have one each."""
        if _django_command(title) != "djangohuey":
            return frozenset()
        return frozenset({option_text(title, "--queue") or DEFAULT_QUEUE})

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


def _django_command(title: str) -> str:
    """The command of Django that runs a consumer; empty for other command lines."""
    return next((name for name in DJANGO_COMMANDS if name in commands_in(title)), "")


def _advise_on_uv(program: ProgramInfo) -> Iterator[Advice]:
    """Tried: 0.5 and 0.6 swallow the first INT, 0.7 and later pass it on; all pass TERM on."""
    if PurePath(program.command.split(" ")[0]).name == "uv" and program.stopsignal == signal.SIGINT:
        yield Advice(
            "uv run before 0.7 swallows the first INT: start the consumer without uv, or use -g TERM and "
            "stopsignal=TERM",
            refuses=True,
        )


def _advise_on_django(program: ProgramInfo) -> Iterator[Advice]:
    """The command has options from the settings, too (huey/contrib/djhuey, django_huey/management)."""
    settings = next((where for name, where in DJANGO_COMMANDS.items() if name in program.command), "")
    if settings:
        yield Advice(
            f"the options of the consumer in Django's {settings} are not visible here: make sure that no job "
            "takes longer than its shutdown_timeout, and that its graceful_signal is the same as stopsignal"
        )
