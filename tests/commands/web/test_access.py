"""Who may see the page: the password, and the names of this server."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.commands.web.access import Access
from tests.fuzz.effort import tries

SECRET = "correct hörse: battery"
OPEN, CLOSED = Access(), Access(SECRET)


def basic(text: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize("header", [basic(f"anyone:{SECRET}"), basic(f":{SECRET}", "bASIC")])
def test_right_password_opens_whoever_the_user_is(header: str) -> None:
    assert CLOSED.allows(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        basic(SECRET.replace(":", "")),
        basic(f"anyone:{SECRET}x"),
        basic(f"anyone:{SECRET[:-1]}"),
        basic("anyone:"),
        basic(f"anyone:{SECRET}", "Bearer"),
    ],
)
def test_anything_else_does_not(header: str | None) -> None:
    assert not CLOSED.allows(header)
    assert OPEN.allows(header)


@tries(200)
@given(st.text(max_size=100))
def test_no_header_breaks_it(header: str) -> None:
    assert not CLOSED.allows(header)
    assert CLOSED.knows_host(header)
    OPEN.knows_host(header)


def test_password_of_bytes_that_are_no_utf8_is_compared_byte_by_byte() -> None:
    """The environment may have any bytes: an 8-bit locale, say."""
    access = Access("pass w\udcf6rd")
    right = base64.b64encode(b"me:pass w\xf6rd").decode()
    assert access.allows(f"Basic {right}") and not access.allows(basic("me:pass word"))


def test_password_is_not_shown() -> None:
    assert SECRET not in repr(CLOSED)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, True),
        ("localhost", True),
        ("LOCALHOST:9111", True),
        ("127.0.0.1:9111", True),
        ("127.9.9.9", True),
        ("[::1]:9111", True),
        ("[::1]", True),
        ("status.example:80", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:9111", False),
        ("192.0.2.1:9111", False),
        ("[::2]", False),
    ],
)
def test_without_a_password_only_names_of_this_machine_are_known(header: str | None, known: bool) -> None:
    """A stranger's page may give its own name this machine's address (DNS rebinding)."""
    assert Access(names=frozenset({"status.example"})).knows_host(header) is known
    assert CLOSED.knows_host(header), "a browser sends the password to the name alone that it was typed for"
