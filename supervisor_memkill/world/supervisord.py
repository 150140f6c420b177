"""The gateway to supervisord: its XML-RPC calls as methods, its faults as errors.

Every call is sent once, over a connection of its own, within a time limit. It is never repeated here:
a second stop would be answered NOT_RUNNING, as if somebody else had stopped the worker.
"""

from __future__ import annotations

import binascii
import contextlib
import re
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from supervisor_memkill import checked
from supervisor_memkill.errors import MemkillError, UsageError
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.world import http_post, xml_rpc
from supervisor_memkill.world import supervisord_answers as answers

_CHARACTER_BYTES = 4
"""The longest character of UTF-8."""
ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
"""Far above an answer about thousands of processes (about 1 KB each)."""

LONG_ANSWER_TIMES = 6
"""So many time limits an answer about all processes may take, as long as parts of it come. supervisord sends
it in pieces of 4 KB, and looks at all its processes between two pieces: 2,000 took it longer than 5 s."""

T = TypeVar("T")


class SupervisordError(MemkillError):
    """supervisord refused or failed a call, or it is not known whether the call had its effect."""


class ShuttingDown(SupervisordError):
    """supervisord is shutting down or restarting, and refuses every call (SHUTDOWN_STATE)."""


class NoSuchProcess(SupervisordError):
    """The name is not in supervisord's configuration, or no longer (BAD_NAME)."""


class NotRunning(SupervisordError):
    """There is no process to stop or to signal; STOPPING counts as none for a stop (NOT_RUNNING)."""


class AlreadyStarted(SupervisordError):
    """It is running, or supervisord is trying to start it, BACKOFF included (ALREADY_STARTED)."""


class CannotStart(SupervisordError):
    """The start failed; supervisord may still be trying (BACKOFF)."""


class BadSignal(SupervisordError):
    """supervisord knows no such signal (BAD_SIGNAL)."""


class Refused(SupervisordError, UsageError):
    """supervisord's configuration must be corrected first; nothing was done."""


class Unreachable(SupervisordError):
    """The request was certainly not sent: no connection was made, or nothing answered the question before."""


class NoSocket(Unreachable):
    """There is no file with the name of the socket."""


class NoAnswer(SupervisordError):
    """The request was sent, but no valid answer came: it may have had its effect."""


class CallFailed(NoAnswer):
    """supervisord is there, but answered this call with an error or with something that is not understood."""


_MANY: Mapping[str, tuple[Collection[str], Callable[[Mapping[str, Any]], object]]] = {
    "getAllProcessInfo": (
        answers.PROCESS_MEMBERS,
        lambda entry: _understood(answers.process, entry),
    ),
    "getAllConfigInfo": (answers.PROGRAM_MEMBERS, answers.program_or_none),
}
"""The members that are kept of each entry of a long answer, and what is made of it at once: an answer about
thousands of processes would take some MB as a whole."""

# The codes are supervisor.xmlrpc.Faults of supervisor 4.
_FAULTS: Mapping[int, type[SupervisordError]] = {
    1: Refused,
    6: ShuttingDown,
    10: NoSuchProcess,
    11: BadSignal,
    60: AlreadyStarted,
    70: NotRunning,
}
_START_FAULTS = {
    20: "its command does not exist",
    21: "its command is not executable",
    30: "supervisord could not start it",
    40: "it ended before it counted as running",
    50: "supervisord could not spawn it",
}
_NO_INTERFACE = "supervisord offers no control: its configuration needs an [rpcinterface:supervisor] section"
_WRONG_PASSWORD = (
    "supervisord refused the user name or password: set SUPERVISOR_USERNAME and SUPERVISOR_PASSWORD"
    " to those of its server section (environment= of the event listener's section; by hand --username and"
    " --password)"
)


