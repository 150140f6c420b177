"""``worker = laravel``: Laravel's ``artisan queue:work``, drained by stopping.

Facts, tried with 8.83, 10.48 and 13.31 (Illuminate/Queue/Worker.php):

- At TERM the worker takes no more jobs, finishes the running one and exits with status 0. A second TERM
  changes nothing. QUIT does the same from 9.24 on, INT from 12.22 on; before, they end the worker at once.
- All of this needs PHP's extension pcntl, which PHP's official images do not have: without it TERM cuts the
  job. PHP itself catches TERM in any case. It catches CONT only where Laravel asked for it, after its boot.
- A job that SIGKILL cuts runs again after ``retry_after``, and fails for good at the default ``--tries=1``.
- ``--timeout`` (60 s) ends a job that takes longer: the worker kills itself. So no stop takes longer.
- ``--memory`` (128 MB) looks at PHP's own heap between two jobs: the worker exits with status 12.
- ``queue:listen`` starts ``queue:work --once`` for each job. Neither handles a signal.

ThinkPHP's ``think queue:work`` is a copy of Laravel's worker (top-think/think-queue 3.0.9, read, not tried).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from supervisor_memkill.workers.advice import advise_on_memory_limit, advise_on_stopwaitsecs
from supervisor_memkill.workers.command_line import TimeOption, option_number
from supervisor_memkill.workers.php import PHP, REJECTED, without_artisan_options
from supervisor_memkill.workers.queues import QUEUES, arguments_and_options, of_each
from supervisor_memkill.workers.stopping import GracefulStop, SignOfReadiness, StopThenWait

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProgramInfo
    from supervisor_memkill.workers.contract import Advice, Option

DEFAULT_QUEUE = "the queue of the connection"
"""In place of the queues of a worker without ``--queue``: their names stand in config/queue.php alone."""
VALUE_OPTIONS = frozenset(
    {
        *("--name", "--queue", "--delay", "--backoff", "--max-jobs", "--max-time", "--memory", "--sleep"),
        *("--rest", "--timeout", "--tries", "--stop-when-empty-for", "--env"),
    }
)
"""The options of ``queue:work`` that have a value, up to 13.31 (Illuminate/Queue/Console/WorkCommand.php)."""
JOB_TIMEOUT = TimeOption(("--timeout",), default=60.0)
MEMORY_OPTION, MEMORY_DEFAULT_MEGABYTES = "--memory", 128.0


class Laravel(StopThenWait):
    """Identified by the command line, and by a signal that a worker handles once it can stop gracefully."""

    framework = "Laravel"
    command_text = "artisan queue:work"
    command_rejects: ClassVar[Mapping[str, str]] = {
        **REJECTED,
        "queue:listen": "run queue:work instead: queue:listen does not handle the stop signal",
        "--once": "remove it: with --once Laravel does not handle the stop signal, and its job is cut",
    }
    options: ClassVar[Mapping[str, Option]] = {**StopThenWait.options, **QUEUES}
    sign_of_readiness = SignOfReadiness(
        "CONT",
        "it does not handle signals, so that a stop would cut its running job: PHP has no pcntl (install "
        "that extension), or the worker is still booting",
    )
    own_programs = PHP
    stop = GracefulStop(
        signals=frozenset({"TERM"}),
        other_signals="Laravel finishes its job at QUIT only from 9.24 on, at INT only from 12.22 on, and at "
        "other signals never",
    )

    @classmethod
    def plain_command(cls, title: str) -> str:
        """``artisan -v queue:work`` is ``artisan queue:work``."""
        return without_artisan_options(title)

    @classmethod
    def queues_in(cls, title: str) -> frozenset[str]:
        """``queue:work redis --queue=high,low``: those of the connection redis."""
        arguments, options = arguments_and_options(title.partition("queue:work")[2].split(), VALUE_OPTIONS)
        connection, queues = "".join(arguments[:1]), options.get("--queue", [""])[-1].split(",")
        return of_each(connection, queues) or of_each(connection, [DEFAULT_QUEUE])

    def more_advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Iterator[Advice]:
        seconds = JOB_TIMEOUT.seconds(program.command) or 0.0
        yield from advise_on_stopwaitsecs(program, seconds, JOB_TIMEOUT.name)
        given = option_number(program.command, MEMORY_OPTION)
        megabytes = MEMORY_DEFAULT_MEGABYTES if given is None else given
        setting = f"{MEMORY_OPTION}={megabytes:.10g}" + (" (default)" if given is None else "")
        yield from advise_on_memory_limit(
            megabytes * 1024**2, setting, self.framework, self.tools.max_rss_bytes
        )
