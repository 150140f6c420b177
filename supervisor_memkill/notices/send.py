"""Sends one message through apprise, in a process of its own.

apprise takes 40 MB of memory and a second to load, and waits for servers: the listener has none of that. The
URLs come on standard input, so that no list of processes shows them.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.notices.messages import Message
from supervisor_memkill.notices.secret_urls import scrub
from supervisor_memkill.world.run_command import feed_command

LIMIT_SECONDS, ANSWER_SECONDS = 60.0, 45.0
"""For the whole process, and for each URL in it."""
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from supervisor_memkill.notices.send import main; main()"
UNKNOWN_URL = "apprise does not know this URL, or a part of it is missing or wrong"
MAX_ERROR_CHARACTERS = 300


def send(
    urls: Sequence[str],
    message: Message | None,
    is_given_up: Callable[[], bool] = lambda: False,
    *,
    answer_seconds: float = ANSWER_SECONDS,
) -> list[str | None]:
    """What went wrong, per URL; None: it was sent. `message` None: the URLs are only checked.

    `answer_seconds`: the limit for each URL.
    """
    words = [sys.executable, "-c", PROGRAM, *filter(None, sys.path)]
    task = {
        "urls": list(urls),
        "message": None if message is None else asdict(message),
        "seconds": answer_seconds,
    }
    try:
        answer = json.loads(feed_command(words, json.dumps(task), LIMIT_SECONDS, is_given_up, name="apprise"))
    except (MemkillError, ValueError) as error:
        return [scrub(str(error), urls)] * len(urls)
    return [None if error is None else scrub(str(error), urls)[:MAX_ERROR_CHARACTERS] for error in answer]


def main() -> None:
    """The process: reads the task, writes what went wrong, and does not wait for servers any longer."""
    task = json.load(sys.stdin)
    errors = send_here(task["urls"], task["message"], task["seconds"])
    sys.stdout.write(json.dumps(errors))
    sys.stdout.flush()
    os._exit(0)


def send_here(urls: Sequence[str], message: dict[str, str] | None, seconds: float) -> list[str | None]:
    """Send it to all URLs side by side; a slow server does not hold up the others."""
    import apprise

    logger = logging.getLogger("apprise")
    logger.propagate = False
    complaints = _Complaints()
    logger.addHandler(complaints)
    errors: list[str | None] = [f"no answer within {seconds:g} s"] * len(urls)

    def one(number: int) -> None:
        try:
            errors[number] = _send_to(apprise, urls[number], message, complaints)
        except Exception as error:  # noqa: BLE001 - whatever a service's code raises is its result
            errors[number] = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(len(urls))]
    # The plugins are loaded once, before the threads.
    apprise.Apprise.instantiate("json://localhost")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    return list(errors)


def _send_to(apprise: Any, url: str, message: dict[str, str] | None, complaints: _Complaints) -> str | None:
    service = apprise.Apprise.instantiate(url)
    if service is None:
        return UNKNOWN_URL
    if message is None:
        return None
    sender = apprise.Apprise()
    sender.add(service)
    if sender.notify(
        title=message["title"],
        body=message["body"],
        notify_type=message["type"],
        body_format=apprise.NotifyFormat.TEXT,
    ):
        return None
    return complaints.of_this_thread() or "not sent, without a reason"


class _Complaints(logging.Handler):
    """What apprise logs, by thread: it returns no reason."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._found: dict[int, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self._found.setdefault(record.thread or 0, []).append(record.getMessage())

    def of_this_thread(self) -> str:
        return " ".join(" ".join(self._found.get(threading.get_ident(), [])).split())
