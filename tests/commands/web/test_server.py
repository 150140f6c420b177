"""The server over real sockets: what it answers to whom, and that no client is in the way of another."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import gzip
import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervisor_memkill.commands.web.access import Access
from supervisor_memkill.commands.web.once import WAIT_SECONDS, MadeOnce
from supervisor_memkill.commands.web.page import page, policy
from supervisor_memkill.commands.web.server import Log, PageServer
from supervisor_memkill.commands.web.site import Made, Site
from supervisor_memkill.commands.web.tries import AT_ONCE, SECONDS_EACH
from supervisor_memkill.world.bounded_server import MAX_CONNECTIONS
from tests.commands.web.document import Document
from tests.commands.web.seen_values import seen
from tests.harness import PATIENCE_SECONDS, free_port, wait_for

PASSWORD = "open sesame"
RIGHT = f"Basic {base64.b64encode(f'me:{PASSWORD}'.encode()).decode()}"
WRONG = f"Basic {base64.b64encode(b'me:guess').decode()}"


class Server:
    """A server in threads of the test."""

    def __init__(
        self,
        make: Callable[[], str],
        access: Access,
        address: str = "127.0.0.1",
        clock: Callable[[], float] = time.monotonic,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.address, self.port = address, free_port()
        self.made = 0
        self.log = list[str]()

        def count() -> Made:
            self.made += 1
            return Made.of(make())

        site = Site(MadeOnce(count, clock, wait_seconds), access, self.log.append)
        self.server = PageServer((address, self.port), site)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def ask(
        self, method: str = "GET", path: str = "/", body: bytes | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer, answer.read()

    def raw(self, data: bytes) -> bytes:
        """What comes back for these bytes, up to the end of the connection."""
        with socket.create_connection((self.address, self.port), PATIENCE_SECONDS) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    with contextlib.ExitStack() as cleanup:

        def begin(make: Callable[[], str] | None = None, access: Access | None = None, **more: Any) -> Server:
            server = Server(make or (lambda: page(seen())), access or Access(), **more)
            cleanup.callback(server.close)
            return server

        yield begin


def test_page_comes_with_the_headers_that_keep_it_to_itself(start: Start) -> None:
    answer, body = start().ask()
    assert answer.status == 200
    assert Document(body.decode()).named("main")
    given = dict(answer.getheaders())
    assert given["Content-Security-Policy"] == policy()
    assert given["Content-Type"] == "text/html; charset=utf-8"
    assert (given["Cache-Control"], given["Connection"]) == ("no-store", "close")
    assert (given["X-Content-Type-Options"], given["X-Frame-Options"]) == ("nosniff", "DENY")
    assert (given["Referrer-Policy"], given["Cross-Origin-Resource-Policy"]) == ("no-referrer", "same-origin")
    assert given["Server"] == "supervisor-memkill"
    assert int(given["Content-Length"]) == len(body)


def test_page_is_packed_for_who_can_unpack_it(start: Start) -> None:
    server = start()
    answer, body = server.ask(Accept_Encoding="br, gzip")
    assert answer.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body) == server.ask()[1]


def test_head_has_the_headers_alone(start: Start) -> None:
    server = start()
    answer, body = server.ask("HEAD")
    assert (answer.status, body) == (200, b"")
    assert answer.getheader("Content-Length") == server.ask()[0].getheader("Content-Length")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO", "get"])
def test_nothing_can_be_changed(start: Start, method: str) -> None:
    server = start()
    answer, body = server.ask(method)
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
    assert "nothing can be changed here" in Document(body.decode()).text
    assert server.made == 0


@pytest.mark.parametrize("path", ["/x", "/../etc/passwd", "/%2e%2e/", "/page.css", "/index.html"])
def test_there_is_one_page(start: Start, path: str) -> None:
    assert start().ask(path=path)[0].status == 404


def test_words_behind_a_question_mark_are_ignored(start: Start) -> None:
    server = start()
    assert server.ask(path="/?x=<script>")[1] == server.ask()[1]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"\x00\xff\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET / HTTP/x\r\n\r\n", b"400"),
        (b"GET <script> extra words HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n", b"431"),
    ],
)
def test_what_is_no_request_gets_words_that_repeat_nothing_of_it(
    start: Start, request_line: bytes, status: bytes
) -> None:
    server = start()
    answer = server.raw(request_line)
    assert answer.startswith(b"HTTP/1.0 " + status)
    assert b"this is not a request" in answer and b"extra words" not in answer and b"aaaa" not in answer
    assert b"Traceback" not in answer
    assert server.ask()[0].status == 200


def test_empty_connection_is_no_error(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    server = start()
    assert server.raw(b"") == b""
    assert server.ask()[0].status == 200
    assert capfd.readouterr().err == ""


def test_password_is_demanded_for_everything(start: Start) -> None:
    server = start(access=Access(PASSWORD))
    for path in ("/", "/x"):
        answer, body = server.ask(path=path)
        assert answer.status == 401
        assert answer.getheader("WWW-Authenticate") == 'Basic realm="supervisor-memkill", charset="UTF-8"'
        assert b"sidekiq" not in body
    assert server.ask("POST")[0].status == 401
    assert server.log == []
    assert server.ask(Authorization=WRONG)[0].status == 401
    assert server.log == ["wrong password from 127.0.0.1"]
    assert server.made == 0
    answer = server.ask(Authorization=RIGHT)[0]
    assert (answer.status, server.made) == (200, 1)
    assert re.fullmatch(
        r"memkill-known=[\w-]{20,}; HttpOnly; SameSite=Strict", answer.getheader("Set-Cookie", "")
    )


def test_many_guesses_at_once_are_no_more_than_one_after_another(start: Start) -> None:
    """No thread waits for them, and whoever showed the page before is answered at once."""
    server = start(access=Access(PASSWORD))
    cookie = server.ask(Authorization=RIGHT)[0].getheader("Set-Cookie", "").partition(";")[0]
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as many:
        statuses = [one.status for one, _ in many.map(lambda _: server.ask(Authorization=WRONG), range(60))]
    seconds = time.monotonic() - began
    assert sorted(set(statuses)) == [401, 429]
    assert statuses.count(401) <= AT_ONCE + seconds / SECONDS_EACH + 1
    answer, body = server.ask(Authorization=WRONG)
    assert answer.status == 429 and int(answer.getheader("Retry-After", "")) >= 1
    assert "too many wrong passwords" in Document(body.decode()).text
    assert server.ask(Authorization=RIGHT, Cookie=cookie)[0].status == 200


def test_strange_name_gets_no_page(start: Start) -> None:
    server = start()
    answer, body = server.ask(Host="evil.example")
    assert answer.status == 403
    assert "--allow-host" in Document(body.decode()).text and b"sidekiq:" not in body
    assert server.made == 0


def test_page_that_cannot_be_made_is_words_and_a_line_of_the_log(start: Start) -> None:
    def broken() -> str:
        raise KeyError("secret detail")

    server = start(broken)
    answer, body = server.ask()
    assert answer.status == 500
    assert "the page could not be made" in Document(body.decode()).text
    assert b"secret" not in body and b"Traceback" not in body
    assert server.log == ["the page could not be made: KeyError('secret detail')"]


def test_page_that_is_not_ready_in_time_is_words(start: Start) -> None:
    """supervisord or Redis hangs: nobody waits without an end."""
    gate = threading.Event()

    def make() -> str:
        assert gate.wait(PATIENCE_SECONDS)
        return page(seen())

    server = start(make, wait_seconds=0.05)
    first = threading.Thread(target=server.ask)
    first.start()
    wait_for(lambda: server.made == 1)
    answer, body = server.ask()
    assert answer.status == 503
    assert "the page is not ready yet" in Document(body.decode()).text
    gate.set()
    first.join(PATIENCE_SECONDS)
    assert server.ask()[0].status == 200


def test_many_who_look_at_once_cost_one_page(start: Start) -> None:
    gate = threading.Event()

    def make() -> str:
        assert gate.wait(PATIENCE_SECONDS)
        return page(seen())

    server = start(make)
    bodies = list[bytes]()
    threads = [threading.Thread(target=lambda: bodies.append(server.ask()[1])) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: server.made == 1)
    gate.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(bodies) == 8 and len(set(bodies)) == 1 and server.made == 1


def test_page_on_the_loopback_address_of_ipv6(start: Start) -> None:
    try:
        server = start(address="::1")
    except OSError:
        pytest.skip("this machine has no ::1")
    assert server.ask()[0].status == 200


# --- slow and stuck clients -------------------------------------------------------------------------


def test_stuck_clients_are_in_nobodys_way(start: Start) -> None:
    """More of them than there is room for: the oldest is cut off."""
    server = start()
    stuck = [
        socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) for _ in range(MAX_CONNECTIONS)
    ]
    try:
        for one in stuck:
            one.sendall(b"GET / HT")
        wait_for(lambda: len(server.server.connections._open) == len(stuck))
        wait_for(lambda: _is_answered(server))
    finally:
        for one in stuck:
            one.close()


def _is_answered(server: Server) -> bool:
    try:
        return server.ask()[0].status == 200
    except (http.client.HTTPException, OSError):  # Refused while the oldest of the others are young.
        return False


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_equal_lines_of_the_log_come_rarely(capfd: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    log = Log(clock)
    for text in ("a", "a", "b"):
        log(text)
    clock.now = Log.QUIET_SECONDS
    log("a")
    for number in range(1000):
        log(str(number))
    lines = [line.rpartition(": ")[2] for line in capfd.readouterr().err.splitlines()]
    assert lines[:3] == ["a", "b", "a"] and len(lines) < 50
