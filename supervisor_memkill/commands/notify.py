"""``supervisor-memkill notify --test``: sends a test message, and shows what became of it per URL."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import CONFIG, FAILURE, SERVER_OPTIONS, SUCCESS, Command
from supervisor_memkill.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--test", action="store_true", help="send a test message to each URL of notify")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send it. FAILURE if it could not be sent to each URL. Raises MemkillError."""
    if not arguments.test:
        raise UsageError("notify sends only test messages: write notify --test")
    from supervisor_memkill.commands.by_hand import find_by_hand
    from supervisor_memkill.config.options import NOTIFY_VARIABLE
    from supervisor_memkill.notices.messages import sample_message
    from supervisor_memkill.notices.secret_urls import names
    from supervisor_memkill.notices.send import send

    config = find_by_hand(arguments, environ).config
    if not config.notify:
        raise UsageError(f"no URL to test: set notify in [memkill], or {NOTIFY_VARIABLE} in the environment")
    errors = send(config.notify, sample_message(config.host))
    for name, error in zip(names(config.notify), errors, strict=True):
        output.say(f"{name}: {'sent' if error is None else f'failed: {error}'}")
    return SUCCESS if not any(errors) else FAILURE


COMMAND = Command(
    "notify", "send a test message to each URL of notify", run, (CONFIG, *SERVER_OPTIONS), add_arguments
)
