"""What a server could say that supervisord never says when all is well."""

from __future__ import annotations

import contextlib
import socket
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.world.supervisord import (
    AlreadyStarted,
    CallFailed,
    CannotStart,
    NoAnswer,
    NoSuchProcess,
    NotRunning,
    Refused,
    ShuttingDown,
    Supervisord,
    SupervisordError,
)
from tests.world.answering_server import FakeServer, http_answer


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], FakeServer]]:
    with contextlib.ExitStack() as cleanup:

        def start(answer: Callable[[socket.socket], None]) -> FakeServer:
            server = FakeServer(answer)
            cleanup.callback(server.close)
            return server

        yield start


Serve = Callable[[Callable[[socket.socket], None]], FakeServer]


def marshalled(value: Any) -> bytes:
    return xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()


def says(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(answer)


def returns(value: Any) -> Callable[[socket.socket], None]:
    return says(http_answer(marshalled(value)))


def faults(code: int, text: str) -> Callable[[socket.socket], None]:
    return says(http_answer(xmlrpc.client.dumps(xmlrpc.client.Fault(code, text)).encode()))


def resets(connection: socket.socket) -> None:
    """Break off so that the client sees ECONNRESET."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def waits_for_the_client(connection: socket.socket) -> None:
    connection.recv(1)


def trickles(connection: socket.socket) -> None:
    """Never be silent for long, and never finish."""
    connection.sendall(http_answer(b"", length=10**6))
    while not connection.recv(0, socket.MSG_DONTWAIT):
        connection.sendall(b" ")
        threading.Event().wait(0.05)


BAD_ANSWERS = {
    "closes": says(b""),
    "resets": resets,
    "no HTTP": says(b"garbage\r\n\r\n"),
    "empty": says(http_answer(b"")),
    "HTML": says(http_answer(b"<html>hello")),
    "no value": says(http_answer(b"<methodResponse/>")),
    "bad value": says(http_answer(b"<params><param><value><int>x</int></value></param></params>")),
    "no text": says(http_answer(b"\xff\xfe\x00")),
    "half an answer": says(http_answer(marshalled(True)[:-40], length=len(marshalled(True)))),
    "an error": says(http_answer(b"", status="500 Internal Server Error")),
    "a redirection": says(http_answer(b"", status="302 Found")),
    "too many headers": says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500),
    "silence": waits_for_the_client,
    "a trickle": trickles,
}
PROCESS = {
    "group": "g",
    "name": "n",
    "state": 20,
    "statename": "RUNNING",
    "pid": 7,
    "start": 1,
    "stop": 2,
    "now": 3,
    "spawnerr": "",
    "exitstatus": 0,
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_lost_or_bad_answer_may_have_had_its_effect_and_is_sent_once(
    serve: Serve, answer: Callable[[socket.socket], None]
) -> None:
    server = serve(answer)
    with pytest.raises(NoAnswer):
        Supervisord(server.url, timeout_seconds=0.5).stop("g:n")
    assert len(server.requests) == 1
    assert b"<methodName>supervisor.stopProcess</methodName>" in server.requests[0]


def test_an_answer_about_all_processes_may_take_longer_as_long_as_it_comes(serve: Serve) -> None:
    """supervisord sends it in small pieces, with a look at all its processes between two of them."""
    whole, closed = http_answer(marshalled([])), threading.Event()

    def slowly(connection: socket.socket) -> None:
        for start in range(0, len(whole), len(whole) // 5):
            connection.sendall(whole[start : start + len(whole) // 5])
            closed.wait(0.8)

    server = serve(slowly)
    patient = Supervisord(server.url, timeout_seconds=3)
    assert patient.all_processes() == []
    with pytest.raises(NoAnswer, match="did not answer within 3 s"):
        patient.pid()
    closed.set()


def test_an_answer_without_end_is_cut_off(serve: Serve) -> None:
    def floods(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 1024 * 1024)

    with pytest.raises(NoAnswer, match="more than"):
        Supervisord(serve(floods).url, timeout_seconds=30).pid()


@pytest.mark.parametrize(
    "entry", [None, 5, "text", [], {}, {**PROCESS, "pid": "x"}, {**PROCESS, "now": None}]
)
def test_an_answer_of_another_shape_is_no_answer(serve: Serve, entry: Any) -> None:
    with pytest.raises(NoAnswer):
        Supervisord(serve(returns(entry)).url).process("g:n")
    with pytest.raises(NoAnswer):
        Supervisord(serve(returns([PROCESS, entry])).url).all_processes()


def test_a_state_of_a_later_supervisor_is_unknown(serve: Serve) -> None:
    [process] = Supervisord(serve(returns([{**PROCESS, "state": 35}])).url).all_processes()
    assert process.state is ProcessState.UNKNOWN


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (1, Refused),
        (6, ShuttingDown),
        (10, NoSuchProcess),
        (20, CannotStart),
        (21, CannotStart),
        (30, CannotStart),
        (40, CannotStart),
        (50, CannotStart),
        (60, AlreadyStarted),
        (70, NotRunning),
        (91, SupervisordError),
    ],
)
def test_every_fault_has_its_error(serve: Serve, code: int, error: type[MemkillError]) -> None:
    with pytest.raises(error) as caught:
        Supervisord(serve(faults(code, "FAULT: g:n")).url).start("g:n")
    assert type(caught.value) is error


def test_a_stop_that_failed_is_no_failed_start(serve: Serve) -> None:
    with pytest.raises(SupervisordError, match=r"g:n: .* FAILED: why") as caught:
        Supervisord(serve(faults(30, "FAILED: why")).url).stop("g:n")
    assert not isinstance(caught.value, CannotStart)


def test_a_call_that_fails_is_not_taken_for_a_supervisord_that_is_away(serve: Serve) -> None:
    """One number above 2**31 - 1 makes getAllConfigInfo fail for ever, and no other call."""
    for answer in (http_answer(b"", status="500 Internal Server Error"), http_answer(b"no XML")):
        with pytest.raises(CallFailed):
            Supervisord(serve(says(answer)).url).programs()


def test_program_with_an_odd_setting_is_left_out_alone(serve: Serve) -> None:
    numbers = {"stopsignal": 15, "stopwaitsecs": -1, "group_prio": 999}
    entry = {"group": "g", "name": "a", "command": "x", "killasgroup": False, **numbers}
    odd = {**entry, "name": "b", "command": 7}
    (found,) = Supervisord(serve(returns([entry, odd, "nothing"])).url).programs()
    assert (found.name, found.stopwaitsecs) == ("a", 0)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refused_password_says_where_it_is_set_and_not_what_it_is(serve: Serve, status: str) -> None:
    proxy = Supervisord(serve(says(http_answer(b"", status=status))).url, "user", "secret")
    with pytest.raises(Refused, match="SUPERVISOR_PASSWORD") as caught:
        proxy.pid()
    assert "secret" not in str(caught.value) + repr(proxy)
