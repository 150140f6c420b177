"""Whether a file system takes new files at all, for the words about a listener that writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def why_unwritable(
    directory: Path, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs, *, is_root: bool = False
) -> str:
    """Why no user but root can write in the directory; empty: they can, or that is not known.

    `is_root`: why not even root can, who may use the blocks that a file system keeps in reserve.
    """
    try:
        found = statvfs(directory)
    except OSError:
        return ""
    if found.f_flag & os.ST_RDONLY:
        return f"the file system of {directory} is read-only"
    blocks, inodes = (found.f_bfree, found.f_ffree) if is_root else (found.f_bavail, found.f_favail)
    if found.f_blocks and not blocks:
        return f"no space is left in the file system of {directory}"
    if found.f_files and not inodes:
        return f"no inode is left in the file system of {directory}"
    return ""
