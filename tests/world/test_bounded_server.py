"""No number of clients, and no slow one, takes the threads and files of the process that serves."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervisor_memkill.world.bounded_server import WHOLE_SECONDS, YOUNG_SECONDS, Connections


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pair() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    with contextlib.ExitStack() as cleanup:

        def make() -> tuple[socket.socket, socket.socket]:
            ours, theirs = socket.socketpair()
            cleanup.enter_context(ours)
            cleanup.enter_context(theirs)
            return ours, theirs

        yield make


def is_cut(theirs: socket.socket) -> bool:
    theirs.setblocking(False)
    try:
        return theirs.recv(1) == b""
    except BlockingIOError:
        return False


def test_oldest_is_cut_for_room_unless_it_is_young(pair: Any) -> None:
    clock = Clock()
    connections = Connections(clock, most=2)
    (one, client_one), (two, client_two), (three, _) = pair(), pair(), pair()
    assert connections.admit(one) and connections.admit(two)
    clock.now = YOUNG_SECONDS - 0.1
    assert not connections.admit(three) and not is_cut(client_one)
    clock.now = YOUNG_SECONDS
    assert not connections.admit(three), "its thread has not left yet"
    assert is_cut(client_one) and not is_cut(client_two)
    connections.leave(one)
    assert connections.admit(three)


def test_request_that_takes_too_long_is_cut(pair: Any) -> None:
    """A client that sends a byte now and then is never silent."""
    clock = Clock()
    connections = Connections(clock)
    (one, client_one), (two, client_two) = pair(), pair()
    assert connections.admit(one)
    clock.now = 1.0
    assert connections.admit(two)
    clock.now = WHOLE_SECONDS
    connections.cut_old()
    assert is_cut(client_one) and not is_cut(client_two)
