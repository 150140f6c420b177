"""Running an operator's own command: no shell, a time limit, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence

from supervisor_memkill.errors import MemkillError, NotSent


def run_command(words: Sequence[str], limit_seconds: float) -> str:
    """What the command printed.

    Raises NotSent when it cannot be run or ends with a status other than 0, and MemkillError when it still
    holds its output after the limit; it is killed then, with all that it started.
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
