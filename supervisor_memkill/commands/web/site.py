"""What each request gets: the page, or the reason why not. Pure but for the page."""

from __future__ import annotations

import dataclasses
import gzip
import math
from collections.abc import Callable, Mapping
from dataclasses import field
from http import HTTPStatus

from supervisor_memkill.commands.web.access import Access
from supervisor_memkill.commands.web.once import MadeOnce
from supervisor_memkill.commands.web.page import message
from supervisor_memkill.commands.web.tries import Tries
from supervisor_memkill.dataclass import dataclass

METHODS = ("GET", "HEAD")
ALLOW = ", ".join(METHODS)


@dataclass(frozen=True)
class Made:
    """A page, ready to be sent."""

    plain: bytes
    packed: bytes
    """By gzip."""

    @classmethod
    def of(cls, text: str) -> Made:
        plain = text.encode()
        return cls(plain, gzip.compress(plain, compresslevel=4, mtime=0))


@dataclass(frozen=True)
class Answer:
    """What one request gets."""

    status: HTTPStatus
    made: Made
    headers: Mapping[str, str] = field(default_factory=dict)


class Site:
    """Answers requests. It does not know how they arrive."""

    def __init__(
        self,
        pages: MadeOnce[Made],
        access: Access,
        log: Callable[[str], None],
        tries: Tries | None = None,
    ) -> None:
        self._pages = pages
        self._access = access
        self._log = log
        self._tries = tries or Tries()

    def answer(self, method: str, path: str, headers: Mapping[str, str | None], client: str) -> Answer:
        """`headers`: Host, Authorization and Cookie. Raises nothing."""
        if not self._access.knows_host(headers.get("Host")):
            return refusal(
                HTTPStatus.FORBIDDEN,
                "this name is not known here",
                "Use the address that supervisor-memkill serve printed, or start it with --allow-host NAME.",
            )
        if self._access.password is None:
            return self._answer_whom_it_knows(method, path)
        authorization, is_known = headers.get("Authorization"), self._tries.knows(headers.get("Cookie"))
        wait_seconds = self._tries.begin(client) if authorization and not is_known else 0.0
        if wait_seconds > 0:
            self._log(f"too many wrong passwords from {client}: its tries are refused for a while")
            return refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many wrong passwords",
                "They came from this address. Wait a minute, then reload the page with the right one.",
                {"Retry-After": str(math.ceil(wait_seconds))},
            )
        if not self._access.allows(authorization):
            if authorization:
                self._log(f"wrong password from {client}")
            return refusal(
                HTTPStatus.UNAUTHORIZED,
                "a password is needed",
                "The user name does not matter. The password is the one that supervisor-memkill serve was"
                " started with.",
                {"WWW-Authenticate": 'Basic realm="supervisor-memkill", charset="UTF-8"'},
            )
        if not is_known:
            # Before the page is made, which may take long: the tries of others from this address count, too.
            self._tries.was_right(client)
        answer = self._answer_whom_it_knows(method, path)
        if is_known:
            return answer
        return dataclasses.replace(answer, headers={**answer.headers, "Set-Cookie": self._tries.cookie})

    def _answer_whom_it_knows(self, method: str, path: str) -> Answer:
        if method not in METHODS:
            words = "This server only shows a page: it answers GET and HEAD."
            return refusal(
                HTTPStatus.METHOD_NOT_ALLOWED, "nothing can be changed here", words, {"Allow": ALLOW}
            )
        if path.partition("?")[0] != "/":
            return refusal(HTTPStatus.NOT_FOUND, "there is no such page", "The only page is /.")
        return self._page()

    def _page(self) -> Answer:
        try:
            made = self._pages.get()
        except Exception as error:  # noqa: BLE001 - a defect in a page must not end the server
            self._log(f"the page could not be made: {error!r:.500}")
            words = "Its log names the cause. In a terminal, supervisor-memkill status may show more."
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the page could not be made", words)
        if made is None:
            words = "supervisord or Redis answers slowly. The page is tried again by itself."
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the page is not ready yet", words)
        return Answer(HTTPStatus.OK, made)


def refusal(status: HTTPStatus, title: str, words: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A page that only says why there is no other one."""
    return Answer(status, Made.of(message(title, words)), headers or {})
