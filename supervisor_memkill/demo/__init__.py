"""``supervisor-memkill demo``: the whole thing on throwaway workers, in about a minute.

Its workers are modules of this package too and must stay small: nothing is imported here.
"""

from __future__ import annotations


def run() -> int:
    """Play the demo on stdout; the exit status: 0 when every promise was kept. Raises MemkillError."""
    from supervisor_memkill.demo import play

    return play.run()