class Supervisord:
    """One supervisord, reached at a ``unix://`` or ``http://`` address.

    Every method raises a subclass of SupervisordError.
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 5,
    ) -> None:
        """Raises UsageError for any other address. Nothing is sent yet."""
        self.url = _without_user(url)
        """As people and JSON see it: without a user before @, whom supervisorctl does not use, either."""
        host, self._open = _address(url, timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._headers = {"Host": host, "Content-Type": "text/xml"}
        if username or password:
            # bytes of the environment that are not UTF-8 are sent unchanged
            credentials = f"{username or ''}:{password or ''}".encode(errors="surrogateescape")
            self._headers["Authorization"] = (
                "Basic " + binascii.b2a_base64(credentials, newline=False).decode()
            )

    def pid(self) -> int:
        """supervisord's own process id."""
        return _understood(answers.pid, self._call("getPID"))

    def identification(self) -> str:
        """Its `identifier`: ``supervisor`` on every host, unless it was set."""
        return _understood(checked.text, self._call("getIdentification"))

    def all_processes(self) -> list[ProcessInfo]:
        """Every process, event listeners included."""
        return _understood(answers.all_processes, self._call("getAllProcessInfo"))

    def process(self, worker: str) -> ProcessInfo | None:
        """One process; None when it is gone from supervisord's configuration."""
        try:
            return _understood(answers.process, self._call("getProcessInfo", worker))
        except NoSuchProcess:
            return None

    def programs(self) -> list[ProgramInfo]:
        """The settings of every process, as supervisord last read them.

        A program with a setting that is not understood is left out. Raises CallFailed if supervisord cannot
        answer: one number above 2**31 - 1, which XML-RPC cannot carry, is enough.
        """
        return _understood(answers.programs, self._call("getAllConfigInfo"))

    def version(self) -> str:
        """Its version, such as ``4.2.5``."""
        return _understood(checked.text, self._call("getSupervisorVersion"))

    def log_end(self, size_bytes: int) -> str:
        """The end of its own log. Raises SupervisordError also if it has none."""
        return self._end_of("readLog", size_bytes=size_bytes)

    def stderr_end(self, worker: str, size_bytes: int) -> str:
        """The end of what a process wrote to stderr. Raises SupervisordError also if that is not kept."""
        return self._end_of("readProcessStderrLog", worker, size_bytes=size_bytes)

    def _end_of(self, method: str, *arguments: str, size_bytes: int) -> str:
        """supervisord fails where the end begins within a character (Supervisor/supervisor#1485)."""
        for missing in range(_CHARACTER_BYTES - 1):
            with contextlib.suppress(CallFailed):
                return _understood(checked.text, self._call(method, *arguments, missing - size_bytes, 0))
        shortest = _CHARACTER_BYTES - 1 - size_bytes
        return _understood(checked.text, self._call(method, *arguments, shortest, 0))

    def stop(self, worker: str) -> None:
        """Begin the stop. The process stays stopped, whatever its autorestart, until it is started."""
        self._call("stopProcess", worker, False)

    def start(self, worker: str) -> None:
        """Begin the start. Without effect and without an error while the process is STOPPING."""
        self._call("startProcess", worker, False)

    def signal(self, worker: str, name: str) -> None:
        """Send a signal (``TSTP``) to the process itself, not to its children."""
        self._call("signalProcess", worker, name)

    def send_event(self, kind: str, payload: str) -> None:
        """Send a REMOTE_COMMUNICATION event to the event listeners that subscribe to it."""
        self._call("sendRemoteCommEvent", kind, payload)

    def _call(self, method: str, *arguments: str | bool | int) -> Any:
        answer = xml_rpc.Answer(*_MANY.get(method, ()))
        try:
            times = LONG_ANSWER_TIMES if method in _MANY else 1
            status = self._exchange(xml_rpc.call(f"supervisor.{method}", arguments), answer, times)
            value = answer.value() if status == http_post.OK else None
        except xml_rpc.Fault as fault:
            raise _error(method, arguments, fault) from None
        except ValueError as error:
            raise CallFailed(f"{self.url} answered {method} with something that is not XML-RPC") from error
        if status in (http_post.UNAUTHORIZED, http_post.FORBIDDEN):
            raise Refused(_WRONG_PASSWORD)
        if status == http_post.NOT_FOUND:
            raise Refused(_NO_INTERFACE)
        if status != http_post.OK:
            raise CallFailed(f"{self.url} answered {method} with HTTP status {status}")
        return value

    def _exchange(self, body: bytes, answer: xml_rpc.Answer, times: int) -> int:
        """Send one request, and pass its answer on; the HTTP status. Raises ValueError as `answer` does.

        The answer may take so many time limits.
        """
        silence_seconds = self._timeout_seconds
        limits = (times * silence_seconds, ANSWER_LIMIT_BYTES)
        with self._connect() as connection:
            try:
                return http_post.post(
                    connection, "/RPC2", self._headers, body, *limits, answer.take, silence_seconds
                )
            except TimeoutError:
                more = f", or its whole answer took longer than {limits[0]:g} s" if times > 1 else ""
                raise NoAnswer(f"{self.url} did not answer within {silence_seconds:g} s{more}") from None
            except http_post.TooLong:
                raise NoAnswer(f"{self.url} answered with more than {ANSWER_LIMIT_BYTES} bytes") from None
            except (OSError, http_post.NoHttp) as error:
                reason = str(error) or type(error).__name__
                raise NoAnswer(f"{self.url} broke off before it had answered: {reason}") from error

    def _connect(self) -> socket.socket:
        try:
            return self._open()
        except PermissionError:
            raise Refused(
                f"permission denied on {self.url}: run this as the user the socket belongs to,"
                " or change chown= and chmod= in supervisord's [unix_http_server] section"
            ) from None
        except FileNotFoundError as error:
            raise NoSocket(
                f"supervisord cannot be reached at {self.url}: there is no such file (does it run, and is the"
                f" address right? by hand, write another address with --serverurl{self._private()}; if it"
                " runs, its socket was removed: kill -HUP PID makes a new one, and restarts all programs of"
                " this supervisord)"
            ) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unreachable(
                f"supervisord cannot be reached at {self.url}: {reason} (does it run, and is the address"
                " right? by hand, write another address with --serverurl)"
            ) from error

    def _private(self) -> str:
        """What may hide a socket that is there."""
        if not self.url.startswith(("unix:///tmp/", "unix:///var/tmp/")):
            return ""
        return (
            "; with PrivateTmp= in a unit of systemd, its processes have a /tmp of their own: name a place in"
            " /run in [unix_http_server]"
        )


