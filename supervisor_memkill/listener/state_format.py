"""The state's format: its values as JSON, and back. Each field has a reader, as in the journal's format."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from supervisor_memkill.checked import count, flag, items, mapping, or_none, seconds, text
from supervisor_memkill.config.loaded import Loaded, LoadedSection
from supervisor_memkill.listener.journal_format import TAKEN_READERS, Reader, read_fields, taken_to_json
from supervisor_memkill.listener.state_values import (
    MAX_SAMPLES,
    DrainState,
    ListenerState,
    Origin,
    OutageState,
    PauseState,
    PoolState,
    WorkerState,
)
from supervisor_memkill.rules.requests import TakenRequest

FORMAT = 2


class OtherFormat(ValueError):
    """Another version wrote the state."""


def to_json(state: ListenerState) -> dict[str, Any]:
    values = {name: _plain(one) for name, one in vars(state).items() if name != "requests"}
    return {"format": FORMAT, **values, "requests": [taken_to_json(one) for one in state.requests]}


def parts_of_text(state: ListenerState) -> Iterator[str]:
    """The JSON of `to_json`, worker by worker: thousands at once would take some MB for a moment."""
    head = to_json(dataclasses.replace(state, pools=()))
    del head["pools"]
    yield f'{_dumps(head)[:-1]},"pools":['
    for number, pool in enumerate(state.pools):
        values = {name: one for name, one in vars(pool).items() if name != "workers"}
        yield f'{"," if number else ""}{_dumps(values)[:-1]},"workers":['
        for index, worker in enumerate(pool.workers):
            yield f"{',' if index else ''}{_worker(worker)}"
        yield "]}"
    yield "]}"


def _worker(worker: WorkerState) -> str:
    values = {name: getattr(worker, name) for name in WORKER_READERS}
    return _dumps(values if worker.drain is None else {**values, "drain": _plain(worker.drain)})


_dumps = json.JSONEncoder(separators=(",", ":")).encode


def _plain(value: Any) -> Any:
    """The value as JSON has it. dataclasses.asdict would copy each text, at each look of the listener."""
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def from_json(values: Any) -> ListenerState:
    """Raises OtherFormat, and ValueError, KeyError or TypeError for what this version does not write."""
    body = mapping(values)
    if body["format"] != FORMAT:
        raise OtherFormat(f"its format is {body['format']!r:.40}, and this version reads {FORMAT}")
    state: ListenerState = read_fields(ListenerState, LISTENER_READERS, body)
    return state


def _made(kind: type, readers: Mapping[str, Reader]) -> Reader:
    return lambda value: read_fields(kind, readers, value)


def _all(read: Reader) -> Reader:
    return lambda value: tuple(map(read, items(value)))


def _by_name(read: Reader) -> Reader:
    return lambda value: {text(name): read(one) for name, one in mapping(value).items()}


def _samples(value: Any) -> tuple[int | None, ...]:
    return tuple(map(or_none(count), items(value)))[-MAX_SAMPLES:]


DRAIN_READERS: Mapping[str, Reader] = {
    "reason": text,
    "state": text,
    "since": seconds,
    "began_at": seconds,
    "not_back": text,
    "evidence_since": or_none(seconds),
}
WORKER_READERS: Mapping[str, Reader] = {
    "worker": text,
    "pid": count,
    "start": count,
    "state": text,
    "memory_bytes": or_none(count),
    "busy": or_none(count),
    "in_service": flag,
    "verdict": text,
    "drain": or_none(_made(DrainState, DRAIN_READERS)),
    "quiet": or_none(flag),
    "reason": text,
    "cause": text,
    "peers": or_none(count),
    "samples": _samples,
}
POOL_READERS: Mapping[str, Reader] = {
    "name": text,
    "looked_at": seconds,
    "limit_bytes": or_none(count),
    "hard_limit_bytes": or_none(count),
    "min_available": count,
    "max_draining": count,
    "workers": _all(_made(WorkerState, WORKER_READERS)),
    "failure": text,
    "kind": text,
    "measure": text,
    "source_away": text,
    "unrecognised": text,
}
PAUSE_READERS: Mapping[str, Reader] = {
    "pool": text,
    "since": seconds,
    "until": or_none(seconds),
    "except_hard": flag,
}
OUTAGE_READERS: Mapping[str, Reader] = {"error": text, "since": seconds}
SECTION_READERS: Mapping[str, Reader] = {"path": text, "digest": text}
LOADED_READERS: Mapping[str, Reader] = {
    "named": text,
    "files": _all(text),
    "sections": _by_name(_made(LoadedSection, SECTION_READERS)),
    "secrets": _by_name(text),
}
ORIGIN_READERS: Mapping[str, Reader] = {
    "name": text,
    "supervisord_pid": count,
    "events": or_none(_all(text)),
    "tick_seconds": or_none(seconds),
    "configuration": _made(Loaded, LOADED_READERS),
}
LISTENER_READERS: Mapping[str, Reader] = {
    "version": text,
    "pid": count,
    "created": seconds,
    "boot_id": text,
    "host": text,
    "dry_run": flag,
    "started_at": seconds,
    "written_at": seconds,
    "ticked_at": or_none(seconds),
    "pools": _all(_made(PoolState, POOL_READERS)),
    "requests": _all(_made(TakenRequest, TAKEN_READERS)),
    "pauses": _all(_made(PauseState, PAUSE_READERS)),
    "refused": _by_name(text),
    "away": _by_name(_made(OutageState, OUTAGE_READERS)),
    "namespace": text,
    "fleet_name": text,
    "origin": _made(Origin, ORIGIN_READERS),
}
