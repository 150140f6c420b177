"""``supervisor-memkill serve``: status, history and suspects as a web page that only shows."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import CONFIG, SERVER_OPTIONS, SUCCESS, Command
from supervisor_memkill.errors import ConfigError, MemkillError, UsageError, one_line

if TYPE_CHECKING:
    from supervisor_memkill.commands.web.server import PageServer

PASSWORD_VARIABLE = "MEMKILL_WEB_PASSWORD"
PASSWORD_OPTION = "--web-password-file"
DEFAULT_LISTEN = "127.0.0.1:9111"
LEAST_PASSWORD = 8
"""Characters."""
POLL_SECONDS = 0.5
"""How soon a signal ends it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        default=DEFAULT_LISTEN,
        help="PORT (of 127.0.0.1), or IP-ADDRESS:PORT; an address that is not a loopback address needs a"
        f" password (default: {DEFAULT_LISTEN})",
    )
    parser.add_argument(
        PASSWORD_OPTION,
        metavar="FILE",
        type=Path,
        help="a file with the password of the page, which only its owner can read (mode 0600); by default the"
        f" environment variable {PASSWORD_VARIABLE}",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="without a password: a host name, besides localhost, under which browsers reach the page, such"
        " as the name of a proxy; may be repeated",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Serve until a signal comes. Raises MemkillError."""
    address = _address(arguments.listen)
    password = _password(arguments, environ)
    _demand_password(address, password, arguments.listen)
    _check_url(arguments)
    arguments = argparse.Namespace(**{**vars(arguments), "names": []})
    server = _server(address, password, arguments, environ)
    from supervisor_memkill.demo.interruption import Interruption

    with server, Interruption() as interruption:
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        output.say(f"the page is at http://{host}:{server.server_port}/ (Ctrl-C ends this)")
        _warn_of_problems(arguments, environ)
        server.timeout = POLL_SECONDS
        while not interruption.number:
            server.handle_request()
            server.service_actions()
    return SUCCESS


def _check_url(arguments: argparse.Namespace) -> None:
    """Raises UsageError for an address of supervisord that cannot become right while this runs."""
    from supervisor_memkill.world.supervisord import Supervisord

    if arguments.serverurl:
        Supervisord(arguments.serverurl, arguments.username, arguments.password)


def _warn_of_problems(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    """A wrong configuration may be corrected while this runs, so that it ends nothing."""
    from supervisor_memkill.commands.by_hand import examine_by_hand

    try:
        problems = examine_by_hand(arguments, environ).problems
    except ConfigError as error:
        problems = error.problems
    except MemkillError as error:
        problems = (str(error),)
    for problem in problems:
        output.warn(f"{problem} (the page shows this until it is corrected)")


def _address(text: str) -> tuple[str, int]:
    from supervisor_memkill.config.parsers import parse_listen

    try:
        return parse_listen(text.replace("localhost:", "127.0.0.1:", 1))
    except ValueError as error:
        raise UsageError(f"--listen {text}: must be {error}") from None


def _password(arguments: argparse.Namespace, environ: Mapping[str, str]) -> str | None:
    """None: none is set. Raises UsageError."""
    from supervisor_memkill.config.private_file import read_line

    path: Path | None = arguments.web_password_file
    if path is not None:
        where = f"{PASSWORD_OPTION} {path}"
        try:
            password = read_line(path, os.geteuid(), "the password", "run this as its owner or as root")
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None
    elif PASSWORD_VARIABLE in environ:
        where, password = f"environment: {PASSWORD_VARIABLE}", environ[PASSWORD_VARIABLE]
    else:
        return None
    if len(password) < LEAST_PASSWORD:
        raise UsageError(
            f"{where}: the password has fewer than {LEAST_PASSWORD} characters: write a longer one"
        )
    return password


def _demand_password(address: tuple[str, int], password: str | None, listen: str) -> None:
    import ipaddress

    if password is None and not ipaddress.ip_address(address[0]).is_loopback:
        raise UsageError(
            f"--listen {listen}: others can reach this address, so the page needs a password: write one"
            f" into a file, run chmod 600 on it, and name the file with {PASSWORD_OPTION}; or set"
            f" {PASSWORD_VARIABLE}"
        )


def _host_name(text: str) -> str:
    """A name as browsers send it, in lower case. Raises UsageError."""
    if re.fullmatch(r"[A-Za-z0-9_.-]+", text) is None:
        raise UsageError(
            f"--allow-host {text!r:.80}: must be a host name such as memkill.example.org, without scheme,"
            " port and path"
        )
    return text.lower()


def _server(
    address: tuple[str, int],
    password: str | None,
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
) -> PageServer:
    """Raises MemkillError."""
    from supervisor_memkill.clock import boot_clock
    from supervisor_memkill.commands.web.access import Access
    from supervisor_memkill.commands.web.once import MadeOnce
    from supervisor_memkill.commands.web.page import page
    from supervisor_memkill.commands.web.read import Reader
    from supervisor_memkill.commands.web.server import Log, PageServer
    from supervisor_memkill.commands.web.site import Made, Site

    access = Access(password, frozenset(map(_host_name, arguments.allow_host)))
    reader = Reader(arguments, environ)
    pages = MadeOnce(lambda: Made.of(page(reader.read())), boot_clock)
    try:
        return PageServer(address, Site(pages, access, Log()))
    except OSError as error:
        words = one_line(error.strerror or str(error))
        raise MemkillError(
            f"cannot listen on {arguments.listen}: {words}; choose another address with --listen, or end the"
            " program that has it"
        ) from error


COMMAND = Command(
    "serve",
    "show status, history and suspects as a web page, which refreshes itself and changes nothing",
    run,
    (CONFIG, *SERVER_OPTIONS),
    add_arguments,
)