def address_from_environment(env: Mapping[str, str]) -> tuple[str, str | None, str | None]:
    """The address, user name and password that supervisord gives to its processes.

    supervisord sets no user name and password there: the operator does, with ``environment=``.
    Raises UsageError without SUPERVISOR_SERVER_URL.
    """
    url = env.get("SUPERVISOR_SERVER_URL")
    if not url:
        raise UsageError(
            "SUPERVISOR_SERVER_URL is not set: either supervisord did not start this program,"
            " or its configuration has neither a [unix_http_server] nor an [inet_http_server] section"
        )
    return url, env.get("SUPERVISOR_USERNAME"), env.get("SUPERVISOR_PASSWORD")


def from_environment(env: Mapping[str, str]) -> Supervisord:
    """The supervisord at the address in the environment. Raises UsageError without it."""
    return Supervisord(*address_from_environment(env))


def _without_user(url: str) -> str:
    return re.sub(r"^(\w+://)[^/\s]*@", r"\1", url)


def _probably_meant(url: str) -> str:
    """The address with the scheme that is missing; empty if that would be none, either."""
    if url.startswith("/"):
        return f"unix://{url}"
    return f"http://{url}" if re.fullmatch(r"[\w.-]+:[0-9]+", url, re.ASCII) else ""


def _address(url: str, timeout_seconds: float) -> tuple[str, Callable[[], socket.socket]]:
    """The name of the host as HTTP has it, and a function that connects. Raises UsageError."""
    if url.startswith("unix://"):
        path = url.removeprefix("unix://")
        return "localhost", lambda: _connect_unix(path, timeout_seconds)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
        name = (host or "").encode("ascii" if (host or "").isascii() else "idna")
    except ValueError:
        host = None
    if host is None or parts.scheme != "http" or re.search(rb"[^!-~]", name):
        meant = _probably_meant(url)
        raise UsageError(
            f"not an address of supervisord: {_without_user(url)!r} "
            + (f"(write {meant})" if meant else "(unix:///path or http://host:port)")
        )
    shown = f"[{name.decode()}]" if b":" in name else name.decode()
    # A name as bytes is not encoded: the codec for that, and its tables, would stay in memory.
    to: Any = (name, port)
    return f"{shown}:{port}", lambda: socket.create_connection(to, timeout_seconds)


def _connect_unix(path: str, timeout_seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_seconds)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _error(method: str, arguments: tuple[xml_rpc.Argument, ...], fault: xml_rpc.Fault) -> SupervisordError:
    """The error for a fault, with the name of the worker in its text."""
    code = fault.code if isinstance(fault.code, int) else 0
    text = fault.text
    about = f"{arguments[0]}: " if arguments else ""
    if method == "startProcess" and code in _START_FAULTS:
        return CannotStart(f"{about}{_START_FAULTS[code]} ({text})")
    if code == 1:
        return Refused(_NO_INTERFACE)
    return _FAULTS.get(code, SupervisordError)(f"{about}supervisord answered {method} with {text}")


def _understood(parse: Callable[[Any], T], answer: Any) -> T:
    """The parsed answer. Raises NoAnswer if it has another form."""
    try:
        return parse(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CallFailed("supervisord's answer is not understood; is it supervisor 4?") from error
