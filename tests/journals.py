"""Removes the journals and state files that listeners of the tests kept in the directory of their user."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from supervisor_memkill.listener.journal_place import PROGRAM, ROOTS, ROOTS_OF_ROOT, SUFFIX

_noted: list[str] = []


def of_directory(path: Path) -> str:
    """What the names of these files have in common, for the supervisords in this directory."""
    return re.sub(r"[^A-Za-z0-9]+", "-", path.name).strip("-")


def of_port(port: int) -> str:
    """Likewise, for the supervisord that listens at this port."""
    return f"localhost-{port}"


def note(place: str) -> None:
    """To be removed by `remove_noted`."""
    _noted.append(place)


def remove_noted() -> None:
    remove(_noted)


def remove(
    places: Iterable[str], roots_of_root: Iterable[Path] = ROOTS_OF_ROOT, roots: Iterable[Path] = ROOTS
) -> None:
    """To be called when the listeners of these places have ended."""
    words = "|".join(map(re.escape, places))
    ours = re.compile(f".*-({words})-.*{re.escape(SUFFIX)}.*")
    folders = [root / PROGRAM for root in roots_of_root]
    folders += [folder for root in roots for folder in root.glob(f"{PROGRAM}-*")]
    for folder in folders if words else ():
        with contextlib.suppress(OSError):  # of another user, or not there
            for path in folder.iterdir():
                if ours.fullmatch(path.name):
                    path.unlink(missing_ok=True)
