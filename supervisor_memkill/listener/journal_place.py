"""Where the journal of a supervisord is.

The name of the file comes from the supervisord: from the address that it gives to its processes, in the one
form that all spellings of the address have. The directory comes from the listener's user. Nothing comes from
the environment, which is another one after a restart, after a logout, and by hand.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.world.addresses import same_form

ROOTS_OF_ROOT = (Path("/run"), Path("/var/run"))
ROOTS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - in a private directory there
"""The first of them in which the listener's user has a directory or can make one."""
PROGRAM = "supervisor-memkill"
SUFFIX = ".journal"


@dataclass(frozen=True)
class JournalPlace:
    """The path of a journal, and the paths at which an earlier listener may have kept it."""

    path: Path
    former: tuple[Path, ...] = ()

    def existing(self) -> Path | None:
        """The newest of the files; None: there is none."""
        return newest([self.path, *self.former])


def newest(paths: Iterable[Path]) -> Path | None:
    """The file that was written last; of two from the same moment the first; None: no file exists."""
    written = [(at, path) for path in paths if (at := _written_at(path)) is not None]
    return max(written, key=lambda one: one[0], default=(0, None))[1]


def _written_at(path: Path) -> int | None:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return None


def place(addresses: Sequence[str], url: str, environ: Mapping[str, str], uid: int) -> JournalPlace:
    """The place for one supervisord and the user of its listener.

    `addresses`: all addresses of the supervisord, the one that it gives to its processes first. `url`: its
    address as it was spelt in the environment. `environ` is used for former places alone.
    """
    directory = directory_of(uid)
    names = [_name(same_form(address)) for address in (*addresses, url)]
    former = [folder / _name(url) for folder in _former_directories(environ, uid)]
    path, *others = dict.fromkeys([*(directory / name for name in names), *former])
    return JournalPlace(path, tuple(others))


def directory_of(
    uid: int, roots_of_root: Sequence[Path] = ROOTS_OF_ROOT, roots: Sequence[Path] = ROOTS
) -> Path:
    """The directory for the journals of this user's listeners, which may not exist yet."""
    places = [root / PROGRAM for root in roots_of_root if root.is_dir()] if uid == 0 else []
    places += [root / f"{PROGRAM}-{uid}" for root in roots]
    usable = (path for path in places if _is_usable(path, uid))
    return next(usable, places[0])


def _is_usable(path: Path, uid: int) -> bool:
    """The directory is this user's, or can be made."""
    try:
        return path.lstat().st_uid == uid
    except OSError:
        return os.access(path.parent, os.W_OK | os.X_OK)


def _name(address: str) -> str:
    import hashlib  # For a child process: it loads OpenSSL, which would be 0.6 MB of a listener.

    slug = re.sub(r"[^A-Za-z0-9]+", "-", address).strip("-")[-40:]
    digest = hashlib.sha256(address.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{slug}-{digest}{SUFFIX}"


def _former_directories(environ: Mapping[str, str], uid: int) -> Iterator[Path]:
    """Where earlier listeners kept their journals."""
    if uid == 0:
        yield from (root / PROGRAM for root in ROOTS_OF_ROOT)
    if environ.get("XDG_RUNTIME_DIR", "").startswith("/"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / PROGRAM
    yield Path(f"/run/user/{uid}") / PROGRAM
    import tempfile  # Used once, and it would load more than the rest of this module.

    with contextlib.suppress(OSError):  # No directory for temporary files can be written: none was used.
        yield Path(tempfile.gettempdir()) / f"{PROGRAM}-{uid}"
