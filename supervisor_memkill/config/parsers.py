"""The parsers of single values. Each raises ValueError with a phrase that completes "must be"."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from supervisor_memkill.processes import MEASURES, Measure
from supervisor_memkill.rules.shortage import Yields
from supervisor_memkill.rules.step import OnTimeout
from supervisor_memkill.units import parse_choice, parse_yes_no
from supervisor_memkill.workers.templates import PLACEHOLDERS, parse_command
from supervisor_memkill.world import redis_client


def parse_redis(text: str) -> str:
    redis_client.check(text)
    return text


def measure_parser(measures: Sequence[Measure]) -> Callable[[str], Measure]:
    """The parser of a measure on a system that supports these."""

    def parse(text: str) -> Measure:
        word = text.strip().lower()
        for measure in MEASURES:
            if word == measure and measure in measures:
                return measure
        where = "" if len(measures) == len(MEASURES) else " (this system supports no other measure)"
        raise ValueError(f"one of {', '.join(measures)}{where}")

    return parse


def parse_name(text: str) -> str:
    """A part of a worker's id or of a Redis key."""
    if not re.fullmatch(r"[^\s/{}]+", text):
        raise ValueError("a name without white space, slashes and braces")
    return text


def parse_namespace(text: str) -> str:
    if re.search(r"\s", text):
        raise ValueError("a text without white space")
    return text


def parse_path(text: str) -> Path:
    if not Path(text).is_absolute():
        raise ValueError("an absolute path (%(here)s stands for this file's directory)")
    if not Path(text).name or "\0" in text:
        raise ValueError("the path of a file")
    return Path(text)


def parse_hook(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"a command that runs without a shell ({error})") from None
    if not words or not words[0]:
        raise ValueError("a command that runs without a shell")
    return words


def parse_before_stop(text: str) -> tuple[str, ...]:
    """As the commands of ``worker = custom``, and with the name of the pool."""
    words = parse_command(text, (*PLACEHOLDERS, "pool"))
    if not words[0]:
        raise ValueError("a command that runs without a shell")
    return words


def parse_children(text: str) -> bool | None:
    if text.strip().lower() == "auto":
        return None
    try:
        return parse_yes_no(text)
    except ValueError:
        raise ValueError("auto, yes or no") from None


def parse_textfile(text: str) -> Path:
    path = parse_path(text)
    if path.suffix != ".prom":
        raise ValueError("the path of a file whose name ends in .prom: node_exporter reads no other")
    return path


def parse_listen(text: str) -> tuple[str, int]:
    """The port alone means loopback: whoever wants others to read the metrics writes an address."""
    allowed = "a port such as 9110, which means 127.0.0.1:9110, or IP-ADDRESS:PORT"
    host, _, port = text.strip().rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536 or text.strip().startswith(":"):
        raise ValueError(allowed)
    try:
        address = ipaddress.ip_address(host.strip("[]") or "127.0.0.1")
    except ValueError:
        raise ValueError(allowed) from None
    return str(address), int(port)


def parse_on_timeout(text: str) -> OnTimeout:
    return OnTimeout(parse_choice(*(one.value for one in OnTimeout))(text))


def parse_yields(text: str) -> Yields:
    return Yields(parse_choice(*(one.value for one in Yields))(text))
