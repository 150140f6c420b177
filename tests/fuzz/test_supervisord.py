"""What supervisord answers, or whatever else listens at its address."""

from __future__ import annotations

import base64
import contextlib
import inspect
import socket
from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.errors import MemkillError, UsageError
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.world import xml_rpc
from supervisor_memkill.world.http_post import OK
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError, from_environment
from tests.fuzz.effort import tries
from tests.fuzz.values import (
    ENVIRONMENT_TEXTS,
    NUMBER_TEXTS,
    TEXTS,
    WHOLES,
    Draw,
    assert_one_line,
    is_whole,
    near,
)
from tests.world.answering_server import FakeServer, http_answer

CALLS: dict[str, Callable[[Supervisord], object]] = {
    "getPID": lambda it: it.pid(),
    "getIdentification": lambda it: it.identification(),
    "getAllProcessInfo": lambda it: it.all_processes(),
    "getProcessInfo": lambda it: it.process("jobs:one"),
    "getAllConfigInfo": lambda it: it.programs(),
    "getSupervisorVersion": lambda it: it.version(),
    "readLog": lambda it: it.log_end(1000),
    "readProcessStderrLog": lambda it: it.stderr_end("jobs:one", 1000),
    "stopProcess": lambda it: it.stop("jobs:one"),
    "startProcess": lambda it: it.start("jobs:one"),
    "signalProcess": lambda it: it.signal("jobs:one", "TSTP"),
    "sendRemoteCommEvent": lambda it: it.send_event("supervisor-memkill", "{}"),
}

XML_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cn"), include_characters="\n\r"))


@st.composite
def _scalars(draw: Draw) -> str:
    sort = draw(
        st.sampled_from(["int", "i8", "double", "bigdecimal", "boolean", "string", "base64", "nil", "date"])
    )
    if sort in ("int", "i8"):
        return f"<{sort}>{draw(WHOLES)}</{sort}>"
    if sort in ("double", "bigdecimal"):
        return f"<{sort}>{draw(st.floats().map(str) | st.sampled_from(['x', '1e999', 'sNaN', '']))}</{sort}>"
    if sort == "boolean":
        return f"<boolean>{draw(st.sampled_from(['0', '1', '2', 'true', '']))}</boolean>"
    if sort == "base64":
        return f"<base64>{base64.b64encode(draw(st.binary(max_size=9))).decode()}</base64>"
    if sort == "nil":
        return "<nil/>"
    if sort == "date":
        return f"<dateTime.iso8601>{draw(st.sampled_from(['20260101T00:00:00', 'x', '']))}</dateTime.iso8601>"
    return f"<string>{escape(draw(XML_TEXTS))}</string>"


def _struct(members: dict[str, str]) -> str:
    inner = "".join(
        f"<member><name>{escape(name)}</name><value>{value}</value></member>"
        for name, value in members.items()
    )
    return f"<struct>{inner}</struct>"


def _array(values: list[str]) -> str:
    return f"<array><data>{''.join(f'<value>{value}</value>' for value in values)}</data></array>"


VALUES = st.recursive(
    _scalars(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(_array),
        st.dictionaries(st.sampled_from(["group", "name", "state", "pid", "x"]), inner, max_size=4).map(
            _struct
        ),
    ),
    max_leaves=6,
)

RIGHT_PROCESS = {
    "group": "<string>jobs</string>",
    "name": "<string>one</string>",
    "state": "<int>20</int>",
    "statename": "<string>RUNNING</string>",
    "pid": "<int>812</int>",
    "start": "<int>1700000000</int>",
    "stop": "<int>0</int>",
    "now": "<int>1700000900</int>",
    "spawnerr": "<string></string>",
    "exitstatus": "<int>0</int>",
}
RIGHT_PROGRAM = {
    "group": "<string>jobs</string>",
    "name": "<string>one</string>",
    "command": "<string>sidekiq</string>",
    "stopsignal": "<int>15</int>",
    "stopwaitsecs": "<int>30</int>",
    "startsecs": "<int>1</int>",
    "killasgroup": "<boolean>0</boolean>",
    "group_prio": "<int>999</int>",
}


