"""The state file: what the listener sees and does, for the commands that a person types.

It stands beside the journal. The listener replaces it at each look and at each change; it is not forced to
disk, because a new listener writes a new one. Times are on the boot clock of this machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from supervisor_memkill.checked import count, flag, items, mapping, or_none, seconds, text
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.journal import make_private_directory, read_boot_id
from supervisor_memkill.listener.journal_format import TAKEN_READERS, read_fields, taken_to_json
from supervisor_memkill.rules.requests import TakenRequest

FORMAT = 1
SUFFIX = ".state"
MAX_BYTES = 64 * 1024 * 1024


class StateError(MemkillError):
    """There is no state of a listener, or it cannot be read."""


@dataclass(frozen=True)
class DrainState:
    """A drain under way."""

    reason: str
    state: str
    since: float
    """When it entered this state."""
    began_at: float
    not_back: str = ""
    """Why the worker does not come back; empty: it may come back yet."""


@dataclass(frozen=True)
class WorkerState:
    """One worker at the last look."""

    worker: str
    pid: int
    start: int
    """Epoch second, by supervisord."""
    state: str
    """In supervisord's words, such as RUNNING."""
    memory_bytes: int | None
    """None: unknown."""
    busy: int | None
    in_service: bool
    verdict: str
    """What the listener decided, and why, as text for a person."""
    drain: DrainState | None = None


@dataclass(frozen=True)
class PoolState:
    """One pool at its last look."""

    name: str
    looked_at: float
    limit_bytes: int | None
    hard_limit_bytes: int | None
    min_available: int
    max_draining: int
    workers: tuple[WorkerState, ...]
    failure: str = ""
    """Why the last look failed; then the workers are those of the look before."""


@dataclass(frozen=True)
class PauseState:
    """The pause of one pool."""

    pool: str
    since: float
    until: float | None
    except_hard: bool


@dataclass(frozen=True)
class ListenerState:
    """The listener, and all that it last saw."""

    version: str
    """Of supervisor-memkill."""
    pid: int
    created: float
    """When its process began, epoch seconds, by the system: with the pid, this is the process."""
    boot_id: str
    host: str
    dry_run: bool
    started_at: float
    written_at: float
    ticked_at: float | None
    """When the last TICK came; None: none came yet."""
    pools: tuple[PoolState, ...] = ()
    requests: tuple[TakenRequest, ...] = ()
    pauses: tuple[PauseState, ...] = ()
    away: Mapping[str, str] = field(default_factory=dict)
    """What does not answer (``supervisord``, ``journal``, ``coordination``), with the error."""

    def worker(self, name: str) -> WorkerState | None:
        return next((one for pool in self.pools for one in pool.workers if one.worker == name), None)

    def request(self, identity: str) -> TakenRequest | None:
        return next((one for one in self.requests if one.request.id == identity), None)

    @property
    def is_alive(self) -> bool:
        """The process that wrote it lives still."""
        if self.boot_id != read_boot_id():
            return False
        return process_began(self.pid) == self.created


def process_began(pid: int) -> float | None:
    """When this process began, in epoch seconds by the system; None: there is none, or it is not known."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def path_beside(journal: Path) -> Path:
    return journal.with_name(journal.name + SUFFIX)


def write(path: Path, state: ListenerState) -> None:
    """Replace the file. A failure is left to the journal to report: both are in one directory."""
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(OSError, MemkillError):
        make_private_directory(path.parent)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(to_json(state), file)
        temporary.replace(path)


def read(path: Path) -> ListenerState:
    """The last state that was written. Raises StateError, in words for a person."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except FileNotFoundError:
        raise StateError(f"no listener of this supervisord has written {path} yet") from None
    except PermissionError:
        raise StateError(
            f"{path} belongs to another user: run this as root or as the listener's user"
        ) from None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return from_json(json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateError(f"{path} is damaged, or another version wrote it: {error}") from error


# --- JSON -------------------------------------------------------------------------------------------


def to_json(state: ListenerState) -> dict[str, Any]:
    values = dataclasses.asdict(state)
    return {"format": FORMAT, **values, "requests": [taken_to_json(one) for one in state.requests]}


def from_json(values: Any) -> ListenerState:
    """Raises ValueError, KeyError or TypeError for what this version does not write."""
    body = mapping(values)
    if body["format"] != FORMAT:
        raise ValueError(f"its format is {body['format']!r}, and this version reads {FORMAT}")
    return ListenerState(
        version=text(body["version"]),
        pid=count(body["pid"]),
        created=seconds(body["created"]),
        boot_id=text(body["boot_id"]),
        host=text(body["host"]),
        dry_run=flag(body["dry_run"]),
        started_at=seconds(body["started_at"]),
        written_at=seconds(body["written_at"]),
        ticked_at=or_none(seconds)(body["ticked_at"]),
        pools=tuple(map(_pool, items(body["pools"]))),
        requests=tuple(read_fields(TakenRequest, TAKEN_READERS, one) for one in items(body["requests"])),
        pauses=tuple(map(_pause, items(body["pauses"]))),
        away={text(what): text(error) for what, error in mapping(body["away"]).items()},
    )


def _pool(values: Any) -> PoolState:
    body = mapping(values)
    return PoolState(
        name=text(body["name"]),
        looked_at=seconds(body["looked_at"]),
        limit_bytes=or_none(count)(body["limit_bytes"]),
        hard_limit_bytes=or_none(count)(body["hard_limit_bytes"]),
        min_available=count(body["min_available"]),
        max_draining=count(body["max_draining"]),
        workers=tuple(map(_worker, items(body["workers"]))),
        failure=text(body["failure"]),
    )


def _worker(values: Any) -> WorkerState:
    body = mapping(values)
    return WorkerState(
        worker=text(body["worker"]),
        pid=count(body["pid"]),
        start=count(body["start"]),
        state=text(body["state"]),
        memory_bytes=or_none(count)(body["memory_bytes"]),
        busy=or_none(count)(body["busy"]),
        in_service=flag(body["in_service"]),
        verdict=text(body["verdict"]),
        drain=or_none(_drain)(body["drain"]),
    )


def _drain(values: Any) -> DrainState:
    body = mapping(values)
    return DrainState(
        reason=text(body["reason"]),
        state=text(body["state"]),
        since=seconds(body["since"]),
        began_at=seconds(body["began_at"]),
        not_back=text(body["not_back"]),
    )


def _pause(values: Any) -> PauseState:
    body = mapping(values)
    return PauseState(
        pool=text(body["pool"]),
        since=seconds(body["since"]),
        until=or_none(seconds)(body["until"]),
        except_hard=flag(body["except_hard"]),
    )
