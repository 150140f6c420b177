"""No part of a URL that could be a secret is shown."""

from __future__ import annotations

import re

import pytest

from supervisor_memkill.notices.secret_urls import names, parse_urls, scrub, shown

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"


def test_urls_are_separated_by_white_space_alone() -> None:
    """A comma may be part of one."""
    assert parse_urls("json://a/x,y\n mailto://b") == ("json://a/x,y", "mailto://b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3cretword", "the URL has no SCHEME://"),
        ("json://host s3cretword", "URL 2 has no SCHEME://"),
        ("://s3cretword", "the URL has no SCHEME://"),
        ("json://", "the URL has no SCHEME://"),
        ("  ", "URLs that apprise knows"),
    ],
)
def test_text_that_is_no_url_is_refused_without_being_repeated(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        parse_urls(text)
    assert "s3cret" not in str(refused.value)


def test_only_the_scheme_of_a_url_is_shown() -> None:
    assert shown(SLACK) == "slack://***"
    assert shown("no url at all") == "***"


def test_urls_that_look_alike_have_their_numbers() -> None:
    assert list(names([SLACK, "json://a", SLACK])) == ["slack://*** (1)", "json://***", "slack://*** (3)"]


@pytest.mark.parametrize(
    ("url", "text", "expected"),
    [
        (SLACK, f"Could not load Slack URL: {SLACK}", "Could not load Slack URL: ***"),
        (SLACK, "token TIiajkdnlazkcOXrIdevi7FQ of T1JJ3T3L2", "token *** of ***"),
        ("mailto://me:p%40ssword@mail.example.org", "login p@ssword refused", "login *** refused"),
        ("mailto://me:p%40ssword@mail.example.org", "no answer of mail.example.org", None),
        ("json://127.0.0.1:8000/hook", "connecting to 127.0.0.1", None),
        ("json://h?password=abcdefgh", "sent abcdefgh", "sent ***"),
        ("json://127.0.0.1", "connecting to 127.0.0.1", None),
        ("mailto://me:p%40ssword@example.org?smtp=smtp.example.org", "no answer of smtp.example.org", None),
        (
            "mailto://me:p%40ss@mail.example.org?to=a@example.net",
            "example.net refuses p%40ss",
            "example.net refuses ***",
        ),
        ("json://h/hook?token=a!bcdefgh", "GET /hook?token=a%21bcdefgh", "GET /***?***=***"),
    ],
)
def test_error_keeps_hosts_and_loses_secrets(url: str, text: str, expected: str | None) -> None:
    assert scrub(text, [url]) == (expected or text)


TOKENS = (
    "pagerduty://0123456789abcdef0123456789abcdef@deadbeefdeadbeef",
    "json://example.org/hooks/0123456789abcdef0123",
    "sendgrid://SG.aGVsbG8.d29ybGQ:me@example.org/you@example.org",
    "discord://123456789012345678/MTk4.Cl2FMQ.ZnCjm",
    "webexteams://eyJhbGci.eyJzdWIi.c2lnbmVk",
    "tgram://123456789:AAE-token/1234567890",
    "ntfy://tk_secret.word@example.org/topic",
)


@pytest.mark.parametrize("url", TOKENS)
def test_token_that_looks_like_an_address_is_no_host(url: str) -> None:
    """Hexadecimal digits, and words with dots between them, are common tokens."""
    parts = [one for one in re.split(r"[/:@]+", url.partition("://")[2]) if one != "example.org"]
    shown_parts = scrub(" ".join(parts), [url]).split()
    assert set(shown_parts) <= {"***", "me", "you"}
    if "example.org" in url:
        assert scrub("no answer of example.org", [url]) == "no answer of example.org"
