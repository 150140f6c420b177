"""Runs a command of the operator: without a shell, with a time limit, and without leaving processes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence

from supervisor_memkill.errors import MemkillError, NotSent


def run_command(words: Sequence[str], limit_seconds: float) -> str:
    """Run the command and return its output.

    Raises NotSent if it cannot be run or ends with a status other than 0. Raises MemkillError if its output
    is still open after the limit; then it is killed, with all processes that it started.
    """
    name = shlex.join(words)
    try:
        # Its output must be a pipe: stdout of this process belongs to supervisord's protocol.
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise NotSent(f"{name}: {error}") from error
    with process:
        try:
            output, complaints = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise MemkillError(f"{name}: not done within {limit_seconds:g} s") from error
    if process.returncode != 0:
        last_words = complaints.strip().rpartition("\n")[2]
        raise NotSent(f"{name}: status {process.returncode}{last_words and ': ' + last_words}")
    return output
