"""Checks of supervisord and of its server sections."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from supervisor_memkill.commands.doctor.facts import Facts
from supervisor_memkill.commands.doctor.finding import Fault, Finding, Severity

UNREACHABLE = Fault(
    "supervisord-unreachable",
    Severity.ERROR,
    "supervisord does not answer",
    "no worker can be seen, stopped or started",
    "start supervisord, or name its address with --serverurl",
)
REFUSES = Fault(
    "supervisord-refuses",
    Severity.ERROR,
    "supervisord refuses the calls: a wrong password, another user's socket, no [rpcinterface:supervisor]",
    "no worker can be seen, stopped or started",
    "correct what the finding names, in supervisord's configuration",
)
OLD = Fault(
    "supervisord-old",
    Severity.WARNING,
    "this supervisord is older than 4.2",
    "its answers were never tried",
    "install supervisor 4.2.5 or later",
)
NO_SERVER = Fault(
    "server-section-missing",
    Severity.ERROR,
    "supervisord's files have neither a [unix_http_server] nor an [inet_http_server] section",
    "supervisord gives its listeners no address, so that the listener does not start",
    "add [unix_http_server] with file = /var/run/supervisor.sock",
)
OPEN = Fault(
    "server-open-to-network",
    Severity.WARNING,
    "the [inet_http_server] section listens on an address of the network, and has no password",
    "everybody who reaches the port can start, stop and signal every process",
    "write port = 127.0.0.1:PORT, or set username and password",
)
CLOSED_SOCKET = Fault(
    "socket-closed-to-listener",
    Severity.ERROR,
    "the user of the listener may not open supervisord's socket",
    "the listener does not start: it cannot ask supervisord",
    "set chown and chmod = 0770 in [unix_http_server], or remove user from the listener's section",
)
NO_PASSWORD = Fault(
    "password-missing-for-listener",
    Severity.ERROR,
    "supervisord's server demands a password, and the listener has none",
    "the listener does not start: supervisord does not pass its password on",
    'environment = SUPERVISOR_USERNAME="...",SUPERVISOR_PASSWORD="..." in the listener\'s section',
)
UNREPORTED = Fault(
    "settings-not-reported",
    Severity.WARNING,
    "supervisord cannot report the settings of its programs; the files count instead",
    "settings that only supervisord knows are not seen, such as one that is on disk and not in force",
    "correct the setting that the finding names",
)
FAULTS = (UNREACHABLE, REFUSES, OLD, NO_SERVER, OPEN, CLOSED_SOCKET, NO_PASSWORD, UNREPORTED)

OLDEST = (4, 2)


def check_reached(facts: Facts) -> Iterator[Finding]:
    supervisord = facts.supervisord
    if supervisord.refusal:
        yield REFUSES.found(supervisord.refusal, supervisord.url)
    if supervisord.silence:
        yield UNREACHABLE.found(supervisord.silence, supervisord.url)


def check_version(facts: Facts) -> Iterator[Finding]:
    version = facts.supervisord.version
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        yield OLD.found(f"its version is {version}", facts.supervisord.url)


def check_servers(facts: Facts) -> Iterator[Finding]:
    """Both server sections."""
    sections = facts.supervisord.sections
    if not sections.values:
        return  # Not known.
    if not sections.addresses():
        yield NO_SERVER.found("there is no server section")
    for name in sections.values:
        if name.partition(":")[0] != "inet_http_server":
            continue
        port = (sections.value(name, "port") or "").strip()
        if _is_open(port) and not sections.value(name, "password"):
            yield OPEN.found(f"port = {port}, without a password", f"[{name}]")


def _is_open(port: str) -> bool:
    """The address is one that other machines reach. supervisord takes a port alone as all addresses."""
    host = port.rpartition(":")[0].strip("[]")
    if host.lower() == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return bool(port)


def check_access_of_listener(facts: Facts) -> Iterator[Finding]:
    listener = facts.listener
    if listener.closed_socket:
        yield CLOSED_SOCKET.found(listener.closed_socket, "[unix_http_server]")
    if listener.lacks_password:
        yield NO_PASSWORD.found("the listener's section sets no SUPERVISOR_PASSWORD")


def check_settings_are_reported(facts: Facts) -> Iterator[Finding]:
    for alert in facts.supervisord.alerts:
        yield UNREPORTED.found(alert, facts.supervisord.url)


CHECKS = (
    check_reached,
    check_version,
    check_servers,
    check_access_of_listener,
    check_settings_are_reported,
)
