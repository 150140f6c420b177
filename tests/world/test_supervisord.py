from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.errors import MemkillError, UsageError
from supervisor_memkill.processes import STOPPED_STATES, ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.world.supervisord import (
    AlreadyStarted,
    BadSignal,
    CallFailed,
    CannotStart,
    NoAnswer,
    NoSuchProcess,
    NotRunning,
    Refused,
    ShuttingDown,
    Supervisord,
    SupervisordError,
    Unreachable,
    from_environment,
)
from tests.conftest import StartSupervisord
from tests.harness import free_port, wait_for
from tests.real_supervisord import program

SLEEP = f'{sys.executable} -c "import time; time.sleep(600)"'
IGNORES_TERM = "sh -c 'trap \"\" TERM; echo up; exec sleep 600'"


class FakeServer:
    """An HTTP server that reads each request as a whole, then does as it is told with the connection."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self.requests.append(_request(connection))
                self._answer(connection)

    def close(self) -> None:
        # Closing alone would leave the thread in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def _request(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return stream.read(length)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], FakeServer]]:
    with contextlib.ExitStack() as cleanup:

        def start(answer: Callable[[socket.socket], None]) -> FakeServer:
            server = FakeServer(answer)
            cleanup.callback(server.close)
            return server

        yield start


Serve = Callable[[Callable[[socket.socket], None]], FakeServer]


def http_answer(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n".encode() + body


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


def test_process_states_are_supervisords() -> None:
    import supervisor.states as theirs

    numbers = {name: number for name, number in vars(theirs.ProcessStates).items() if name.isupper()}
    assert numbers == {state.name: state.value for state in ProcessState}
    assert {*STOPPED_STATES, ProcessState.UNKNOWN} == set(theirs.STOPPED_STATES)


def test_supervisor_itself_is_never_imported() -> None:
    """It costs memory and time, and 4.2 wants pkg_resources."""
    script = "import sys, supervisor_memkill.world.supervisord; print('supervisor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class TestAddress:
    def test_the_environment_that_supervisord_sets_is_enough(self) -> None:
        assert from_environment({"SUPERVISOR_SERVER_URL": "unix:///run/s.sock"}).url == "unix:///run/s.sock"

    @pytest.mark.parametrize("env", [{}, {"SUPERVISOR_SERVER_URL": ""}])
    def test_without_a_server_section_the_missing_section_is_named(self, env: dict[str, str]) -> None:
        with pytest.raises(UsageError, match=r"\[unix_http_server\]"):
            from_environment(env)

    @pytest.mark.parametrize(
        "url", ["", "/run/s.sock", "https://h:1", "http://", "http://h:x", "http://[::1", "ftp://h"]
    )
    def test_another_kind_of_address_is_a_wrong_use(self, url: str) -> None:
        with pytest.raises(UsageError, match="unix:///path or http://host:port"):
            Supervisord(url)

    def test_nobody_there_is_unreachable(self, short_path: Path) -> None:
        refusing = short_path / "dead.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(refusing))
        urls = [f"unix://{short_path}/none.sock", f"unix://{refusing}", f"unix://{'x' * 200}"]
        urls += [f"http://127.0.0.1:{free_port()}", "http://" + "x" * 70 + ".invalid:80"]
        for url in urls:
            with pytest.raises(Unreachable, match="cannot be reached"):
                Supervisord(url).pid()


class TestAnswers:
    """What a server could say that supervisord never says when all is well."""

    @pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
    def test_a_lost_or_bad_answer_may_have_had_its_effect_and_is_sent_once(
        self, serve: Serve, answer: Callable[[socket.socket], None]
    ) -> None:
        server = serve(answer)
        with pytest.raises(NoAnswer):
            Supervisord(server.url, timeout_seconds=0.5).stop("g:n")
        assert len(server.requests) == 1
        assert b"<methodName>supervisor.stopProcess</methodName>" in server.requests[0]

    def test_an_answer_without_end_is_cut_off(self, serve: Serve) -> None:
        def floods(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b" " * 1024 * 1024)

        with pytest.raises(NoAnswer, match="more than"):
            Supervisord(serve(floods).url, timeout_seconds=30).pid()

    @pytest.mark.parametrize(
        "entry", [None, 5, "text", [], {}, {**PROCESS, "pid": "x"}, {**PROCESS, "now": None}]
    )
    def test_an_answer_of_another_shape_is_no_answer(self, serve: Serve, entry: Any) -> None:
        with pytest.raises(NoAnswer):
            Supervisord(serve(returns(entry)).url).process("g:n")
        with pytest.raises(NoAnswer):
            Supervisord(serve(returns([PROCESS, entry])).url).all_processes()

    def test_a_state_of_a_later_supervisor_is_unknown(self, serve: Serve) -> None:
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
    def test_every_fault_has_its_error(self, serve: Serve, code: int, error: type[MemkillError]) -> None:
        with pytest.raises(error) as caught:
            Supervisord(serve(faults(code, "FAULT: g:n")).url).start("g:n")
        assert type(caught.value) is error

    def test_a_stop_that_failed_is_no_failed_start(self, serve: Serve) -> None:
        with pytest.raises(SupervisordError, match=r"g:n: .* FAILED: why") as caught:
            Supervisord(serve(faults(30, "FAILED: why")).url).stop("g:n")
        assert not isinstance(caught.value, CannotStart)

    def test_a_call_that_fails_is_not_taken_for_a_supervisord_that_is_away(self, serve: Serve) -> None:
        """One number above 2**31 - 1 makes getAllConfigInfo fail for ever, and no other call."""
        for answer in (http_answer(b"", status="500 Internal Server Error"), http_answer(b"no XML")):
            with pytest.raises(CallFailed):
                Supervisord(serve(says(answer)).url).programs()

    def test_program_with_an_odd_setting_is_left_out_alone(self, serve: Serve) -> None:
        numbers = {"stopsignal": 15, "stopwaitsecs": -1, "group_prio": 999}
        entry = {"group": "g", "name": "a", "command": "x", "killasgroup": False, **numbers}
        odd = {**entry, "name": "b", "command": 7}
        (found,) = Supervisord(serve(returns([entry, odd, "nothing"])).url).programs()
        assert (found.name, found.stopwaitsecs) == ("a", 0)

    @pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
    def test_a_refused_password_says_where_it_is_set_and_not_what_it_is(
        self, serve: Serve, status: str
    ) -> None:
        proxy = Supervisord(serve(says(http_answer(b"", status=status))).url, "user", "secret")
        with pytest.raises(Refused, match="SUPERVISOR_PASSWORD") as caught:
            proxy.pid()
        assert "secret" not in str(caught.value) + repr(proxy)


@pytest.mark.real
class TestRealSupervisord:
    def test_a_worker_is_seen_signalled_stopped_and_started(
        self, start_any_supervisord: StartSupervisord
    ) -> None:
        settings: dict[str, Any] = {
            "numprocs": 2,
            "process_name": "%(program_name)s_%(process_num)s",
            "stopwaitsecs": 7,
        }
        supervisord = start_any_supervisord(
            program("w", SLEEP, stopsignal="INT", killasgroup="true", **settings)
            + program("listener", SLEEP, "eventlistener", events="TICK_3600")
        )
        proxy = supervisord.proxy
        before = supervisord.wait_for_state("w:w_0", ProcessState.RUNNING)
        assert proxy.pid() == supervisord.pid
        assert {process.worker for process in proxy.all_processes()} == {
            "w:w_0",
            "w:w_1",
            "listener:listener",
        }
        programs = {info.worker: info for info in proxy.programs()}
        assert programs["w:w_1"] == ProgramInfo(
            group="w",
            name="w_1",
            command=SLEEP,
            stopsignal=signal.SIGINT,
            stopwaitsecs=7,
            killasgroup=True,
            group_priority=999,
        )
        assert programs["listener:listener"].group_priority < 0

        proxy.signal("w:w_0", "STOP")
        proxy.signal("w:w_0", "CONT")
        proxy.stop("w:w_0")
        stopped = supervisord.wait_for_state("w:w_0", ProcessState.STOPPED)
        assert (stopped.pid, stopped.start) == (0, before.start)
        assert stopped.stop >= before.start
        proxy.start("w:w_0")
        after = supervisord.wait_for_state("w:w_0", ProcessState.RUNNING)
        assert after.pid not in (0, before.pid)

    def test_what_supervisord_will_not_do_is_told_apart(
        self, start_any_supervisord: StartSupervisord, tmp_path: Path
    ) -> None:
        not_executable = tmp_path / "plain"
        not_executable.touch(mode=0o644)
        supervisord = start_any_supervisord(
            program("w", SLEEP, startsecs=0)
            + program("missing", "/no/such/program", autostart="false")
            + program("plain", not_executable.as_posix(), autostart="false")
            + program("failing", "false", startretries=0)
            + program("trying", "false", startretries=100)
        )
        proxy = supervisord.proxy
        supervisord.wait_for_state("w", ProcessState.RUNNING)
        with pytest.raises(AlreadyStarted):
            proxy.start("w")
        with pytest.raises(BadSignal, match=r"w: .*BAD_SIGNAL"):
            proxy.signal("w", "NONSENSE")
        for call in (proxy.start, proxy.stop):
            with pytest.raises(NoSuchProcess):
                call("w:none")
        assert proxy.process("w:none") is None
        with pytest.raises(CannotStart, match=r"missing: its command does not exist \(NO_FILE"):
            proxy.start("missing")
        with pytest.raises(CannotStart, match="plain: its command is not executable"):
            proxy.start("plain")

        supervisord.wait_for_state("failing", ProcessState.FATAL)
        with pytest.raises(NotRunning):
            proxy.stop("failing")
        with pytest.raises(NotRunning):
            proxy.signal("failing", "TERM")
        with contextlib.suppress(CannotStart):
            # FATAL can be started; supervisord says SPAWN_ERROR when it has ended before the answer.
            proxy.start("failing")

        supervisord.wait_for_state("trying", ProcessState.BACKOFF)
        with pytest.raises(AlreadyStarted):
            # BACKOFF and STARTING take turns, and so say both of them.
            proxy.start("trying")

    def test_while_stopping_a_second_stop_is_refused_and_a_start_does_nothing(
        self, start_any_supervisord: StartSupervisord
    ) -> None:
        supervisord = start_any_supervisord(
            program("w", IGNORES_TERM, stopwaitsecs=300, startsecs=0, stdout_logfile="%(here)s/w.out")
        )
        wait_for(lambda: supervisord.log("w.out"))
        supervisord.proxy.stop("w")
        stopping = supervisord.wait_for_state("w", ProcessState.STOPPING)
        with pytest.raises(NotRunning):
            supervisord.proxy.stop("w")
        supervisord.proxy.start("w")
        assert supervisord.process("w").state is ProcessState.STOPPING
        supervisord.proxy.signal("w", "KILL")
        supervisord.wait_for_state("w", ProcessState.STOPPED)
        assert stopping.pid > 0

    def test_a_supervisord_that_shuts_down_refuses_every_call(
        self, start_any_supervisord: StartSupervisord
    ) -> None:
        supervisord = start_any_supervisord(
            program("w", IGNORES_TERM, stopwaitsecs=300, startsecs=0, stdout_logfile="%(here)s/w.out")
        )
        wait_for(lambda: supervisord.log("w.out"))
        supervisord.begin_shutdown()

        def shuts_down() -> bool:
            with contextlib.suppress(ShuttingDown):
                supervisord.proxy.pid()
                return False
            return True

        wait_for(shuts_down)
        proxy = supervisord.proxy
        for call in (proxy.start, proxy.stop, proxy.process):
            with pytest.raises(ShuttingDown):
                call("w")
        supervisord.kill()
        with pytest.raises(Unreachable):
            proxy.pid()

    def test_a_password_is_needed_where_one_is_set(self, start_any_supervisord: StartSupervisord) -> None:
        supervisord = start_any_supervisord(inet=True, password="päss:word")
        assert supervisord.proxy.pid() == supervisord.pid
        env = {"SUPERVISOR_SERVER_URL": supervisord.url, "SUPERVISOR_USERNAME": "user"}
        assert from_environment({**env, "SUPERVISOR_PASSWORD": "päss:word"}).pid() == supervisord.pid
        for wrong in ({}, {"SUPERVISOR_PASSWORD": "word"}):
            with pytest.raises(Refused, match="SUPERVISOR_PASSWORD"):
                from_environment({**env, **wrong}).pid()

    def test_a_missing_rpcinterface_is_named(self, start_any_supervisord: StartSupervisord) -> None:
        supervisord = start_any_supervisord(rpcinterface=False)
        with pytest.raises(Refused, match=r"\[rpcinterface:supervisor\]"):
            supervisord.proxy.pid()

    def test_a_supervisord_that_hangs_is_given_up(self, start_supervisord: StartSupervisord) -> None:
        supervisord = start_supervisord()
        supervisord.pause()
        with pytest.raises(NoAnswer, match=r"within 0\.3 s"):
            Supervisord(supervisord.url, timeout_seconds=0.3).pid()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_another_users_socket_says_what_to_change(self, start_supervisord: StartSupervisord) -> None:
        supervisord = start_supervisord()
        supervisord.directory.chmod(0o755)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            # Nothing may leave this branch: it is a second pytest.
            try:
                os.setuid(65534)
                supervisord.proxy.pid()
            except Refused as error:
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            words = answer.read()
        os.waitpid(child, 0)
        assert words.startswith("permission denied on unix://")
        assert "chown= and chmod=" in words


def test_a_worker_is_named_by_group_and_name() -> None:
    process = ProcessInfo("g", "n", ProcessState.RUNNING, pid=1, start=10, stop=0, now=15)
    assert (process.worker, process.uptime_seconds) == ("g:n", 5)
