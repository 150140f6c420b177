"""The note of a Celery worker's drain: its node and its queues, as the journal keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supervisor_memkill.workers.celery.nodes import NodeState
from supervisor_memkill.workers.contract import Note


def with_state(note: Note, state: NodeState) -> Note:
    """The note with all queues that the node was ever seen to take jobs from: the quiet cancels these."""
    saved = {queue["queue"]: queue for queue in saved_queues(note)}
    saved.update({queue["queue"]: dict(queue) for queue in state.queues})
    shared = sorted({*saved_shared_queues(note), *state.shared_queues})
    return {**note, "node": state.name, "queues": list(saved.values()), "shared": shared}


def saved_queues(note: Note) -> Sequence[Mapping[str, Any]]:
    """The queues in a note; another version may have written anything there."""
    queues = note.get("queues")
    found = queues if isinstance(queues, list) else []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("queue"), str)]


def saved_shared_queues(note: Note) -> Sequence[str]:
    """The names of the queues in a note that are not the worker's own alone."""
    shared = note.get("shared")
    return [one for one in shared if isinstance(one, str)] if isinstance(shared, list) else []


def missing_queues(note: Note, state: NodeState) -> Sequence[Mapping[str, Any]]:
    """The queues that the node took jobs from before its quiet, and does not now."""
    taken = {queue["queue"] for queue in state.queues}
    return [queue for queue in saved_queues(note) if queue["queue"] not in taken]