@st.composite
def nearly_entries(draw: Draw) -> str:
    """One process or program with up to two of its members wrong, or a list of such."""
    entries = []
    for _ in range(draw(st.integers(1, 3))):
        entry = dict(draw(st.sampled_from([RIGHT_PROCESS, RIGHT_PROGRAM])))
        for key in draw(st.lists(st.sampled_from(sorted(entry)), max_size=2, unique=True)):
            entry[key] = draw(VALUES)
            if draw(st.booleans()):
                del entry[key]
        entries.append(_struct(entry))
    return entries[0] if draw(st.booleans()) else _array(entries)


def response(value: str) -> str:
    body = f"<params><param><value>{value}</value></param></params>"
    return f"<?xml version='1.0'?><methodResponse>{body}</methodResponse>"


def fault(code: str, text: str, more: str = "") -> str:
    inner = _struct({"faultCode": code, "faultString": text}).replace("</struct>", f"{more}</struct>")
    return f"<?xml version='1.0'?><methodResponse><fault><value>{inner}</value></fault></methodResponse>"


FAULT_CODES = st.one_of(st.integers(-2, 110).map("<int>{}</int>".format), VALUES)
FAULTS = st.builds(
    fault, FAULT_CODES, XML_TEXTS.map(lambda text: f"<string>{escape(text)}</string>") | VALUES
)
BODIES = st.one_of(
    st.one_of(VALUES, nearly_entries()).map(response), FAULTS, near(nearly_entries().map(response)), TEXTS
)


class Answering(Supervisord):
    """A supervisord of which nothing but its answer is there."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__("unix:///nowhere.sock")
        self._answer = status, body

    def _exchange(self, body: bytes, answer: xml_rpc.Answer, times: int) -> int:
        status, text = self._answer
        if status == OK:
            answer.take(text)
        return status


def assert_right_or_told(call: str, supervisord: Supervisord) -> None:
    """The answer as values of the right types and ranges, or an error of supervisord's in one line."""
    try:
        answer = CALLS[call](supervisord)
    except SupervisordError as error:
        assert_one_line(str(error))
        return
    if call == "getPID":
        assert is_whole(answer, 1)
    if call in ("getIdentification", "getSupervisorVersion", "readLog", "readProcessStderrLog"):
        assert isinstance(answer, str)
    for entry in answer if isinstance(answer, list) else [answer]:
        if isinstance(entry, ProcessInfo):
            assert all(map(is_whole, (entry.pid, entry.start, entry.stop, entry.now)))
            assert all(isinstance(text, str) for text in (entry.group, entry.name, entry.spawnerr))
        elif isinstance(entry, ProgramInfo):
            assert all(map(is_whole, (entry.stopsignal, entry.stopwaitsecs)))
            assert is_whole(entry.group_priority, None) and isinstance(entry.killasgroup, bool)
            assert all(isinstance(text, str) for text in (entry.group, entry.name, entry.command))


@pytest.mark.parametrize("call", CALLS)
@tries(75)
@example(200, response("<bigdecimal>x</bigdecimal>"))
@example(200, response("<double>inf</double>"))
@example(200, response("<int>-1</int>"))
@example(200, response(_struct({**RIGHT_PROCESS, "pid": "<double>1e999</double>"})))
@example(200, response(_array([_struct({**RIGHT_PROCESS, "start": "<int>-1</int>"})])))
@example(200, response(_array([_struct({**RIGHT_PROCESS, "pid": "<boolean>1</boolean>"})])))
@example(200, response(_array([_struct({**RIGHT_PROCESS, "group": "<nil/>"})])))
@example(200, response(_array([_struct({**RIGHT_PROGRAM, "killasgroup": "<string>no</string>"})])))
@example(200, fault(_array([]), "<string>x</string>"))
@example(200, fault("<int>30</int>", "<string>two\nlines</string>"))
@example(200, fault("<int>2</int>", "<string></string>"))
@given(st.sampled_from([200, 200, 200, 200, 204, 401, 404, 500]), BODIES)
def test_any_answer_is_read_rightly_or_told_in_a_line(call: str, status: int, body: str) -> None:
    assert_right_or_told(call, Answering(status, body.encode()))


