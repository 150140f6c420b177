"""The listener with a test's function that is called at each place of a drain (see tests/places.py)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from supervisor_memkill import cli
from supervisor_memkill.commands import listen, parsing

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.places import Places


def run(at: Callable[[str], None]) -> int:
    """The listener, as its command runs it; the exit status."""
    _, arguments = parsing.parse(sys.argv[1:], os.environ)
    return cli.with_errors_as_lines(lambda: listen.listen(arguments, os.environ, [Places(at)]))
