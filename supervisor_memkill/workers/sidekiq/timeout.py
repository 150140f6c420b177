"""How long Sidekiq waits for its running jobs at a stop before it gives them back to Redis.

Sidekiq takes the value from its command line, else from its configuration file, else by default
(lib/sidekiq/cli.rb: setup_options, parse_config; 4.2 to 8.1). A value that an initializer sets is not visible
from outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.workers.command_line import option_text

DEFAULT_SECONDS, OLD_DEFAULT_SECONDS = 25, 8
"""From 6.0 on, and before."""
MAX_FILE_BYTES = 1024 * 1024
ENVIRONMENTS = frozenset({"production", "staging", "development", "test"})
"""The sections of a file that count when the command line does not name the environment."""
_ON_COMMAND_LINE = "start Sidekiq with -t {seconds}"
_KEY = re.compile(r"^(?P<indent>\s*)['\":]*(?P<key>\w+)['\"]?\s*:(?P<rest>.*)$")


@dataclass(frozen=True)
class OwnTimeout:
    """The timeout of one Sidekiq process."""

    seconds: int
    what: str
    """Where it is from, as a noun for a message."""
    change: str
    """How to set another value; ``{seconds}`` stands for it."""


@dataclass(frozen=True)
class SidekiqStart:
    """How one Sidekiq process was started, as far as that is known from outside."""

    pid: int = 0
    started_epoch: int = 0
    """By supervisord."""
    version: str = ""
    """Empty: unknown."""
    directory: str | None = None
    """Its working directory; None: unknown."""


def own_timeout(command: str, start: SidekiqStart) -> OwnTimeout:
    """The timeout of a process with this command, the longest possible one if it is not certain."""
    given = option_text(command, "-t", "--timeout")
    if given is not None and re.fullmatch(r"[0-9]{1,9}", given):
        return OwnTimeout(int(given), "the timeout on Sidekiq's command line", _ON_COMMAND_LINE)
    return _in_file(command, start) or _default(start)


def _default(start: SidekiqStart) -> OwnTimeout:
    """An unknown version counts as a new one."""
    is_old = re.match(r"[1-5]\.", start.version) is not None
    seconds = OLD_DEFAULT_SECONDS if is_old else DEFAULT_SECONDS
    return OwnTimeout(seconds, "Sidekiq's default timeout", _ON_COMMAND_LINE)


def _in_file(command: str, start: SidekiqStart) -> OwnTimeout | None:
    """The timeout in the configuration file; None if there is no such file or no such line in it.

    The file's value is not certain in a template, and after a change since the process began.
    """
    path = None if start.directory is None else _file(command, Path(start.directory))
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode(errors="replace")
        is_newer = path.stat().st_mtime > start.started_epoch + 1
    except OSError:
        return None
    values = list(_values(text, option_text(command, "-e", "--environment")))
    if not values:
        return None
    numbers = [int(value) for value in values if re.fullmatch(r"[0-9]{1,9}", value)]
    if is_newer or len(numbers) < len(values):
        numbers.append(_default(start).seconds)
    return OwnTimeout(max(numbers), f"the timeout in {path}", f"write :timeout: {{seconds}} into {path}")


def _file(command: str, directory: Path) -> Path | None:
    """The configuration file that Sidekiq reads; None if there is none."""
    named = option_text(command, "-C", "--config")
    if named is not None:
        return directory / named
    required = option_text(command, "-r", "--require")
    base = directory / required if required and (directory / required).is_dir() else directory
    found = (base / "config" / name for name in ("sidekiq.yml", "sidekiq.yml.erb"))
    return next((path for path in found if path.is_file()), None)


def _values(text: str, environment: str | None) -> Iterator[str]:
    """The values of ``timeout``, of the whole file and of the environment's own section."""
    wanted = ENVIRONMENTS if environment is None else {environment}
    section = ""
    for line in text.splitlines():
        found = _KEY.match(line)
        if found is None:
            continue
        value = found["rest"].partition(" #")[0].strip().strip("'\"")
        if not found["indent"]:
            section = found["key"]
        if found["key"] == "timeout" and value and (not found["indent"] or section in wanted):
            yield value
