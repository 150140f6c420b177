"""URLs that hold secrets in any part: what of them may be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://\S+")
_PARTS = re.compile(r"[/?&=:@#,+]+")
_HOST = re.compile(r"localhost|[\w-]+(\.[\w-]+)+|\[?[0-9a-fA-F:.]+\]?")
MIN_SECRET_CHARACTERS = 4


def parse_urls(text: str) -> tuple[str, ...]:
    """One or more URLs, separated by white space. Raises ValueError with a text that repeats none of them."""
    urls = tuple(text.split())
    for number, url in enumerate(urls, 1):
        if not _URL.fullmatch(url):
            which = "the URL" if len(urls) == 1 else f"URL {number}"
            raise ValueError(f"URLs that apprise knows, separated by spaces; {which} has no SCHEME://")
    if not urls:
        raise ValueError("URLs that apprise knows, separated by spaces")
    return urls


def shown(url: str) -> str:
    """``mailto://***``: each other part may be a token or a password."""
    found = _URL.match(url)
    return f"{found[1].lower()}://***" if found else "***"


def names(urls: Iterable[str]) -> Iterator[str]:
    """How each URL is named to a person; those that would look alike have their number."""
    masked = [shown(url) for url in urls]
    for number, one in enumerate(masked, 1):
        yield one if masked.count(one) == 1 else f"{one} ({number})"


def scrub(text: str, urls: Iterable[str]) -> str:
    """The text with ``***`` in place of each part of a URL, except for names and addresses of hosts."""
    for secret in sorted({one for url in urls for one in _secrets(url)}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(url: str) -> Iterator[str]:
    rest = url.partition("://")[2]
    yield from (url, rest)
    for part in _PARTS.split(rest):
        for spelling in (part, unquote(part)):
            if len(spelling) >= MIN_SECRET_CHARACTERS and not _HOST.fullmatch(spelling):
                yield spelling
