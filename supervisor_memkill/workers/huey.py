"""``worker = huey``: Huey, drained by its own stop.

What a drain stands on, tried with 2.5.5 and 3.5.4, worker types thread and process (huey/consumer.py):

- At its graceful signal the consumer takes no more jobs, finishes those in hand and exits with status 0.
  That is INT; ``-g TERM`` makes it TERM (in 3.4.0, not yet in 3.3.1). The other of the two drops the jobs
  in hand, which are lost, and exits with status 0 as well. So does a second graceful signal.
- ``-t`` (in 3.4.0) cuts what takes longer; without it Huey waits for ever.
- HUP is a restart in place: the process never ends.
- Huey takes a job off its queue when it begins: whatever is cut is lost.
- Worker processes ignore the graceful signal, so ``stopasgroup`` does no harm; they survive a SIGKILL of
  their parent.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from supervisor_memkill.workers.contract import Advice, Option, Traits
from supervisor_memkill.workers.settings import (
    drain_advice,
    option_in,
    signal_advice,
    wait_advice,
    wrapper_advice,
)
from supervisor_memkill.workers.stop_advice import kill_advice, limit_advice, number_in, reach_advice
from supervisor_memkill.workers.stopping import StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo


def parse_graceful(text: str) -> str:
    """Raises ValueError."""
    name = text.strip().upper().removeprefix("SIG")
    if name not in ("INT", "TERM"):
        raise ValueError("INT or TERM")
    return name


class Huey(StopThenWait):
    """Knows it by its command line; worker processes share pages with their parent, which pss counts once."""

    framework = "Huey"
    program = "huey"
    traits = Traits(quiets=False, measure="pss")
    options: ClassVar[Mapping[str, Option]] = {
        **StopThenWait.options,
        "graceful_signal": Option(
            parse_graceful, None, "INT or TERM, where Django's settings.HUEY and not the command line says it"
        ),
    }

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        return [
            *_advice_on_signal(program, self._values.get("graceful_signal")),
            *_advice_on_uv(program),
            *_advice_on_django(program),
            *drain_advice(program, drain_timeout_seconds),
            *_advice_on_its_limit(program, drain_timeout_seconds),
            *reach_advice(program),
            *_advice_on_kill(program),
            *wrapper_advice(program, "Huey", refuses=True),
        ]


def _advice_on_signal(program: ProgramInfo, configured: str | None) -> Iterator[Advice]:
    graceful = option_in(program.command, "-g", "--graceful-signal") or configured or "INT"
    hint = ", unless it is started with -g TERM (Huey 3.4)" if graceful == "INT" else ""
    yield from signal_advice(
        program, {graceful}, f"at any other Huey loses the jobs in hand{hint}", refuses=True
    )


def _advice_on_uv(program: ProgramInfo) -> Iterator[Advice]:
    """Tried: 0.5 and 0.6 swallow the first INT, 0.7 and later pass it on; TERM gets through all."""
    if PurePath(program.command.split(" ")[0]).name == "uv" and program.stopsignal == signal.SIGINT:
        yield Advice(
            "uv run before 0.7 swallows the first INT: start the consumer without it, or use -g TERM and "
            "stopsignal=TERM",
            refuses=True,
        )


def _advice_on_django(program: ProgramInfo) -> Iterator[Advice]:
    """``manage.py run_huey`` takes settings.HUEY['consumer'] for options (huey/contrib/djhuey)."""
    if "run_huey" in program.command:
        yield Advice(
            "what settings.HUEY['consumer'] says of shutdown_timeout, graceful_signal and worker_type is not "
            "seen here: no job may take longer than shutdown_timeout, and graceful_signal must be stopsignal"
        )


def _advice_on_its_limit(program: ProgramInfo, drain_timeout_seconds: float) -> Iterator[Advice]:
    seconds = number_in(program.command, "-t", "--shutdown-timeout")
    if seconds is not None:
        setting = f"--shutdown-timeout={seconds:g}"
        yield from limit_advice(seconds, setting, "Huey", drain_timeout_seconds)
        yield from wait_advice(program, seconds, "--shutdown-timeout")


def _advice_on_kill(program: ProgramInfo) -> Iterator[Advice]:
    if option_in(program.command, "-k", "--worker-type") == "process":
        yield from kill_advice(program, "Huey")
