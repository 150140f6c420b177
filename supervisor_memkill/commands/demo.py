"""``supervisor-memkill demo``: a complete run with throwaway workers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import Command


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Play the demo on standard output. Raises MemkillError."""
    from supervisor_memkill.demo.play import run as play

    return play(output.show)


COMMAND = Command(
    "demo",
    "show a complete run with three throwaway workers; takes about a minute, leaves nothing behind",
    run,
)
