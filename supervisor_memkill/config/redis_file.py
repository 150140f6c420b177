"""The file that ``redis_file`` names: one URL with its password, which nobody else may read."""

from __future__ import annotations

import re
from pathlib import Path

from supervisor_memkill.config import private_file
from supervisor_memkill.world import redis_client


def read(path: Path, user: int) -> str:
    """The URL in the file; `user` is the user id that this process runs as.

    Raises ValueError in a whole phrase, which repeats nothing that the file holds.
    """
    url = private_file.read_line(path, user, "the URL", "run this as the listener's user or as root")
    if re.match(r"\w+\s*=", url):
        raise ValueError("must hold the URL alone, without a name and = before it")
    try:
        redis_client.check(url)
    except ValueError as error:
        raise ValueError(f"the URL in it must be {error}") from None
    return url
