"""The listener's gateway speaks with the supervisord that started the listener, and with no other."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor_memkill.world.own_supervisord import OtherSupervisord, OwnSupervisord
from supervisor_memkill.world.started_by import parent
from supervisor_memkill.world.starter import Starter
from supervisor_memkill.world.supervisord import NoAnswer, NoSocket, Supervisord, Unreachable
from tests.world.answering_server import FakeServer, http_answer


class Answering(FakeServer):
    """Answers each call with True, and getPID with `pid`."""

    def __init__(self, pid: int | str) -> None:
        self.pid = pid
        self.unanswered = set[str]()
        super().__init__(self._say)

    def _say(self, connection: socket.socket) -> None:
        call = self.calls()[-1]
        if call in self.unanswered:
            return
        value = self.pid if call == "getPID" else True
        body = xmlrpc.client.dumps((value,), methodresponse=True)
        connection.sendall(http_answer(body.encode()))

    def calls(self) -> list[str]:
        return [
            found[1].decode() for one in self.requests if (found := re.search(rb"supervisor\.(\w+)", one))
        ]


def own_parent() -> Starter:
    return parent(os.getpid())


@pytest.fixture
def server() -> Iterator[Answering]:
    answering = Answering(own_parent().pid)
    yield answering
    answering.close()


ACTS: list[Callable[[OwnSupervisord], object]] = [
    lambda own: own.stop("a:b"),
    lambda own: own.start("a:b"),
    lambda own: own.signal("a:b", "TSTP"),
    lambda own: own.identification(),
]


def test_own_supervisord_is_asked_and_told(server: Answering) -> None:
    own = OwnSupervisord(server.url, starter=own_parent())
    assert own.pid() == own_parent().pid
    own.stop("a:b")
    assert server.calls() == ["getPID", "getPID", "stopProcess"]


@pytest.mark.parametrize("act", ACTS)
def test_another_supervisord_gets_no_call_but_the_question_who_it_is(
    server: Answering, act: Callable[[OwnSupervisord], object]
) -> None:
    """Also when it took the address between two calls."""
    own = OwnSupervisord(server.url, starter=own_parent())
    own.stop("a:b")
    server.requests.clear()
    server.pid = own_parent().pid + 1
    with pytest.raises(OtherSupervisord, match=rf"pid {server.pid}\) answers .* \(pid {own_parent().pid}\)"):
        act(own)
    assert server.calls() == ["getPID"]


def test_supervisord_that_ended_is_not_taken_for_one_with_the_same_pid(server: Answering) -> None:
    """Its pid came round, or another one above it answers and became the parent."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    server.pid = own_parent().pid
    own = OwnSupervisord(server.url, starter=Starter(own_parent().pid, gone.pid))
    with pytest.raises(OtherSupervisord, match="has ended"):
        own.stop("a:b")
    assert server.calls() == ["getPID"]


def test_answer_that_is_no_pid_is_no_answer(server: Answering) -> None:
    server.pid = "none"
    with pytest.raises((NoAnswer, OtherSupervisord)):
        OwnSupervisord(server.url, starter=own_parent()).stop("a:b")
    assert server.calls() == ["getPID"]


def test_call_that_was_not_sent_is_not_taken_for_one_that_may_come_late(server: Answering) -> None:
    """Otherwise an operator's stop during a hang would count as the listener's, and would be undone."""
    server.unanswered = {"getPID"}
    with pytest.raises(Unreachable, match="broke off"):
        OwnSupervisord(server.url, starter=own_parent()).stop("a:b")
    assert server.calls() == ["getPID"]
    server.unanswered = {"stopProcess"}
    with pytest.raises(NoAnswer):
        OwnSupervisord(server.url, starter=own_parent()).stop("a:b")


def test_a_socket_that_was_removed_is_named_with_the_supervisord_that_runs_without_it(tmp_path: Path) -> None:
    """As after a sweep of /tmp (Supervisor/supervisor#480 and #1105): the advice is not to start it."""
    with pytest.raises(NoSocket, match=rf"was removed, although .* \(pid {own_parent().pid}\): .* kill -HUP"):
        OwnSupervisord(f"unix://{tmp_path}/s.sock", starter=own_parent()).stop("a:b")


def test_a_socket_of_a_supervisord_that_has_ended_is_not_called_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    with pytest.raises(NoSocket, match=r"cannot be reached .*\(does it run"):
        OwnSupervisord(f"unix://{tmp_path}/s.sock", starter=Starter(gone.pid, gone.pid)).pid()


@pytest.mark.parametrize(("place", "has_advice"), [("/tmp", True), ("/var/tmp", True), ("/run", False)])
def test_a_private_tmp_may_hide_the_socket(place: str, has_advice: bool) -> None:
    """As in Supervisor/supervisor#1084: supervisord runs, and its socket is in another /tmp."""
    with pytest.raises(NoSocket) as raised:
        Supervisord(f"unix://{place}/no-such-supervisor.sock").pid()
    assert ("PrivateTmp=" in str(raised.value)) is has_advice
