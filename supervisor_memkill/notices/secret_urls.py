"""URLs that hold secrets in any part: what of them may be shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import quote, unquote

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://\S+")
_PARTS = re.compile(r"[/?&=:@#,+]+")
_HOST = re.compile(r"localhost|([a-z0-9_-]+\.)+[a-z]{2,24}|[0-9]{1,3}(\.[0-9]{1,3}){3}")
"""A token of hexadecimal digits, or one with dots such as ``SG.X.Y``, is none."""
_OTHER_HOST = re.compile(r"(?:@|[?&]smtp=)([^/?&:@#,+]+)")
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


def scrub(text: str, urls: Collection[str]) -> str:
    """The text with ``***`` in place of each part of a URL, except for names and addresses of hosts."""
    rests = [url.partition("://")[2] for url in urls]
    hosts = {host for rest in rests for host in _hosts(rest)}
    secrets = {secret for url, rest in zip(urls, rests, strict=True) for secret in (url, *_secrets(rest))}
    # Of what begins at one place the longest counts: the name of a host may hold a part of a URL.
    found = "|".join(re.escape(one) for one in sorted({*secrets, *hosts} - {""}, key=len, reverse=True))
    return re.sub(found, lambda one: one[0] if one[0] in hosts else "***", text) if found else text


def _secrets(rest: str) -> Iterator[str]:
    yield rest
    for part in _PARTS.split(rest):
        plain = unquote(part)
        yield from (one for one in (part, plain, quote(plain, safe="")) if len(one) >= MIN_SECRET_CHARACTERS)


def _hosts(rest: str) -> Iterator[str]:
    """What stands where a host stands, and looks like one: many services have a token there."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    candidates = [authority.rpartition("@")[2].partition(":")[0], *_OTHER_HOST.findall(unquote(rest))]
    yield from (one for one in candidates if _HOST.fullmatch(one))
