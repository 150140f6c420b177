"""Whether a file system takes new files at all, for the words about a listener that writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def why_unwritable(directory: Path, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> str:
    """Why no user but root can write in the directory; empty: they can, or that is not known."""
    try:
        found = statvfs(directory)
    except OSError:
        return ""
    if found.f_flag & os.ST_RDONLY:
        return f"the file system of {directory} is read-only"
    if found.f_blocks and not found.f_bavail:
        return f"no space is left in the file system of {directory}"
    if found.f_files and not found.f_favail:
        return f"no inode is left in the file system of {directory}"
    return ""
