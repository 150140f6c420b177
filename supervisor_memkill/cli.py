"""The command ``supervisor-memkill``: runs what was typed, and turns every error into one line.

The listener lives for months. A child process parses its arguments and reads its configuration, so that what
this needs is not in the memory of the listener.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.child import in_child
from supervisor_memkill.commands.command import FAILURE, INTERRUPTED, OUTPUT_CLOSED, WRONG_USE
from supervisor_memkill.errors import ConfigError, MemkillError, UsageError

if TYPE_CHECKING:
    from supervisor_memkill.commands.prepared import Prepared

COMPLETES = "_ARGCOMPLETE"
"""The variable by which a shell asks for the words that may come next (argcomplete's protocol)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    if COMPLETES in os.environ:
        _complete()
    if sys.stderr is None:  # Closed: an error would be written to standard output, in the midst of JSON.
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    return with_errors_as_lines(lambda: _run(sys.argv[1:] if argv is None else argv, os.environ))


def _complete() -> None:
    """Answer the shell, and end the process. Without the extra [completion] there is no answer."""
    with contextlib.suppress(ImportError):
        import argcomplete

        from supervisor_memkill.commands.parsing import parser_of

        argcomplete.autocomplete(parser_of())
    sys.exit(FAILURE)


def with_errors_as_lines(run: Callable[[], int]) -> int:
    """The exit status; every error becomes one line on stderr."""
    try:
        return run()
    except ConfigError as error:
        for problem in error.problems:
            _complain(problem)
        return WRONG_USE
    except UsageError as error:
        _complain(error)
        return WRONG_USE
    except MemkillError as error:
        _complain(error)
        return FAILURE
    except BrokenPipeError:
        from supervisor_memkill.commands import output

        output.give_up()  # The reader of the output has gone.
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED


def _complain(problem: object) -> None:
    from supervisor_memkill.commands import listen, output

    try:
        is_log = listen.is_run_by_supervisord(os.environ, None)
    except MemkillError:
        is_log = False
    if is_log:
        listen.report_refusal(str(problem))
    else:
        output.warn(str(problem))


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    process = os.getpid()
    # What supervisord runs is most likely the listener.
    if "SUPERVISOR_ENABLED" in environ and sys.stdout is not None:
        prepared = in_child(lambda: _prepared(argv, environ, process))
        if prepared is not None:
            from supervisor_memkill.commands.listening import listen

            return listen(prepared, environ)
    from supervisor_memkill.commands.parsing import parse

    command, arguments = parse(argv, environ, process)
    if sys.stdout is None:
        raise MemkillError(OUTPUT_CLOSED)
    return command.run(arguments, environ)


def _prepared(argv: Sequence[str], environ: Mapping[str, str], process: int) -> Prepared | None:
    """What the listener begins with; None: these arguments do not ask for the listener."""
    from supervisor_memkill.commands import listen
    from supervisor_memkill.commands.parsing import parse

    command, arguments = parse(argv, environ, process)
    return listen.prepare(arguments, environ, process) if command is listen.COMMAND else None
