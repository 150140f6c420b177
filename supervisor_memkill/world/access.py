"""Whether another user of this machine may use supervisord's socket."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Collection
from pathlib import Path


def user_name(uid: int | None) -> str:
    """The user's name, or its number if it has none; empty for None."""
    if uid is None:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def why_closed(socket: Path, uid: int) -> str:
    """Why this user cannot connect to the socket; empty: it can, or that is not known.

    A connection needs the permission to write to the socket, and to pass each directory above (unix(7)).
    """
    if uid == 0:
        return ""
    gids = _groups_of(uid)
    try:
        if not _has(socket.stat(), uid, gids, 0o2):
            return f"{_described(socket)}, and the listener is {user_name(uid)}"
        for directory in socket.parents:
            if not _has(directory.stat(), uid, gids, 0o1):
                return f"{_described(directory)}, and the listener is {user_name(uid)}"
    except OSError:
        return ""
    return ""


def _has(found: os.stat_result, uid: int, gids: Collection[int], bit: int) -> bool:
    """The first class that the user belongs to decides: owner, group, others."""
    shift = 6 if found.st_uid == uid else 3 if found.st_gid in gids else 0
    return bool(found.st_mode >> shift & bit)


def _described(path: Path) -> str:
    found = path.stat()
    return f"{path} is {stat.filemode(found.st_mode)} {user_name(found.st_uid)}:{_group_name(found.st_gid)}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def _groups_of(uid: int) -> list[int]:
    """As supervisord gives them to a process with ``user`` (supervisor/options.py: drop_privileges)."""
    try:
        user = pwd.getpwuid(uid)
        return os.getgrouplist(user.pw_name, user.pw_gid)
    except (KeyError, OSError, OverflowError):
        return []


def uid_of(user: str) -> int | None:
    """The number of a user by name or number; None: there is no such user."""
    try:
        return int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    except KeyError:
        return None
