"""Signal dispositions for tests of what a signal does, however the test run itself was started."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)
"""``nohup`` ignores SIGHUP; a script ignores SIGINT and SIGQUIT for what it starts with ``&``."""


@contextlib.contextmanager
def none_ignored() -> Iterator[None]:
    """While entered no such signal is ignored, here and in programs that are started meanwhile."""
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