@tries(100)
@given(st.integers(100, 999), st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_none(status: int, body: bytes) -> None:
    for call in CALLS:
        assert_right_or_told(call, Answering(status, body))


@tries(30)
@given(st.sampled_from(sorted(CALLS)), st.integers(-200, 1200))
def test_every_fault_code_is_an_error_of_its_own(call: str, code: int) -> None:
    body = fault(f"<int>{code}</int>", "<string>WORDS: jobs:one</string>").encode()
    if call == "getProcessInfo" and code == 10:
        assert Answering(200, body).process("jobs:one") is None
        return
    with pytest.raises(SupervisordError):
        CALLS[call](Answering(200, body))


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[FakeServer, list[bytes]]]:
    """A server that answers every request with the bytes in the list, and closes."""
    answer: list[bytes] = []

    def say(connection: socket.socket) -> None:
        connection.sendall(answer[0])

    server = FakeServer(say)
    try:
        yield server, answer
    finally:
        server.close()


HEADS = near(
    st.sampled_from(
        [
            "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 401 Unauthorized\r\nX: y\r\n z\r\n\r\n",
        ]
    )
)
RAW = st.one_of(
    st.builds(lambda head, body: head.encode() + body.encode(), HEADS, BODIES),
    st.binary(max_size=60),
    BODIES.map(lambda body: http_answer(body.encode())),
    st.builds(lambda body, cut: http_answer(body.encode())[:cut], BODIES, st.integers(0, 300)),
)


@tries(75)
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "getPID")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "getPID")
@given(RAW, st.sampled_from(sorted(CALLS)))
def test_any_bytes_on_the_wire_are_an_answer_or_none(
    server: tuple[FakeServer, list[bytes]], raw: bytes, call: str
) -> None:
    fake, answer = server
    answer[:] = [raw]
    assert_right_or_told(call, Supervisord(fake.url, timeout_seconds=5))


NO_NAMES = st.builds(
    "http://{}..{}:{}".format,
    st.text(st.characters(codec="utf-8", exclude_characters="/?#@\\:[]")),
    TEXTS,
    NUMBER_TEXTS,
)
"""No other machine is asked: what holds two dots in a row is no name."""
ADDRESSES = st.one_of(
    NO_NAMES, near(st.just("unix:///run/none.sock")).filter(lambda url: not url.startswith("http"))
)


@tries(150)
@example("unix:///a\0b", None, None)
@example("http://a b:9001", None, None)
@example("http://a\0b:9001", None, None)
@example(f"http://{'a' * 64}:9001", None, None)
@example("http://a..b:9001", None, None)
@example("unix:///run/none.sock", "\udcff", None)
@given(st.one_of(TEXTS, ADDRESSES), st.none() | ENVIRONMENT_TEXTS, st.none() | ENVIRONMENT_TEXTS)
def test_any_address_and_password_reaches_nothing_in_one_line(
    url: str, username: str | None, password: str | None
) -> None:
    environ = {"SUPERVISOR_SERVER_URL": url}
    environ |= {"SUPERVISOR_USERNAME": username} if username is not None else {}
    environ |= {"SUPERVISOR_PASSWORD": password} if password is not None else {}
    with contextlib.suppress(UsageError):
        supervisord = from_environment(environ)
        with pytest.raises(MemkillError) as told:
            supervisord.pid()
        assert_one_line(str(told.value))


def test_every_call_of_the_gateway_is_fed() -> None:
    public = {name for name, _ in inspect.getmembers(Supervisord, inspect.isfunction) if name[0] != "_"}
    assert len(public) == len(CALLS)
